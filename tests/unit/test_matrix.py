"""The matrix: images from images.toml, and a clear message for each mistake."""

import json
import re
from pathlib import Path

import pytest

from slipway import matrix, repository
from slipway.errors import SlipwayError
from tests.helpers.matrices import parse_matrix

GOOD = """
repository = "slipway"
release = "0.1.0"
source = "https://example.com/slipway"
apt_date = "2026-11-21"
results_days = 7
free_disk_gb = 20

[distro.trixie]
image = "debian:trixie-slim"
suite = "trixie"
glibc = "2.40"

[distro.bookworm]
image = "debian:bookworm-slim"
suite = "bookworm"
glibc = "2.36"

[variant.cuda]
dockerfile = "Dockerfile.cuda"
accelerator = "cuda"
locks = "cuda13.0"
arguments = { CUDA_VERSION = "13.0" }
versions = { python = "3.13", cuda = "13.0" }
architectures = ["sm_90"]

[variant.cuda.flavor]
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
parent = "workbench"
mode = "desktop"
ports = [6080]
arguments = { THEMES = "true" }

[workload.desktop-full.on]
cuda-base = { size_gb = [2.0, 3.0] }
"""


def test_an_image_knows_its_name_tag_lock_and_flavors() -> None:
    """Sessions, tests and evidence all take these from here."""
    image = parse_matrix(GOOD).find_image("cuda-runtime")
    assert image.tag == "slipway:cuda-runtime"
    assert [file.stem for file in image.variant_locks] == [
        "cuda13.0-base",
        "cuda13.0-cuda",
        "cuda13.0-torch",
        "cuda13.0-data-science",
    ]
    assert image.flavors == ("base", "runtime")
    assert (image.least_size, image.most_size) == (4_000_000_000, 5_300_000_000)


def test_a_workload_is_an_image_on_each_variant_it_names() -> None:
    the_matrix = parse_matrix(GOOD)
    names = ["cuda-base-workbench", "cuda-runtime-workbench", "cuda-base-desktop-full"]
    assert [image.name for image in the_matrix.images] == ["cuda-base", "cuda-runtime", *names]
    image = the_matrix.find_image("cuda-base-desktop-full")
    assert (image.dockerfile, image.target, image.mode) == ("Dockerfile", "desktop", "desktop")
    assert image.arguments == {"BASE": "slipway:cuda-base", "THEMES": "true"}
    assert image.ports == (6080, 8888, 2222, 8000)
    assert (image.least_size, image.most_size) == (2_000_000_000, 3_000_000_000)


def test_a_workload_has_the_locks_of_its_targets_and_toggles(root: Path) -> None:
    """A toggle that is off installs nothing, so its lock is not among the image's."""
    folder = root / "requirements"
    folder.mkdir()
    parts = ["workbench-data-science", "workbench-jupyterlab"]
    names = ["cuda13.0-base", *parts, "workbench-cuda", "workbench-cpu", "desktop-themes", "desktop-obs"]
    for name in names:
        (folder / f"{name}.txt").touch()
    image = parse_matrix(GOOD).find_image("cuda-base-desktop-full")
    assert [file.stem for file in image.locks] == ["cuda13.0-base", *parts, "workbench-cuda", "desktop-themes"]


def test_another_python_stands_after_the_flavor() -> None:
    text = GOOD.replace("[variant.cuda", '[variant."cuda-py3.13"')
    text = re.sub(r"(?m)^cuda-(base|runtime) =", r'"cuda-\1-py3.13" =', text)
    the_matrix = parse_matrix(text)
    assert the_matrix.find_image("cuda-runtime-py3.13").flavor == "runtime"
    assert the_matrix.find_image("cuda-runtime-py3.13-workbench").variant_image == "cuda-runtime-py3.13"


def test_a_variant_uses_the_first_distro_or_the_one_it_names() -> None:
    """Another Debian release brings another Python and another C library."""
    the_matrix = parse_matrix(GOOD)
    assert the_matrix.default_distro.image == the_matrix.variants["cuda"].distro.image == "debian:trixie-slim"
    variants = GOOD.partition("[workload.workbench]")[0]
    other = parse_matrix(variants.replace('locks = "cuda13.0"', 'locks = "cuda13.0"\ndistro = "bookworm"'))
    assert (other.variants["cuda"].distro.suite, other.default_distro.suite) == ("bookworm", "trixie")


def test_what_a_variant_cannot_have_is_answered_with_the_reason() -> None:
    """It is a fact of the matrix and no typing error."""
    text = GOOD.replace('locks = "cuda13.0"', 'locks = "cuda13.0"\nexcluded = { devel = "there is no nvcc" }')
    the_matrix = parse_matrix(text)
    assert [image.flavor for image in the_matrix.variant_images] == ["base", "runtime"]
    with pytest.raises(SlipwayError, match=r"^there is no cuda-devel: there is no nvcc$"):
        the_matrix.find_image("cuda-devel")


def test_an_image_is_in_the_tests_unless_its_row_or_its_variants_image_says_otherwise() -> None:
    """`nox -s tests` has to end in time; the others have their own sessions."""
    assert all(image.in_tests for image in parse_matrix(GOOD).images)
    row = parse_matrix(GOOD.replace("[2.0, 3.0] }", "[2.0, 3.0], in_tests = false }"))
    assert [image.name for image in row.images if not image.in_tests] == ["cuda-base-desktop-full"]
    below = parse_matrix(GOOD.replace("[1.0, 1.6] }", "[1.0, 1.6], in_tests = false }"))
    assert [image.name for image in below.images if image.in_tests] == ["cuda-runtime", "cuda-runtime-workbench"]


def test_an_unknown_image_is_answered_with_close_names() -> None:
    with pytest.raises(
        SlipwayError, match=r"no image 'cuda-bsae'; did you mean cuda-base.*`nox -s matrix -- --all` lists all"
    ):
        parse_matrix(GOOD).find_image("cuda-bsae")


WRONG = {
    "not TOML": ("[distro.trixie]", "[distro.trixie", "not valid TOML"),
    "unknown key": (
        'suite = "trixie"',
        'suite = "trixie"\nsweet = 1',
        r"\[distro.trixie\] has an unknown key 'sweet'; allowed: image, digest, suite",
    ),
    "unknown top key": ("[distro.trixie]", "colour = 1\n[distro.trixie]", "unknown key 'colour'"),
    "missing key": ('release = "0.1.0"', "", "release is missing; it must be a version"),
    "wrong type": ('release = "0.1.0"', "release = 1", "release is 1; it must be a version"),
    "bad repository": ('"slipway"', '"Slip:way"', "repository is 'Slip:way'"),
    "bad date": ("2026-11-21", "2026-13-21", "apt_date is '2026-13-21'; it must be a date"),
    "no number": ("free_disk_gb = 20", 'free_disk_gb = "much"', "free_disk_gb is 'much'"),
    "no base": ("[distro.trixie]", "[distros]\n[variant.x]", "unknown key 'distros'"),
    "bad glibc": ('glibc = "2.36"', 'glibc = "musl"', r"\[distro.bookworm\] glibc is 'musl'; it must be the version"),
    "unknown base": (
        'locks = "cuda13.0"',
        'locks = "x"\ndistro = "sid"',
        "distro is 'sid'; it must be one of trixie, book",
    ),
    "in_tests as text": (
        "[2.0, 3.0] }",
        '[2.0, 3.0], in_tests = "no" }',
        "in_tests is 'no'; it must be true, or false",
    ),
    "unavailable and there": (
        'locks = "cuda13.0"',
        'locks = "x"\nexcluded = { base = "why" }',
        "excluded names 'base', which is one of its flavors",
    ),
    "unavailable without a reason": (
        'locks = "cuda13.0"',
        'locks = "x"\nexcluded = { devel = "" }',
        "devel is ''; it must be one line that says why",
    ),
    "name of another Python": ("[variant.cuda]", '[variant."cuda-py3.12"]', "-py and its Python's version may follow"),
    "unknown accelerator": (
        'accelerator = "cuda"',
        'accelerator = "tpu"',
        r"\[variant.cuda\] accelerator is 'tpu'; .*one of cpu, cuda",
    ),
    "name of another accelerator": ("[variant.cuda]", "[variant.cpu]", r"must be named cuda"),
    "unknown version": ('cuda = "13.0" }\narch', 'opencl = "3" }\narch', r"versions\] has an unknown key 'opencl'"),
    "architecture": ('["sm_90"]', '["gfx90a"]', r"architectures is \['gfx90a'\]"),
    "unknown flavor": (
        "runtime = {",
        "large = {",
        r"\[variant.cuda.flavor\] has an unknown key 'large'; allowed: base, runtime, devel",
    ),
    "flavor left out": ("base = { size_gb = [1.0, 1.6] }\n", "", "names runtime; the flavors are, in order"),
    "least above most": ("[1.0, 1.6]", "[1.6, 1.0]", r"size_gb is \[1.6, 1.0\]; it must be \[least, most\]"),
    "no most": ("[1.0, 1.6]", "[1.0, inf]", r"size_gb is \[1.0, inf\]; it must be \[least, most\]"),
    "one-sided size": ("[1.0, 1.6]", "1.6", r"size_gb is 1.6"),
    "unknown target": ('target = "desktop"', 'target = "desk"', "target is 'desk'; it must be one of workbench, tra"),
    "unknown workload below": ('parent = "workbench"', 'parent = "bench"', "parent is 'bench'; .*one of workbench"),
    "port as text": ("[6080]", '["6080"]', r"ports is \['6080'\]; it must be a list of port numbers"),
    "argument in small letters": ("{ THEMES", "{ themes", "'themes'; it must be a build argument in capitals"),
    "argument that is no text": ('THEMES = "true"', "THEMES = true", "THEMES is True; it must be a string"),
    "unknown variant": (
        "cuda-base = { size_gb = [2.0",
        "cpu-base = { size_gb = [2.0",
        r"on\] has an unknown key 'cpu-base'",
    ),
    "workload on another base": (
        'locks = "cuda13.0"',
        'locks = "cuda13.0"\ndistro = "bookworm"',
        r"on\] has an unknown key 'cuda-base'",
    ),
    "workload without a budget": ("cuda-base = { size_gb = [2.0, 3.0] }", "cuda-base = {}", "size_gb is missing"),
    "missing table": ("[variant.cuda.flavor]", "[variant.cuda.flavors]", r"\[variant.cuda\] flavor is missing"),
    "table as text": (
        "[variant.cuda.flavor]\nbase = { size_gb = [1.0, 1.6] }",
        "[variant.cuda.flavor]\nbase = 1",
        r"\[variant.cuda.flavor.base\] must be a table, not 1",
    ),
}


@pytest.mark.parametrize(("old", "new", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_with_its_place(old: str, new: str, message: str) -> None:
    """The message names the table, the key and the allowed values."""
    assert old in GOOD
    text = GOOD.replace(old, new)
    if new.startswith("[variant.") and new.endswith("]"):  # a table with another name, and the table in it
        text = text.replace("[variant.cuda.flavor]", f"{new[:-1]}.flavor]")
    with pytest.raises(SlipwayError, match=message):
        parse_matrix(text)


def test_every_mistake_is_named_at_once() -> None:
    """One line for each, with the file, the table, the key, the value and the allowed values."""
    text = GOOD.replace('accelerator = "cuda"', 'accelerator = "gpu"').replace(
        'suite = "trixie"', "suite = 1\ncolour = 2"
    )
    with pytest.raises(SlipwayError) as error:
        parse_matrix(text)
    assert str(error.value).splitlines() == [
        'images.toml: [distro.trixie] suite is 1; it must be a Debian suite such as "trixie"',
        "images.toml: [distro.trixie] has an unknown key 'colour'; allowed: image, digest, suite, glibc, platform",
        "images.toml: [variant.cuda] accelerator is 'gpu'; it must be one of cpu, cuda, rocm",
    ]


def test_the_file_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever needs the matrix loads it, and gets the same one."""
    first = matrix.load_matrix()
    monkeypatch.setattr(matrix, "read_toml", lambda *_: pytest.fail("it is read again"))
    assert matrix.load_matrix() is first


def test_a_missing_file_is_an_error_that_says_how_to_get_it_back() -> None:
    with pytest.raises(SlipwayError, match="git checkout"):
        matrix.load_matrix(repository.ROOT / "no-such-images.toml")


def test_the_repositorys_own_matrix_is_valid_and_prints_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """CI makes one job of each row."""
    assert matrix.main([]) == matrix.main(["--all"]) == 0
    always, every = (json.loads(line)["include"] for line in capsys.readouterr().out.splitlines())
    assert {"image": "cuda-devel", "platform": "linux/amd64"} in always
    assert {"image": "cpu-base-arm64", "platform": "linux/arm64"} in every
    images = matrix.load_matrix().images
    assert (len(always), len(every)) == (sum(image.in_tests for image in images), len(images))
    assert matrix.main(["--names"]) == 0
    assert capsys.readouterr().out.split() == [row["image"] for row in always]


@pytest.mark.requirement("T3")
@pytest.mark.parametrize(("name", "gigabytes"), [("rocm-base", 2.5), ("cpu-base", 1), ("cuda-base", 2.5)])
def test_budget_of_a_service_image_is_below_the_limit(name: str, gigabytes: float) -> None:
    """A check of each image enforces its budget; no edit of images.toml may raise these beyond the requirement."""
    assert matrix.load_matrix().find_image(name).most_size < gigabytes * 10**9


def test_a_release_is_the_published_images_of_its_own_tag() -> None:
    """A tag of another release and the placeholder in `source` publish nothing, and the message says what to edit."""
    text = 'published = ["cuda-base"]\n' + GOOD.replace("example.com", "git.example.org")
    ready = parse_matrix(text)
    assert [image.name for image in ready.list_released("v0.1.0")] == ["cuda-base"]
    for tag in ("v0.1.1", "0.1.0", "v0.1.0-rc1"):
        with pytest.raises(SlipwayError, match=r"is not v0\.1\.0: images\.toml has release"):
            ready.list_released(tag)
    with pytest.raises(SlipwayError, match=r"source is still https://example\.com/slipway"):
        parse_matrix(GOOD).list_released("v0.1.0")
    with pytest.raises(SlipwayError, match="published is 'cuda-bsae'"):
        parse_matrix('published = ["cuda-bsae"]\n' + GOOD)
