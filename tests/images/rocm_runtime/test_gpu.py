"""With a GPU of AMD: rocBLAS multiplies on it."""

from typing import Any

import pytest

from tests.images.conftest import Run

# Matrices stand by columns; 111 is rocblas_operation_none.
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


@pytest.mark.requirement("A12")
def test_rocblas_multiplies_on_the_gpu(run: Run, amd_gpu: dict[str, Any]) -> None:
    """By the kernels of its architecture; a GPU of another needs an image that is built for it."""
    finished = run("python", "-c", GEMM, **amd_gpu)
    assert finished.exit_code == 0, finished
    assert finished.output.split() == ["19.0", "43.0", "22.0", "50.0"]
