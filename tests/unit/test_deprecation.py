"""A deprecated variant: its images stay in the matrix, and a wrong notice is an error."""

import pytest

from slipway import matrix
from slipway.errors import SlipwayError
from tests.helpers.deprecation import ROW, SENTENCE, deprecate_cpu
from tests.helpers.matrices import parse_matrix


@pytest.mark.requirement("V8")
def test_a_deprecated_variant_is_read_and_goes_on_being_built() -> None:
    """Its images stay in the matrix, and hand the sentence to their build."""
    the_matrix = parse_matrix(deprecate_cpu())
    assert str(the_matrix.variants["cpu"].deprecated) == SENTENCE
    assert [image.name for image in the_matrix.images] == [image.name for image in matrix.load_matrix().images]
    assert the_matrix.find_image("cpu-devel").arguments["DEPRECATED"] == SENTENCE
    assert "DEPRECATED" not in the_matrix.find_image("cuda-devel").arguments


WRONG = {
    "no date": ("2026-11-01", "2026-11-31", "since"),
    "date without quotes": ('"2026-11-01"', "2026-11-01", "since"),
    "no reason": ("Debian 12 leaves its support", " ", "reason"),
    "full stop": ("its support", "its support.", "reason"),
    "two lines": ("12 leaves", r"12\nleaves", "reason"),
    "unknown successor": ("cuda13.2", "cuda14.0", "successor"),
    "its own successor": ("cuda13.2", "cpu", "successor"),
    "no successor": (', successor = "cuda13.2"', "", "successor"),
    "unknown key": ("since", "from", "from"),
    "not a table": (ROW, "deprecated = true", "a table"),
}


@pytest.mark.requirement("V8")
@pytest.mark.parametrize(("old", "new", "word"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_deprecation_is_named(old: str, new: str, word: str) -> None:
    """The message has the table and the key; a notice must lead somewhere."""
    assert old in ROW
    with pytest.raises(SlipwayError, match=rf"cpu\.deprecated\b.*\b{word}\b"):
        parse_matrix(deprecate_cpu(ROW.replace(old, new)))


@pytest.mark.requirement("V8")
def test_a_successor_is_not_deprecated_itself() -> None:
    """Nobody is sent from one variant to the next."""
    text = deprecate_cpu().replace('locks = "cuda13.2"', 'locks = "cuda13.2"\n' + ROW.replace('"cuda13.2"', '"cuda"'))
    with pytest.raises(SlipwayError, match=r"cpu\.deprecated\b.*\bsuccessor\b.*cuda13\.2"):
        parse_matrix(text)
