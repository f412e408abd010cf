"""Pending security updates and old locks: found without a database; "not run" where they cannot be known."""

import pytest

from slipway.scan import pending_updates
from slipway.scan.pending_updates import NotRunError


@pytest.mark.parametrize(
    "output", ["", "E: no\n", "Listing...\nlibssl3t64 is upgradable\n", "libc6/a 2 amd64 [upgradable from: 1]"]
)
def test_a_list_that_reads_otherwise_is_not_run(output: str) -> None:
    """apt says itself that its list has no stable form."""
    with pytest.raises(NotRunError, match="unknown form"):
        pending_updates.read_updates(output)


def test_nothing_pending_is_an_empty_list() -> None:
    assert pending_updates.read_updates("Listing...\n") == []
