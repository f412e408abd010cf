"""The CUDA libraries that come with PyTorch have the versions of the lock."""

import json
import re

import pytest

from slipway.matrix import Image
from tests.images.helpers.containers import Python
from tests.images.helpers.cuda_libraries import dotted, find_locked, locked, soname
from tests.images.helpers.distributions import INSTALLED
from tests.images.helpers.gpu_libraries import ask_versions
from tests.images.helpers.scope import applies, read_contract

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
# Asked for their versions elsewhere, or not at all; patterns of names, too.
ASKED = "nvidia-(cublas|cuda-nvcc|cuda-nvrtc|cuda-runtime|cudnn|nccl|nvjitlink)"
NOT_ASKED = {
    "nvidia-cuda-(cccl|crt|profiler-api)": "headers, which the compiler's checks include",
    "nvidia-nvml-dev": "a header and a stub",
    "nvidia-nvvm": "nvcc's own part, which its checks run",
    "nvidia-cuda-cupti": "its version is that of its interface",
    "nvidia-cufile": "it has no function for it",
    "nvidia-nvshmem": "it asks for a GPU first",
    "nvidia-nvtx": "it has no function for it",
    "nvidia-cudnn-frontend": "headers, and Python around cuDNN",
    "nvidia-cutlass-dsl(-libs(-base|-core)?)?": "a compiler that flash attention imports",
    "nvidia-ml-py": "Python around the driver's library",
}


def locked_libraries(contract: Image) -> list[tuple[str, str]]:
    """Return the libraries that the lock has: PyTorch stopped using cuRAND with 2.15."""
    return [library for library, pattern in DISTRIBUTIONS.items() if find_locked(contract, pattern)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a check of each library of the lock."""
    if "library" in metafunc.fixturenames:
        libraries = locked_libraries(read_contract(metafunc.config))
        metafunc.parametrize("library", libraries, ids=lambda library: library[0])


@pytest.fixture(scope="module")
def versions(python: Python, contract: Image) -> dict[str, str]:
    """Return what the libraries answer, by soname."""
    functions = [(*library, "parts") for library in locked_libraries(contract)]
    functions.append((soname(contract, "libnvJitLink"), "nvJitLinkVersion", "pair"))
    functions.append(("libnccl.so.2", "ncclGetVersion", "number"))
    return ask_versions(python, functions)


@pytest.mark.requirement("T2", "U8")
def test_library_has_the_version_of_the_lock(
    versions: dict[str, str], contract: Image, library: tuple[str, str]
) -> None:
    """The loader takes the file that the lock names."""
    assert f"{locked(contract, DISTRIBUTIONS[library])}.".startswith(f"{versions[library[0]]}.")


@pytest.mark.requirement("T2", "V2")
def test_linker_at_run_time_has_the_version_of_the_contract(versions: dict[str, str], contract: Image) -> None:
    """nvJitLink links code of its own CUDA version or older: an older one cannot link what NVRTC compiles."""
    assert versions[soname(contract, "libnvJitLink")] == contract.variant.versions["cuda"]


@pytest.mark.requirement("U9", "U8")
def test_nccl_has_the_version_of_the_lock(versions: dict[str, str], contract: Image) -> None:
    """NCCL loads without a GPU and without InfiniBand."""
    assert dotted(versions["libnccl.so.2"]) == locked(contract, "nvidia-nccl")


def test_every_distribution_of_nvidia_is_asked(python: Python) -> None:
    """A new one, or one under another name, has a check of its version, or a reason why not."""
    names = [name for name, _ in json.loads(python(INSTALLED)) if name.startswith("nvidia-")]
    known = "|".join([ASKED, *NOT_ASKED, *DISTRIBUTIONS.values()])
    assert len(names) > 5
    assert [name for name in names if not re.fullmatch(rf"({known})(-cu\d+)?", name)] == []
