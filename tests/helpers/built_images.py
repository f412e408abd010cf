"""Images of the matrix that tests start from."""

import pytest

from slipway import docker
from slipway.matrix import Image


def require_built(image: Image) -> None:
    """Skip the test when the engine does not have an image; the reason gives the command that builds it."""
    if docker.inspect(image.tag) is None:
        pytest.skip(f"there is no {image.tag}: nox -s build -- {image.name}")
