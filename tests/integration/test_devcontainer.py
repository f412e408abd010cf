""".devcontainer/: an editor works as the user of the image that it opens, in a folder of this host's user."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway import matrix, repository
from tests.helpers.built_images import require_built
from tests.helpers.programs import write_program

OPENED = sorted(file.parent.name for file in (repository.ROOT / ".devcontainer").glob("*/devcontainer.json"))
# `nox -s tests` builds the workbench below cpu-base-tools alone.
IMAGES = {"workbench": "cpu-base-tools", "cuda-devel": "cuda-devel"}
# The owner of the folder: not the user of the images, as far as this host's user can give a folder away.
OWNER = os.getuid() or 1001


@pytest.fixture(params=OPENED)
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The image of a dev container, made as the host's user OWNER makes it."""
    made = matrix.load_matrix().find_image(IMAGES[request.param])
    require_built(made)
    write_program(tmp_path / "id", f"echo {OWNER}")
    # By another name: a person may have one under the image's.
    name = f"try-{os.getpid()}"
    subprocess.run(["docker", "tag", made.tag, f"slipway:{name}"], check=True)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    try:
        subprocess.run([repository.ROOT / ".devcontainer/image", name], env=environment, check=True)
        yield f"slipway:{name}-devcontainer"
    finally:
        subprocess.run(["docker", "image", "rm", f"slipway:{name}", f"slipway:{name}-devcontainer"], check=False)


def test_the_folder_of_the_hosts_user_can_be_written(image: str, tmp_path: Path) -> None:
    """By the user that the editor works as; git works there, and the volumes stay writable."""
    folder = tmp_path / "folder"
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
        os.chown(path, OWNER, -1)
    script = "touch made && git status --short && touch /data/file /cache/file && id -u && id -g"
    volumes = ["--volume=/data", "--volume=/cache", f"--volume={folder}:/workspaces/folder"]
    command = ["docker", "run", "--rm", "--network=none", "--user=app", "--workdir=/workspaces/folder", *volumes]
    output = subprocess.check_output([*command, image, "sh", "-c", script], text=True)
    assert output.splitlines() == ["?? made", str(OWNER), "0"]
    assert (folder / "made").stat().st_uid == OWNER
