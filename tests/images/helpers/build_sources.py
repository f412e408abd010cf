"""A container in which programs are built from tests/images/compilers/sources and run."""

import io
import tarfile
from pathlib import Path

import pytest
import testinfra
from testinfra.host import Host

from tests.images.helpers.containers import WITHOUT_GPU, Start

SOURCES = "/tmp/sources"
FOLDER = Path(__file__).parent.parent / "compilers" / "sources"


def pack_sources() -> bytes:
    """Return the sources as a tar archive, in the form in which the engine takes files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(FOLDER, SOURCES)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def builder(start_shared: Start) -> Host:
    """A container without network and GPU that has the sources; what one check builds, others of the module may run."""
    container = start_shared("infinity", entrypoint=["sleep"], network_mode="none", environment=WITHOUT_GPU)
    container.put_archive("/", pack_sources())
    return testinfra.get_host(f"docker://{container.id}")


def read_header(builder: Host, path: str) -> bytes:
    """Return the ELF header of a file in the container."""
    return bytes.fromhex(builder.check_output("head --bytes=64 %s | od -An -v -tx1 | tr -d ' \\n'", path))
