"""The matrix: what the file says becomes images, and what is wrong with it is named."""

import json

import pytest

from slipway import matrix
from slipway.errors import SlipwayError

GOOD = """
repository = "slipway"
release = "0.1.0"
source = "https://example.com/slipway"
apt_date = "2026-11-21"
free_disk_gb = 20

[base]
image = "debian:trixie-slim"
suite = "trixie"

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
"""


def test_an_image_knows_its_name_tag_lock_and_lineage() -> None:
    """Sessions, tests and evidence all take these from here."""
    image = matrix.read_matrix(GOOD).image("cuda-runtime")
    assert image.tag == "slipway:cuda-runtime"
    assert image.lock.name == "cuda13.0-runtime.txt"
    assert image.lineage == ("base", "runtime")
    assert (image.least_size, image.most_size) == (4_000_000_000, 5_300_000_000)


def test_a_flavor_runs_its_ancestors_checks() -> None:
    """What base promises, runtime must keep."""
    rows = matrix.read_matrix(GOOD)
    base, runtime = (rows.image(f"cuda-{flavor}").checks for flavor in ("base", "runtime"))
    assert base == runtime[: len(base)]
    assert [folder.name for folder in base] == ["every", "cuda"]
    assert "cuda_runtime" in [folder.name for folder in runtime]


def test_an_unknown_image_is_answered_with_the_names_there_are() -> None:
    """A typing error is mended at once."""
    with pytest.raises(SlipwayError, match=r"no image 'cuda-dev'.*cuda-base, cuda-runtime"):
        matrix.read_matrix(GOOD).image("cuda-dev")


WRONG = {
    "not TOML": ("[base]", "[base", "not valid TOML"),
    "unknown key": (
        'suite = "trixie"',
        'suite = "trixie"\nsweet = 1',
        r"\[base\] has an unknown key 'sweet'; allowed: image, suite",
    ),
    "unknown top key": ("[base]", "colour = 1\n[base]", "unknown key 'colour'"),
    "missing key": ('release = "0.1.0"', "", "release is missing; it must be a version"),
    "wrong type": ('release = "0.1.0"', "release = 1", "release is 1; it must be a version"),
    "bad repository": ('"slipway"', '"Slip:way"', "repository is 'Slip:way'"),
    "bad date": ("2026-11-21", "2026-13-21", "apt_date is '2026-13-21'; it must be a date"),
    "no number": ("free_disk_gb = 20", 'free_disk_gb = "much"', "free_disk_gb is 'much'"),
    "unknown accelerator": (
        'accelerator = "cuda"',
        'accelerator = "tpu"',
        r"\[family\].cuda accelerator is 'tpu'; .*one of cpu, cuda",
    ),
    "name of another accelerator": ("[family.cuda]", "[family.cpu]", r"must be named cuda"),
    "unknown version": ('cuda = "13.0" }\narch', 'hip = "6" }\narch', "versions has an unknown key 'hip'"),
    "architecture": ('["sm_90"]', '["gfx90a"]', r"architectures is \['gfx90a'\]"),
    "unknown flavor": (
        "runtime = {",
        "large = {",
        "names base, large; the flavors are, in order, base, runtime, devel",
    ),
    "flavor left out": ("base = { size_gb = [1.0, 1.6] }\n", "", "names runtime; the flavors are, in order"),
    "least above most": ("[1.0, 1.6]", "[1.6, 1.0]", r"size_gb is \[1.6, 1.0\]; it must be \[least, most\]"),
    "one-sided size": ("[1.0, 1.6]", "1.6", r"size_gb is 1.6"),
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
    assert matrix.main() == 0
    rows = json.loads(capsys.readouterr().out)["include"]
    assert {"family": "cuda", "flavor": "devel", "image": "cuda-devel"} in rows
    assert len(rows) == len(matrix.load().images)
