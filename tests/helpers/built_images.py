"""Images of the matrix that tests start from, and images of tests."""

import uuid

import pytest

from slipway import docker
from slipway.matrix import Image


def require_built(image: Image) -> None:
    """Skip the test when the engine does not have an image; the reason gives the command that builds it."""
    if docker.inspect(image.tag) is None:
        pytest.skip(f"there is no {image.tag}: nox -s build -- {image.name}")


def make_name() -> str:
    """Return a name for images, containers or volumes that no other test has."""
    return f"slipway-test-{uuid.uuid4().hex[:8]}"


def list_tags(repository: str) -> list[str]:
    """Return the tags that the engine has of a repository."""
    return docker.output("image", "ls", "--format={{.Tag}}", repository).split()


def read_layers(reference: str) -> list[str]:
    """Return an image's diff IDs."""
    found: list[str] = docker.require_image(reference)["RootFS"]["Layers"]
    return found
