"""The builder of docker buildx: the engine's own, or another one, which cannot see the engine's images.

Another builder gets the images that a build starts from, the base image and a workload's variant, as named contexts:
folders in the OCI layout, of which buildx sends only what the builder lacks.
"""

import contextlib
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from slipway import docker, repository
from slipway.errors import SlipwayError
from slipway.matrix import Image


@contextlib.contextmanager
def share_parents(image: Image, name: str | None) -> Iterator[list[str]]:
    """Yield the options that give a builder the parents of an image; none where it is the engine's own.

    Without a name it is the default builder of docker buildx, which BUILDX_BUILDER or `docker buildx use` chooses.
    """
    if is_engines_own(name):
        yield []
        return
    tags = [image.variant.distro.tag, *([image.arguments["BASE"]] if image.workload else [])]
    # Beside the results and not in /tmp, which may be in memory.
    with tempfile.TemporaryDirectory(dir=image.results, prefix="parents-") as folder:
        layouts = {tag: export_image(tag, Path(folder) / str(number)) for number, tag in enumerate(tags)}
        yield [f"--build-context={tag}=oci-layout://{layout}" for tag, layout in layouts.items()]


def is_engines_own(name: str | None) -> bool:
    """Tell whether a builder is the engine's own; SlipwayError where it is unknown, silent, or of another engine."""
    result = docker.call("buildx", "inspect", *([name] if name else []))
    if result.returncode:
        reason = result.stderr.strip().removeprefix("ERROR: ")
        folder = os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker")
        if "permission denied" in reason and folder in reason:
            raise SlipwayError(f'{reason}: sudo has made files there, `sudo chown -R "$USER" {folder}` mends it')
        raise SlipwayError(f"{reason}: `docker buildx ls` lists the builders, --builder or BUILDX_BUILDER names one")
    name, driver = (find_field(field, result.stdout) for field in ("Name", "Driver"))
    if driver == "docker" and name != docker.own_builder():
        raise SlipwayError(f"the builder {name} is another Docker engine: set DOCKER_CONTEXT={name} instead")
    # buildx starts a builder in a container, and has no driver for a context whose engine is down.
    if driver in ("remote", "") and "running" not in re.findall(r"(?m)^Status: +(\w+)", result.stdout):
        where = find_field("Endpoint", result.stdout) or "a Docker context"
        reason = find_field("Error", result.stdout) or "is it running, and are its certificates right?"
        raise SlipwayError(f"the builder {name} at {where} does not answer: {reason}")
    return driver == "docker"


def find_field(name: str, text: str) -> str:
    """Return the value of the first line of this name that `docker buildx inspect` prints; "" without one."""
    match = re.search(rf"(?m)^{name}: +(\S.*)$", text)
    return match[1] if match else ""


def export_image(tag: str, folder: Path) -> str:
    """Save an image of the engine in the OCI layout; return its place and digest, as buildx takes them."""
    image_id = docker.require_image(tag)["Id"]
    folder.mkdir()
    with docker.save(image_id) as archive:
        unpacked = subprocess.run(["tar", "-x", "-C", folder], stdin=archive, capture_output=True, check=False)
    if unpacked.returncode:
        raise SlipwayError(f"cannot write {tag} to {folder}: {unpacked.stderr.decode(errors='replace').strip()}")
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    # Relative to where nox runs: buildx takes what follows the first @ of a path for the digest.
    return f"{folder.relative_to(repository.ROOT)}@{index['manifests'][0]['digest']}"
