"""NVIDIA's libraries in an image: their files, sonames and locked versions."""

import re
from collections.abc import Iterator

from slipway.image.layers import Kind, SavedImage
from slipway.matrix import Image
from tests.images.helpers.distributions import read_pins

NVIDIA = re.compile(r"/opt/venv/lib/python3\.\d+/site-packages/nvidia/.+")
# What CUDA answers without a GPU: the host has no driver, or the container got no device.
NO_GPU_ERRORS = (35, 100)


def libraries(saved: SavedImage) -> list[str]:
    """Return the shared libraries of NVIDIA's own wheels; the stubs beside them are none."""
    paths = (path for path, (entry, _) in saved.merged().items() if entry.kind is Kind.FILE and NVIDIA.match(path))
    return sorted(path for path in paths if re.search(r"(?<!/stubs)/lib[^/]+\.so[^/]*$", path))


def all_files(saved: SavedImage) -> Iterator[str]:
    """Yield every file of every layer, also those that a later layer deletes."""
    for layer in saved.layers:
        yield from (entry.path for entry in layer.entries if entry.kind in (Kind.FILE, Kind.HARDLINK, Kind.SYMLINK))


def soname(contract: Image, library: str) -> str:
    """Return the name by which the loader finds a library whose version follows CUDA's: libcudart.so.13."""
    return f"{library}.so.{contract.variant.versions['cuda'].partition('.')[0]}"


def find_locked(contract: Image, pattern: str) -> list[str]:
    """Return the locked versions of the distributions of a pattern, which may end in the CUDA version (-cu12)."""
    pins = read_pins(*contract.variant_locks)
    return [version for name, version in pins.items() if re.fullmatch(rf"{pattern}(-cu\d+)?", name)]


def locked(contract: Image, pattern: str) -> str:
    """Return the locked version of the one distribution of a pattern."""
    found = find_locked(contract, pattern)
    assert len(found) == 1, f"{pattern} in the locks of {contract.name}: {found}"
    return found[0]


def dotted(number: str) -> str:
    """Return a version such as 2.29.7 of its number, 22907, as cuDNN and NCCL write it."""
    return f"{int(number) // 10000}.{int(number) % 10000 // 100}.{int(number) % 100}"


def read_versions(output: str) -> dict[str, tuple[str, str]]:
    """Return each library's version in its header and its own, from lines of its name and the two."""
    lines = (line.split() for line in output.splitlines())
    return {name: (header, library) for name, header, library in lines}
