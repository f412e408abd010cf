"""What a check measures in seconds: as often as its verdict needs."""

from itertools import product

import pytest

from tests.images.helpers.containers import measure_usual


@pytest.mark.parametrize("seconds", list(product((1.0, 2.0, 9.0), repeat=3)))
def test_the_verdict_is_that_of_the_median_of_three(seconds: tuple[float, ...]) -> None:
    """One slow start is not the image's; a third measurement that cannot change the verdict is left out."""
    values = iter(seconds)
    found = measure_usual(lambda: next(values), 5)
    assert (found < 5) == (sorted(seconds)[1] < 5)
    assert len(list(values)) == ((seconds[0] < 5) == (seconds[1] < 5))
