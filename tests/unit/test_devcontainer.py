""".devcontainer/: each folder opens an image of the matrix, which the session that it names builds."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from slipway import matrix, repository
from tests.helpers.programs import write_program

MATRIX = matrix.load_matrix()
FILES = sorted((repository.ROOT / ".devcontainer").glob("*/devcontainer.json"))
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)


def read(file: Path) -> dict[str, Any]:
    """Return a configuration; lines of comments are allowed in it."""
    text = re.sub(r"(?m)^\s*//.*$", "", file.read_text())
    found: dict[str, Any] = json.loads(text)
    return found


def image_of(file: Path) -> matrix.Image:
    """Return the image of the matrix that a configuration's own image is made of."""
    return {f"{image.tag}-devcontainer": image for image in MATRIX.images}[read(file)["image"]]


def test_a_workbench_and_a_compiler_can_be_opened() -> None:
    """The two that people work in."""
    images = [image_of(file) for file in FILES]
    assert any(image.workload and image.workload.target == "workbench" for image in images)
    assert any(image.flavor == "devel" for image in images)


@each_file
@pytest.mark.parametrize("there", [True, False])
def test_the_image_is_built_by_its_own_session_where_it_is_missing(file: Path, tmp_path: Path, *, there: bool) -> None:
    """With the host's mirror, proxies and CA bundle, which an editor's own build would not pass on."""
    image = image_of(file)
    for program, code in (("docker", 0 if there else 1), ("noxw", 0)):
        script = f"echo {program} $* >>calls\n[ $1 != image ] || exit {code}\n[ $1 != build ] || cat >build"
        write_program(tmp_path / program, script)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    program, *words = read(file)["initializeCommand"].split()
    subprocess.run([repository.ROOT / program, *words], cwd=tmp_path, env=environment, check=True)
    calls = (tmp_path / "calls").read_text().splitlines()
    asked = f"docker image inspect {image.tag}"
    assert calls[:-2] == ([asked] if there else [asked, f"noxw -s build -- {image.name}"])
    assert calls[-1].endswith(f"--tag {image.tag}-devcontainer -")
    assert f"--uid {os.getuid()} --shell /bin/bash app" in (tmp_path / "build").read_text()


@each_file
def test_an_editor_works_as_in_the_image(file: Path) -> None:
    """Its user keeps its number: /data and /cache belong to group 0, which an editor would take from it with the UID.

    The data that `nox -s run` keeps is there, too; what is forwarded is listened on; a host without a GPU opens it.
    """
    image, configuration = image_of(file), read(file)
    assert configuration["remoteUser"] == "app"
    assert configuration["updateRemoteUserUID"] is False
    mounts = [dict(part.split("=") for part in mount.split(",")) for mount in configuration["mounts"]]
    assert {(mount["type"], mount["source"], mount["target"]) for mount in mounts} == {
        ("volume", "slipway-data", "/data"),
        ("volume", "slipway-cache", "/cache"),
    }
    assert set(configuration["forwardPorts"]) <= set(image.ports)
    wanted = {"gpu": "optional"} if image.variant.accelerator == "cuda" else None
    assert configuration.get("hostRequirements") == wanted
