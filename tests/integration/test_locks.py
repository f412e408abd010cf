"""The session `lock` with the tools that it installs for itself."""

import sys

from slipway import repository
from tests.helpers.programs import run_merged


def test_the_session_says_that_every_lock_is_current() -> None:
    """It finds both uv and Slipway's own dependencies."""
    noxfile = f"--noxfile={repository.ROOT / 'noxfile.py'}"
    result = run_merged([sys.executable, "-m", "nox", noxfile, "-s", "lock", "--", "--check"])
    assert result.returncode == 0, result.stdout
