"""The CUDA libraries that come with PyTorch have the versions of the lock."""

from collections.abc import Callable

import pytest

from slipway import matrix
from slipway.matrix import Image
from tests.images.nvidia import locked, own_version

DISTRIBUTIONS = {
    ("libcufft.so.12", "cufftGetProperty"): "nvidia-cufft",
    ("libcurand.so.10", "curandGetProperty"): "nvidia-curand",
    ("libcusparse.so.12", "cusparseGetProperty"): "nvidia-cusparse",
    ("libcusolver.so.12", "cusolverGetProperty"): "nvidia-cusolver",
    ("libcusparseLt.so.0", "cusparseLtGetProperty"): "nvidia-cusparselt-cu13",
}
NVJITLINK = """
import ctypes
major, minor = ctypes.c_int(), ctypes.c_int()
ctypes.CDLL("libnvJitLink.so.13").nvJitLinkVersion(ctypes.byref(major), ctypes.byref(minor))
print(major.value, minor.value, sep=".")
"""
NCCL = "import ctypes; n = ctypes.c_int(); ctypes.CDLL('libnccl.so.2').ncclGetVersion(ctypes.byref(n)); print(n.value)"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a case of each library of the lock: PyTorch stopped using cuRAND with 2.15."""
    if "library" in metafunc.fixturenames:
        lock = matrix.load().image(metafunc.config.getoption("--contract")).lock.read_text(encoding="utf-8")
        libraries = [library for library, name in DISTRIBUTIONS.items() if f"\n{name}==" in lock]
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
    assert python(NVJITLINK) == contract.family.versions["cuda"]


@pytest.mark.requirement("U9", "U8")
def test_nccl_has_the_version_of_the_lock(python: Callable[[str], str], contract: Image) -> None:
    """NCCL loads without a GPU and without InfiniBand."""
    number = int(python(NCCL))
    assert f"{number // 10000}.{number % 10000 // 100}.{number % 100}" == locked(contract, "nvidia-nccl-cu13")
