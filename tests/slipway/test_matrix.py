"""The matrix: what the file says becomes images, and what is wrong with it is named."""

import json
import re
from pathlib import Path

import pytest

from slipway import matrix
from slipway.errors import SlipwayError

GOOD = """
repository = "slipway"
release = "0.1.0"
source = "https://example.com/slipway"
apt_date = "2026-11-21"
free_disk_gb = 20

[scan]
database_days = 3
lock_days = 60
unknown = { github = "no database lists actions" }

[base.trixie]
image = "debian:trixie-slim"
suite = "trixie"
glibc = "2.40"

[base.bookworm]
image = "debian:bookworm-slim"
suite = "bookworm"
glibc = "2.36"

[family.cuda]
dockerfile = "Dockerfile.cuda"
accelerator = "cuda"
locks = "cuda13.0"
arguments = { CUDA_VERSION = "13.0" }
versions = { python = "3.13", cuda = "13.0" }
architectures = ["sm_90"]

[family.cuda.flavor]
base = { size_gb = [1.0, 1.6] }
runtime = { size_gb = [4.0, 5.3] }

[workload.workbench]
target = "workbench"
mode = "workbench"
ports = [8888, 2222]

[workload.workbench.on]
cuda-base = { size_gb = [1.5, 2.0] }
cuda-runtime = { size_gb = [4.5, 6.0] }

[workload.desktop-full]
target = "desktop"
stands_on = "workbench"
mode = "desktop"
ports = [6080]
arguments = { THEMES = "true" }

[workload.desktop-full.on]
cuda-base = { size_gb = [2.0, 3.0] }
"""


def test_an_image_knows_its_name_tag_lock_and_lineage() -> None:
    """Sessions, tests and evidence all take these from here."""
    image = matrix.read_matrix(GOOD).image("cuda-runtime")
    assert image.tag == "slipway:cuda-runtime"
    assert [file.stem for file in image.variant_locks] == [
        "cuda13.0-base",
        "cuda13.0-cuda",
        "cuda13.0-torch",
        "cuda13.0-data-science",
    ]
    assert image.lineage == ("base", "runtime")
    assert (image.least_size, image.most_size) == (4_000_000_000, 5_300_000_000)


def test_a_flavor_runs_its_ancestors_checks() -> None:
    """What base promises, runtime must keep."""
    rows = matrix.read_matrix(GOOD)
    base, runtime = (rows.image(f"cuda-{flavor}").checks for flavor in ("base", "runtime"))
    assert base == runtime[: len(base)]
    assert [folder.name for folder in base] == ["every", "cuda"]
    assert "cuda_runtime" in [folder.name for folder in runtime]


def test_a_workload_is_an_image_on_each_variant_it_names() -> None:
    """Its name tells both, and its sessions are those of the workloads."""
    rows = matrix.read_matrix(GOOD)
    names = ["cuda-base-workbench", "cuda-runtime-workbench", "cuda-base-desktop-full"]
    assert [image.name for image in rows.images] == ["cuda-base", "cuda-runtime", *names]
    image = rows.image("cuda-base-desktop-full")
    assert image.session == "workloads(cuda-base-desktop-full)"
    assert (image.dockerfile, image.target, image.mode) == ("Dockerfile", "desktop", "desktop")
    assert image.arguments == {"BASE": "slipway:cuda-base", "THEMES": "true"}
    assert image.ports == (6080, 8888, 2222, 8000)
    assert (image.least_size, image.most_size) == (2_000_000_000, 3_000_000_000)


@pytest.mark.requirement("C1")
def test_a_workload_runs_its_variants_checks() -> None:
    """What a variant promises, every image on it must keep."""
    rows = matrix.read_matrix(GOOD)
    variant, workload = (rows.image(name).checks for name in ("cuda-runtime", "cuda-runtime-workbench"))
    assert variant == workload[: len(variant)]
    assert [folder.name for folder in workload[len(variant) :]] == ["workbench"]


def test_a_workload_has_the_locks_of_its_targets_and_toggles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A toggle that is off installs nothing, so its lock is not the image's."""
    folder = tmp_path / "requirements"
    folder.mkdir()
    parts = ["workbench-data-science", "workbench-jupyterlab"]
    names = ["cuda13.0-base", *parts, "workbench-cuda", "workbench-cpu", "desktop-themes", "desktop-obs"]
    for name in names:
        (folder / f"{name}.txt").touch()
    monkeypatch.setattr(matrix, "ROOT", tmp_path)
    image = matrix.read_matrix(GOOD).image("cuda-base-desktop-full")
    assert [file.stem for file in image.locks] == ["cuda13.0-base", *parts, "workbench-cuda", "desktop-themes"]


def test_another_python_stands_after_the_flavor() -> None:
    """A workload's name follows it."""
    text = GOOD.replace("[family.cuda", '[family."cuda-py3.13"')
    text = re.sub(r"(?m)^cuda-(base|runtime) =", r'"cuda-\1-py3.13" =', text)
    rows = matrix.read_matrix(text)
    assert rows.image("cuda-runtime-py3.13").session == "cuda-py3.13(runtime)"
    assert rows.image("cuda-runtime-py3.13-workbench").variant == "cuda-runtime-py3.13"


def test_a_family_stands_on_the_first_base_or_on_the_one_it_names() -> None:
    """Another Debian release brings another Python and another C library."""
    rows = matrix.read_matrix(GOOD)
    assert rows.base.image == rows.families["cuda"].base.image == "debian:trixie-slim"
    variants = GOOD.partition("[workload.workbench]")[0]
    other = matrix.read_matrix(variants.replace('locks = "cuda13.0"', 'locks = "cuda13.0"\nbase = "bookworm"'))
    assert (other.families["cuda"].base.suite, other.base.suite) == ("bookworm", "trixie")


def test_what_a_family_cannot_have_is_answered_with_the_reason() -> None:
    """It is a fact of the matrix and no typing error."""
    text = GOOD.replace('locks = "cuda13.0"', 'locks = "cuda13.0"\nunavailable = { devel = "there is no nvcc" }')
    rows = matrix.read_matrix(text)
    assert [image.flavor for image in rows.variants] == ["base", "runtime"]
    with pytest.raises(SlipwayError, match=r"^there is no cuda-devel: there is no nvcc$"):
        rows.image("cuda-devel")


def test_an_image_is_in_every_run_unless_its_row_or_family_says_otherwise() -> None:
    """`nox -s tests` has to end in time; the others have their own sessions."""
    assert all(image.always for image in matrix.read_matrix(GOOD).images)
    row = matrix.read_matrix(GOOD.replace("[2.0, 3.0] }", "[2.0, 3.0], always = false }"))
    assert [image.name for image in row.images if not image.always] == ["cuda-base-desktop-full"]
    family = matrix.read_matrix(GOOD.replace('locks = "cuda13.0"', 'locks = "cuda13.0"\nalways = false'))
    assert not any(image.always for image in family.images)


def test_an_unknown_image_is_answered_with_the_names_there_are() -> None:
    """A typing error is mended at once."""
    with pytest.raises(SlipwayError, match=r"no image 'cuda-dev'.*cuda-base, cuda-runtime"):
        matrix.read_matrix(GOOD).image("cuda-dev")


WRONG = {
    "not TOML": ("[base.trixie]", "[base.trixie", "not valid TOML"),
    "unknown key": (
        'suite = "trixie"',
        'suite = "trixie"\nsweet = 1',
        r"\[base\].trixie has an unknown key 'sweet'; allowed: image, suite",
    ),
    "unknown top key": ("[base.trixie]", "colour = 1\n[base.trixie]", "unknown key 'colour'"),
    "missing key": ('release = "0.1.0"', "", "release is missing; it must be a version"),
    "wrong type": ('release = "0.1.0"', "release = 1", "release is 1; it must be a version"),
    "bad repository": ('"slipway"', '"Slip:way"', "repository is 'Slip:way'"),
    "bad date": ("2026-11-21", "2026-13-21", "apt_date is '2026-13-21'; it must be a date"),
    "no number": ("free_disk_gb = 20", 'free_disk_gb = "much"', "free_disk_gb is 'much'"),
    "database without a limit": (
        "database_days = 3",
        "",
        r"\[scan\] database_days is missing; it must be a whole number",
    ),
    "limit of nothing": ("lock_days = 60", "lock_days = 0", "lock_days is 0; it must be a whole number of days"),
    "unknown without a reason": (
        '"no database lists actions"',
        '""',
        "github is ''; it must be one line that says why",
    ),
    "no base": ("[base.trixie]", "[bases]\n[family.x]", "unknown key 'bases'"),
    "bad glibc": ('glibc = "2.36"', 'glibc = "musl"', r"\[base\].bookworm glibc is 'musl'; it must be the version"),
    "unknown base": (
        'locks = "cuda13.0"',
        'locks = "x"\nbase = "sid"',
        "base is 'sid'; it must be one of trixie, book",
    ),
    "always as text": ('locks = "cuda13.0"', 'locks = "x"\nalways = "no"', "always is 'no'; it must be true, or false"),
    "unavailable and there": (
        'locks = "cuda13.0"',
        'locks = "x"\nunavailable = { base = "why" }',
        "unavailable has an unknown key 'base'; allowed: devel",
    ),
    "unavailable without a reason": (
        'locks = "cuda13.0"',
        'locks = "x"\nunavailable = { devel = "" }',
        "devel is ''; it must be one line that says why",
    ),
    "name of another Python": ("[family.cuda]", '[family."cuda-py3.12"]', "-py and its Python's version may follow"),
    "unknown accelerator": (
        'accelerator = "cuda"',
        'accelerator = "tpu"',
        r"\[family\].cuda accelerator is 'tpu'; .*one of cpu, cuda",
    ),
    "name of another accelerator": ("[family.cuda]", "[family.cpu]", r"must be named cuda"),
    "unknown version": ('cuda = "13.0" }\narch', 'opencl = "3" }\narch', "versions has an unknown key 'opencl'"),
    "architecture": ('["sm_90"]', '["gfx90a"]', r"architectures is \['gfx90a'\]"),
    "unknown flavor": (
        "runtime = {",
        "large = {",
        "names base, large; the flavors are, in order, base, runtime, devel",
    ),
    "flavor left out": ("base = { size_gb = [1.0, 1.6] }\n", "", "names runtime; the flavors are, in order"),
    "least above most": ("[1.0, 1.6]", "[1.6, 1.0]", r"size_gb is \[1.6, 1.0\]; it must be \[least, most\]"),
    "one-sided size": ("[1.0, 1.6]", "1.6", r"size_gb is 1.6"),
    "unknown target": ('target = "desktop"', 'target = "desk"', "target is 'desk'; it must be one of workbench, tra"),
    "unknown workload below": (
        'stands_on = "workbench"',
        'stands_on = "bench"',
        "stands_on is 'bench'; .*one of workbench",
    ),
    "port as text": ("[6080]", '["6080"]', r"ports is \['6080'\]; it must be a list of port numbers"),
    "argument in small letters": ("{ THEMES", "{ themes", "has the key 'themes'; a build argument is"),
    "argument that is no text": ('THEMES = "true"', "THEMES = true", "THEMES is True; it must be a string"),
    "unknown variant": (
        "cuda-base = { size_gb = [2.0",
        "cpu-base = { size_gb = [2.0",
        "on has an unknown key 'cpu-base'",
    ),
    "workload on another base": (
        'locks = "cuda13.0"',
        'locks = "cuda13.0"\nbase = "bookworm"',
        "on has an unknown key 'cuda-base'",
    ),
    "workload without a budget": ("cuda-base = { size_gb = [2.0, 3.0] }", "cuda-base = {}", "size_gb is missing"),
    "table as text": (
        "[family.cuda.flavor]\nbase = { size_gb = [1.0, 1.6] }",
        "[family.cuda.flavor]\nbase = 1",
        "base must be a table",
    ),
}


@pytest.mark.parametrize(("old", "new", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_with_its_place(old: str, new: str, message: str) -> None:
    """The message names the table, the key and the allowed values."""
    assert old in GOOD
    text = GOOD.replace(old, new)
    if message.startswith("must be named") or "must be named" in message:
        text = text.replace("[family.cuda.flavor]", "[family.cpu.flavor]")
    with pytest.raises(SlipwayError, match=message):
        matrix.read_matrix(text)


def test_a_missing_file_is_an_error_that_says_how_to_get_it_back() -> None:
    """It is part of the repository."""
    with pytest.raises(SlipwayError, match="git checkout"):
        matrix.load(matrix.ROOT / "no-such-images.toml")


def test_the_repositorys_own_matrix_is_valid_and_prints_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """CI makes one job of each row."""
    assert matrix.main([]) == matrix.main(["--all"]) == 0
    always, every = (json.loads(line)["include"] for line in capsys.readouterr().out.splitlines())
    assert {"image": "cuda-devel", "session": "cuda(devel)", "platform": "linux/amd64"} in always
    assert {"image": "cpu-base-arm64", "session": "cpu-arm64(base)", "platform": "linux/arm64"} in every
    images = matrix.load().images
    assert (len(always), len(every)) == (sum(image.always for image in images), len(images))
