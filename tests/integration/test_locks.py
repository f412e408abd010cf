"""The session `lock` with the tools that it installs for itself."""

import subprocess
import sys

from slipway import repository


def test_the_session_says_that_every_lock_is_current() -> None:
    """It finds both uv and Slipway's own dependencies."""
    command = [
        sys.executable,
        "-m",
        "nox",
        f"--noxfile={repository.ROOT / 'noxfile.py'}",
        "-s",
        "lock",
        "--",
        "--check",
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
