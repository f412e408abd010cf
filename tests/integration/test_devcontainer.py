""".devcontainer/: an editor works as the user of the image that it opens."""

import re
import subprocess
from pathlib import Path

import pytest

from slipway import repository

FILES = sorted((repository.ROOT / ".devcontainer").glob("*/devcontainer.json"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_the_user_is_the_images(file: Path) -> None:
    """Neither root nor a name that the image does not have."""
    image, user = (re.findall(rf'"{key}": "(\S+)"', file.read_text())[0] for key in ("image", "remoteUser"))
    if subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode:
        pytest.skip(f"there is no {image}: nox -s build")
    command = ["docker", "run", "--rm", "--network=none", "--entrypoint=id", image]
    assert subprocess.check_output([*command, "-un"], text=True).strip() == user
    assert subprocess.check_output([*command, "-u"], text=True).strip() == "1000"
