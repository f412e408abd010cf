"""NVIDIA's libraries in an image: where they lie, and how they tell their version."""

import re
from collections.abc import Callable, Iterator

from slipway.image.layers import Kind, SavedImage
from slipway.matrix import Image

NVIDIA = re.compile(r"/opt/venv/lib/python3\.\d+/site-packages/nvidia/.+")


def libraries(saved: SavedImage) -> list[str]:
    """The shared libraries of NVIDIA's own wheels."""
    paths = (path for path, (entry, _) in saved.merged().items() if entry.kind is Kind.FILE and NVIDIA.match(path))
    return sorted(path for path in paths if re.search(r"/lib[^/]+\.so[^/]*$", path))


def all_files(saved: SavedImage) -> Iterator[str]:
    """Every file of every layer, also those that a later layer deletes."""
    for layer in saved.layers:
        yield from (entry.path for entry in layer.entries if entry.kind in (Kind.FILE, Kind.HARDLINK, Kind.SYMLINK))


def soname(contract: Image, library: str) -> str:
    """The name by which the loader finds a library whose version follows CUDA's: libcudart.so.13."""
    return f"{library}.so.{contract.variant.versions['cuda'].partition('.')[0]}"


def locked(contract: Image, distribution: str) -> str:
    """The version of a distribution in the image's lock; its name may end in the CUDA version that it is for."""
    found = re.search(rf"(?m)^{distribution}(?:-cu\d+)?==(\S+)", contract.lock_text)
    assert found, f"{distribution} is in no lock of {contract.variant}"
    return found[1]


def own_version(python: Callable[[str], str], soname: str, function: str) -> str:
    """The version that a library's ...GetProperty tells: major, minor, patch."""
    program = f"""
import ctypes
library, number, version = ctypes.CDLL({soname!r}), ctypes.c_int(), []
for part in range(3):
    assert library.{function}(part, ctypes.byref(number)) == 0
    version.append(str(number.value))
print(".".join(version))
"""
    return python(program)
