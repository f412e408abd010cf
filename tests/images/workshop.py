"""A container in which the sources beside a test module are built and run."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
import testinfra
from docker.models.images import Image as EngineImage
from testinfra.host import Host

SOURCES = "/tmp/sources"


def packed(folder: Path) -> bytes:
    """A folder as a tar archive, in the form in which the engine takes files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(folder, SOURCES)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def workshop(client: docker.DockerClient, image: EngineImage, request: pytest.FixtureRequest) -> Iterator[Host]:
    """A container without network and GPU with the folder `sources`; what one check builds, others may run."""
    container = client.containers.create(
        image.id,
        ["infinity"],
        entrypoint=["sleep"],
        network_mode="none",
        environment={"NVIDIA_VISIBLE_DEVICES": "void"},
    )
    try:
        container.put_archive("/", packed(request.path.parent / "sources"))
        container.start()
        yield testinfra.get_host(f"docker://{container.id}")
    finally:
        container.remove(force=True)
