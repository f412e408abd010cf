"""A deprecated family: it still builds, and who builds or runs it is told."""

import pytest

from slipway import matrix
from slipway.errors import SlipwayError

ROW = 'deprecated = { since = "2026-11-01", reason = "Debian 12 leaves its support", successor = "cuda13.2" }'
SENTENCE = "deprecated since 2026-11-01: Debian 12 leaves its support; use cuda13.2 instead"
OWN = matrix.FILE.read_text()
CPU = '[family.cpu]\ndockerfile = "Dockerfile.cpu"\n'


def deprecated(row: str = ROW) -> str:
    """Return this repository's images.toml with its family cpu deprecated."""
    assert CPU in OWN
    return OWN.replace(CPU, f"{CPU}{row}\n")


@pytest.mark.requirement("V8")
def test_a_deprecated_family_is_read_and_goes_on_being_built() -> None:
    """Its images stay in the matrix, and hand the sentence to their build."""
    rows = matrix.read_matrix(deprecated())
    assert str(rows.families["cpu"].deprecated) == SENTENCE
    assert [image.name for image in rows.images] == [image.name for image in matrix.load().images]
    assert rows.image("cpu-devel").arguments["DEPRECATED"] == SENTENCE
    assert "DEPRECATED" not in rows.image("cuda-devel").arguments


WRONG = {
    "no date": ("2026-11-01", "2026-11-31", r"cpu.deprecated since is '2026-11-31'; it must be a date"),
    "date without quotes": ('"2026-11-01"', "2026-11-01", "since is datetime.date.*it must be a date"),
    "no reason": ("Debian 12 leaves its support", " ", "reason is ' '; it must be one line"),
    "full stop": ("its support", "its support.", "it must be one line that says why, without a full stop"),
    "two lines": ("12 leaves", r"12\nleaves", "it must be one line"),
    "unknown successor": ("cuda13.2", "cuda14.0", "successor is 'cuda14.0'; it must be one of cpu-arm64, "),
    "its own successor": ("cuda13.2", "cpu", "successor is 'cpu'; it must be one of cpu-arm64, "),
    "no successor": (', successor = "cuda13.2"', "", "successor is missing"),
    "unknown key": ("since", "from", "deprecated has an unknown key 'from'; allowed: since, reason, successor"),
    "not a table": (ROW, "deprecated = true", "deprecated must be a table, not True"),
}


@pytest.mark.requirement("V8")
@pytest.mark.parametrize(("old", "new", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_deprecation_is_named(old: str, new: str, message: str) -> None:
    """A sentence that leads nowhere reaches nobody."""
    assert old in ROW
    with pytest.raises(SlipwayError, match=message):
        matrix.read_matrix(deprecated(ROW.replace(old, new)))


@pytest.mark.requirement("V8")
def test_a_successor_is_not_deprecated_itself() -> None:
    """Nobody is sent from one family to the next."""
    text = deprecated().replace('locks = "cuda13.2"', 'locks = "cuda13.2"\n' + ROW.replace('"cuda13.2"', '"cuda"'))
    with pytest.raises(SlipwayError, match=r"cpu.deprecated successor is 'cuda13.2'; it must be one of cpu-arm64, "):
        matrix.read_matrix(text)
