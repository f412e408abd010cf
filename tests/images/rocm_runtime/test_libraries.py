"""The libraries that compute: versions, and for which GPUs."""

import re
from collections.abc import Callable

import pytest

from slipway.image.layers import Kind, SavedImage
from slipway.matrix import Image
from tests.images.amd import own_version

# Debian 13's; none is numbered as the ROCm that it belongs to.
VERSIONS = {
    ("librocblas.so.0", "rocblas_get_version_string"): "2.47.0",
    ("librocfft.so.0", "rocfft_get_version_string"): "1.0.27",
    ("libhipfft.so.0", "hipfftGetVersion"): "10027",
    ("libhiprand.so.1", "hiprandGetVersion"): "201017",
    ("librocrand.so.1", "rocrand_get_version"): "201017",
    ("librccl.so.1", "ncclGetVersion"): "21304",
}
KERNELS = re.compile(r"/usr/lib/x86_64-linux-gnu/rocblas/([\d.]+)/library/.*(gfx[0-9a-f]+)\b.*")


@pytest.mark.requirement("C1")
@pytest.mark.parametrize("library", VERSIONS, ids=lambda library: library[0])
def test_library_has_the_version_of_debian(python: Callable[[str], str], library: tuple[str, str]) -> None:
    """The library itself is asked, and answers without a GPU."""
    assert own_version(python, *library) == VERSIONS[library]


@pytest.mark.requirement("C1", "C8")
def test_rocblas_has_the_kernels_of_the_contract(saved: SavedImage, contract: Image) -> None:
    """Of the architectures that images.toml names, and in no layer of another: all of them take 2 GB."""
    entries = (entry for layer in saved.layers for entry in layer.entries if entry.kind is Kind.FILE)
    found = [match for entry in entries if (match := KERNELS.fullmatch(entry.path))]
    assert {match[2] for match in found} == set(contract.variant.architectures)


@pytest.mark.requirement("C1")
def test_rocblas_finds_its_kernels(python: Callable[[str], str], saved: SavedImage) -> None:
    """It looks for them in a folder that is named by its own version."""
    version = own_version(python, "librocblas.so.0", "rocblas_get_version_string")
    assert {match[1] for path in saved.merged() if (match := KERNELS.fullmatch(path))} == {version}
