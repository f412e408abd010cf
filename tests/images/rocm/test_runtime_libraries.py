"""ROCm's libraries for computing: versions, and GPUs that they have kernels for."""

import re
from typing import Any

import pytest

from slipway.image.layers import Kind, SavedImage
from slipway.matrix import Image
from tests.images.helpers.containers import Python, Run
from tests.images.helpers.gpu_libraries import Function, ask_versions
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="rocm", flavor="runtime")

# Debian 13's versions, which stay for the life of the release; neither its packages nor ROCm's releases have them.
VERSIONS = {
    ("librocblas.so.0", "rocblas_get_version_string", "text"): "2.47.0",
    ("librocfft.so.0", "rocfft_get_version_string", "text"): "1.0.27",
    ("libhipfft.so.0", "hipfftGetVersion", "number"): "10027",
    ("libhiprand.so.1", "hiprandGetVersion", "number"): "201017",
    ("librocrand.so.1", "rocrand_get_version", "number"): "201017",
    ("librccl.so.1", "ncclGetVersion", "number"): "21304",
}
KERNELS = re.compile(r"/usr/lib/x86_64-linux-gnu/rocblas/([\d.]+)/library/.*(gfx[0-9a-f]+)\b.*")
# Matrices are stored by columns; 111 is rocblas_operation_none.
GEMM = """
import ctypes
from ctypes import byref, c_float, c_int, c_size_t, c_void_p
hip, blas = ctypes.CDLL("libamdhip64.so.5"), ctypes.CDLL("librocblas.so.0")

def check(code):
    assert code == 0, f"error {code}"

def on_gpu(*numbers):
    memory, values = c_void_p(), (c_float * 4)(*numbers)
    check(hip.hipMalloc(byref(memory), c_size_t(16)))
    check(hip.hipMemcpy(memory, values, c_size_t(16), 1))
    return memory

handle, one, zero, product = c_void_p(), c_float(1), c_float(0), (c_float * 4)()
a, b, c = on_gpu(1, 3, 2, 4), on_gpu(5, 7, 6, 8), on_gpu(0, 0, 0, 0)
check(blas.rocblas_create_handle(byref(handle)))
check(blas.rocblas_sgemm(handle, 111, 111, 2, 2, 2, byref(one), a, 2, b, 2, byref(zero), c, 2))
check(hip.hipMemcpy(product, c, c_size_t(16), 2))
print(*product)
"""


@pytest.fixture(scope="module")
def versions(python: Python) -> dict[str, str]:
    """Return what the libraries answer, by soname."""
    return ask_versions(python, VERSIONS)


@pytest.mark.requirement("C1")
@pytest.mark.parametrize("library", VERSIONS, ids=lambda library: library[0])
def test_library_has_the_version_of_debian(versions: dict[str, str], library: Function) -> None:
    """The library itself is asked, and answers without a GPU."""
    assert versions[library[0]] == VERSIONS[library]


@pytest.mark.requirement("C1")
def test_rocblas_has_the_kernels_of_the_contract(saved: SavedImage, contract: Image) -> None:
    """Of the architectures that images.toml names, and in no layer of another: all of them take 2 GB."""
    entries = (entry for layer in saved.layers for entry in layer.entries if entry.kind is Kind.FILE)
    found = [match for entry in entries if (match := KERNELS.fullmatch(entry.path))]
    assert {match[2] for match in found} == set(contract.variant.architectures)


@pytest.mark.requirement("C1")
def test_rocblas_finds_its_kernels(versions: dict[str, str], saved: SavedImage) -> None:
    """It looks for them in a folder that is named by its own version."""
    version = versions["librocblas.so.0"]
    assert {match[1] for path in saved.merged() if (match := KERNELS.fullmatch(path))} == {version}


@pytest.mark.requirement("A12")
def test_rocblas_multiplies_on_the_gpu(run: Run, gpu: dict[str, Any]) -> None:
    """With the kernels of its architecture, which must be one of the contract's."""
    output = run("python", "-c", GEMM, **gpu).require_success()
    assert output.split() == ["19.0", "43.0", "22.0", "50.0"]
