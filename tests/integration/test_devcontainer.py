""".devcontainer/: an editor works as the user of the image that it opens, in a folder of this host's user."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway import repository

FILES = sorted((repository.ROOT / ".devcontainer").glob("*/devcontainer.json"))
OWNER = 1001  # of the folder: neither root nor the user of the images


@pytest.fixture(params=FILES, ids=lambda file: file.parent.name)
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The image of a dev container, made as the host's user OWNER makes it."""
    made = re.findall(r'"image": "(\S+)"', request.param.read_text())[0].removesuffix("-devcontainer")
    if subprocess.run(["docker", "image", "inspect", made], capture_output=True, check=False).returncode:
        pytest.skip(f"there is no {made}: nox -s build")
    (tmp_path / "id").write_text(f"#!/bin/sh\necho {OWNER}\n")
    (tmp_path / "id").chmod(0o755)
    # By another name: a person may have one under this name.
    name = f"try-{os.getpid()}"
    subprocess.run(["docker", "tag", made, f"slipway:{name}"], check=True)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    try:
        subprocess.run([repository.ROOT / ".devcontainer/image", name], env=environment, check=True)
        yield f"slipway:{name}-devcontainer"
    finally:
        subprocess.run(["docker", "image", "rm", f"slipway:{name}", f"slipway:{name}-devcontainer"], check=False)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_the_folder_of_another_user_can_be_written(image: str, tmp_path: Path) -> None:
    """By the user that the editor works as; git works there, and the volumes stay writable."""
    folder = tmp_path / "folder"
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    for path in (tmp_path, folder, *folder.rglob("*")):
        path.chmod(0o755)
        os.chown(path, OWNER, OWNER)
    script = "touch made && git status --short && touch /data/file /cache/file && id -u && id -g"
    volumes = ["--volume=/data", "--volume=/cache", f"--volume={folder}:/workspaces/folder"]
    command = ["docker", "run", "--rm", "--network=none", "--user=app", "--workdir=/workspaces/folder", *volumes]
    output = subprocess.check_output([*command, image, "sh", "-c", script], text=True)
    assert output.splitlines() == ["?? made", str(OWNER), "0"]
    assert (folder / "made").stat().st_uid == OWNER
