"""The sessions' option --platform, in real nox."""

from pathlib import Path

import pytest

from slipway import matrix
from slipway.images_toml import Platform
from tests.helpers import checkout as copies

MATRIX = matrix.load_matrix()


ARM64: Platform = "linux/arm64"


@pytest.mark.requirement("U6")
@pytest.mark.parametrize("session", ["build-cuda(base)", "test-cuda(base)"])
def test_sessions_take_the_platform_as_docker_does(session: str, tmp_path: Path) -> None:
    """By --platform; one that there is not ends the session at once."""
    copies.copy_repository(tmp_path)
    checkout = copies.Checkout(tmp_path, MATRIX.repository)
    result = checkout.nox("-s", session, "--", "--platform", ARM64)
    assert result.returncode != 0
    assert "there is no cuda-base for linux/arm64: each wheel exists" in result.stdout
    assert "Traceback" not in result.stdout
