"""Small images for tests of scans, built within a second and removed afterwards."""

import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.helpers.built_images import make_name

TryImage = Callable[[str], str]


def build(dockerfile: str, tag: str) -> str:
    """Build an image by plain docker and return its ID."""
    command = ["docker", "buildx", "build", "--quiet", "--load", "--provenance=false", "--network=none"]
    result = subprocess.run(
        [*command, f"--tag={tag}", "-"], input=dockerfile, text=True, capture_output=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return subprocess.check_output(["docker", "image", "inspect", "--format={{.Id}}", tag], text=True).strip()


@pytest.fixture
def try_image() -> Iterator[TryImage]:
    """Build an image from the text of a Dockerfile; it is removed afterwards."""
    tags: list[str] = []

    def make(dockerfile: str) -> str:
        tags.append(f"{make_name()}:image")
        return build(dockerfile, tags[-1])

    yield make
    for tag in tags:
        subprocess.run(["docker", "image", "rm", "--force", tag], capture_output=True, check=False)
