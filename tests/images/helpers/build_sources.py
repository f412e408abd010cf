"""A container in which programs are built from tests/images/compilers/sources and run."""

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
FOLDER = Path(__file__).parent.parent / "compilers" / "sources"


def pack_sources() -> bytes:
    """Return the sources as a tar archive, in the form in which the engine takes files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(FOLDER, SOURCES)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def builder(client: docker.DockerClient, image: EngineImage) -> Iterator[Host]:
    """A container without network and GPU that has the sources; what one check builds, others of the module may run."""
    container = client.containers.create(
        image.id,
        ["infinity"],
        entrypoint=["sleep"],
        network_mode="none",
        environment={"NVIDIA_VISIBLE_DEVICES": "void"},
    )
    try:
        container.put_archive("/", pack_sources())
        container.start()
        yield testinfra.get_host(f"docker://{container.id}")
    finally:
        container.remove(force=True)


def read_header(builder: Host, path: str) -> bytes:
    """Return the ELF header of a file in the container."""
    return bytes.fromhex(builder.check_output("head --bytes=64 %s | od -An -v -tx1 | tr -d ' \\n'", path))
