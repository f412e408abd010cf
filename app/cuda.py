"""The NVIDIA GPU through ctypes: libcuda (driver), libcudart (runtime) and cuBLAS.

No Python package is needed, so this works where only CUDA's libraries are installed. A sibling
for another accelerator offers the same four: `is_installed`, `why_unavailable`, `multiply`,
`devices`.
"""

import ctypes
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ctypes import byref, c_char_p, c_float, c_int, c_size_t, c_void_p, create_string_buffer
from math import isqrt
from typing import TYPE_CHECKING, Any

from app import libraries

if TYPE_CHECKING:
    from array import array

NAME = "cuda"

# Enumerators of cuda_runtime_api.h, cublas_api.h and cuda.h; the same in every version.
HOST_TO_DEVICE = 1
DEVICE_TO_HOST = 2
NO_TRANSPOSE = 0
COMPUTE_CAPABILITY_MAJOR = 75
COMPUTE_CAPABILITY_MINOR = 76


class CudaError(Exception):
    """A call to CUDA that did not succeed."""


def is_installed() -> bool:
    """Whether this image has CUDA."""
    return libraries.newest("cudart") is not None


def why_unavailable() -> str | None:
    """Why no GPU can be used here, or None where one can."""
    try:
        count = c_int()
        runtime = cuda_library("cudart")
        _driver()  # without it, CUDA says that the driver is too old
        _check_runtime(runtime, "cudaGetDeviceCount", byref(count))
    except CudaError as error:
        return str(error)
    return None if count.value else "the NVIDIA driver shows no device to this container"


def runtime_version() -> str | None:
    """The version of the CUDA runtime, such as 13.0; None where there is none."""
    version = c_int()
    try:
        _check_runtime(cuda_library("cudart"), "cudaRuntimeGetVersion", byref(version))
    except CudaError:
        return None
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


def multiply(a: "array[float]", b: "array[float]") -> "array[float]":
    """The product of two square matrices, each row by row, computed by cuBLAS on the first GPU."""
    runtime, blas = cuda_library("cudart"), cuda_library("cublas")
    _check_runtime(runtime, "cudaSetDevice", c_int(0))
    product = a[:]
    size = len(a) * a.itemsize
    with ExitStack() as stack:
        on_gpu = [stack.enter_context(_memory(runtime, size)) for _ in range(3)]
        handle = stack.enter_context(_blas_handle(blas))
        _copy(runtime, on_gpu[0], c_void_p(a.buffer_info()[0]), size, HOST_TO_DEVICE)
        _copy(runtime, on_gpu[1], c_void_p(b.buffer_info()[0]), size, HOST_TO_DEVICE)
        _sgemm(blas, handle, isqrt(len(a)), on_gpu)
        # This copy waits for the product, and reports what went wrong while it was computed.
        _copy(runtime, c_void_p(product.buffer_info()[0]), on_gpu[2], size, DEVICE_TO_HOST)
    return product


def _sgemm(blas: ctypes.CDLL, handle: c_void_p, n: int, on_gpu: list[c_void_p]) -> None:
    """Multiply on the GPU. cuBLAS stores by columns, so b times a is a times b by rows."""
    a, b, product = on_gpu
    size, one, zero = c_int(n), c_float(1), c_float(0)
    _check_blas(
        blas,
        "cublasSgemm_v2",
        *(handle, c_int(NO_TRANSPOSE), c_int(NO_TRANSPOSE), size, size, size),
        *(byref(one), b, size, a, size, byref(zero), product, size),
    )


@contextmanager
def _memory(runtime: ctypes.CDLL, size: int) -> Iterator[c_void_p]:
    """Memory on the GPU, freed afterwards."""
    pointer = c_void_p()
    _check_runtime(runtime, "cudaMalloc", byref(pointer), c_size_t(size))
    try:
        yield pointer
    finally:
        _check_runtime(runtime, "cudaFree", pointer)


@contextmanager
def _blas_handle(blas: ctypes.CDLL) -> Iterator[c_void_p]:
    """A cuBLAS handle, destroyed afterwards with its workspace."""
    handle = c_void_p()
    _check_blas(blas, "cublasCreate_v2", byref(handle))
    try:
        yield handle
    finally:
        _check_blas(blas, "cublasDestroy_v2", handle)


def _copy(runtime: ctypes.CDLL, to: c_void_p, source: c_void_p, size: int, kind: int) -> None:
    _check_runtime(runtime, "cudaMemcpy", to, source, c_size_t(size), c_int(kind))


def devices() -> list[dict[str, Any]]:
    """Each GPU as the driver describes it, without a context: that would take its memory."""
    try:
        driver = _driver()
        _check_driver(driver, "cuInit", c_int(0))
        count = c_int()
        _check_driver(driver, "cuDeviceGetCount", byref(count))
        return [_describe(driver, c_int(index)) for index in range(count.value)]
    except CudaError:
        return []


def _describe(driver: ctypes.CDLL, index: c_int) -> dict[str, Any]:
    device, memory, name = c_int(), c_size_t(), create_string_buffer(256)
    major, minor = c_int(), c_int()
    _check_driver(driver, "cuDeviceGet", byref(device), index)
    _check_driver(driver, "cuDeviceGetName", name, c_int(len(name)), device)
    _check_driver(driver, "cuDeviceTotalMem_v2", byref(memory), device)
    for number, attribute in (
        (major, COMPUTE_CAPABILITY_MAJOR),
        (minor, COMPUTE_CAPABILITY_MINOR),
    ):
        _check_driver(driver, "cuDeviceGetAttribute", byref(number), c_int(attribute), device)
    return {
        "name": name.value.decode(errors="replace"),
        "memory_bytes": memory.value,
        "compute_capability": f"{major.value}.{minor.value}",
    }


def _check_runtime(library: ctypes.CDLL, function: str, *arguments: object) -> None:
    code = _call(library, function, *arguments)
    if code:
        raise CudaError(f"{function}: {_text(library, 'cudaGetErrorString', code)} ({code})")


def _check_blas(library: ctypes.CDLL, function: str, *arguments: object) -> None:
    code = _call(library, function, *arguments)
    if code:
        raise CudaError(f"{function}: {_text(library, 'cublasGetStatusString', code)} ({code})")


def _check_driver(library: ctypes.CDLL, function: str, *arguments: object) -> None:
    code = _call(library, function, *arguments)
    if code:
        raise CudaError(f"{function}: error {code}")


def _call(library: ctypes.CDLL, function: str, *arguments: object) -> int:
    try:
        return int(library[function](*arguments))
    except AttributeError as error:
        raise CudaError(f"CUDA's library has no function {function}") from error


def _text(library: ctypes.CDLL, function: str, code: int) -> str:
    """CUDA's own words for an error code."""
    describe = library[function]
    describe.restype = c_char_p
    return bytes(describe(c_int(code))).decode(errors="replace")


def _driver() -> ctypes.CDLL:
    """The driver's library, which the host lends to the container; its name never changes."""
    try:
        return libraries.open_library("libcuda.so.1")
    except OSError as error:
        raise CudaError(
            "no NVIDIA driver is in this container: start it with --gpus all on a host with a GPU"
        ) from error


def cuda_library(name: str) -> ctypes.CDLL:
    """CUDA's library `name`, in the newest version that the loader finds."""
    path = libraries.newest(name)
    if path is None:
        raise CudaError(f"this image has no lib{name}: a cuda image has it")
    try:
        return libraries.open_library(path)
    except OSError as error:
        raise CudaError(f"lib{name} cannot be loaded: {error}") from error
