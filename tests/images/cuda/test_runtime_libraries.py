"""The CUDA libraries that come with PyTorch have the versions of the lock."""

import re
from collections.abc import Callable

import pytest

from slipway import matrix
from slipway.matrix import Image
from tests.images.helpers.cuda_libraries import locked, own_version, soname
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="cuda", flavor="runtime")

# Patterns of names, which may end in the CUDA version. Two libraries have another soname in CUDA 12.
DISTRIBUTIONS = {
    ("libcufft.so.11", "cufftGetProperty"): "nvidia-cufft-cu12",
    ("libcufft.so.12", "cufftGetProperty"): "nvidia-cufft(?!-cu12)",
    ("libcurand.so.10", "curandGetProperty"): "nvidia-curand",
    ("libcusparse.so.12", "cusparseGetProperty"): "nvidia-cusparse",
    ("libcusolver.so.11", "cusolverGetProperty"): "nvidia-cusolver-cu12",
    ("libcusolver.so.12", "cusolverGetProperty"): "nvidia-cusolver(?!-cu12)",
    ("libcusparseLt.so.0", "cusparseLtGetProperty"): "nvidia-cusparselt",
}
NVJITLINK = """
import ctypes
major, minor = ctypes.c_int(), ctypes.c_int()
ctypes.CDLL(SONAME).nvJitLinkVersion(ctypes.byref(major), ctypes.byref(minor))
print(major.value, minor.value, sep=".")
"""
NCCL = "import ctypes; n = ctypes.c_int(); ctypes.CDLL('libnccl.so.2').ncclGetVersion(ctypes.byref(n)); print(n.value)"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a case of each library of the lock: PyTorch stopped using cuRAND with 2.15."""
    if "library" in metafunc.fixturenames:
        lock = matrix.load_matrix().find_image(metafunc.config.getoption("--contract")).lock_text
        libraries = [library for library, name in DISTRIBUTIONS.items() if re.search(rf"(?m)^{name}(-cu\d+)?==", lock)]
        metafunc.parametrize("library", libraries, ids=lambda library: library[0])


@pytest.mark.requirement("T2", "U8")
def test_library_has_the_version_of_the_lock(
    python: Callable[[str], str], contract: Image, library: tuple[str, str]
) -> None:
    """The file that the loader takes is the one that the lock names."""
    assert f"{locked(contract, DISTRIBUTIONS[library])}.".startswith(f"{own_version(python, *library)}.")


@pytest.mark.requirement("T2", "V2")
def test_linker_at_run_time_has_the_version_of_the_contract(python: Callable[[str], str], contract: Image) -> None:
    """nvJitLink links code of its own CUDA version or older: an older one breaks what NVRTC compiled."""
    program = f"SONAME = {soname(contract, 'libnvJitLink')!r}\n{NVJITLINK}"
    assert python(program) == contract.variant.versions["cuda"]


@pytest.mark.requirement("U9", "U8")
def test_nccl_has_the_version_of_the_lock(python: Callable[[str], str], contract: Image) -> None:
    """NCCL loads without a GPU and without InfiniBand."""
    number = int(python(NCCL))
    assert f"{number // 10000}.{number % 10000 // 100}.{number % 100}" == locked(contract, "nvidia-nccl")
