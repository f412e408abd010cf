"""The NVIDIA GPU: libcuda (driver) and libcudart (runtime) through ctypes; ONNX Runtime computes on it.

A sibling for another accelerator offers the same four: `is_installed`, `why_unavailable`, `multiply`, `devices`.
"""

import ctypes
from ctypes import byref, c_char_p, c_int, c_size_t, create_string_buffer
from typing import TYPE_CHECKING, Any

from app import inference, libraries

if TYPE_CHECKING:
    from array import array

NAME = "cuda"

# Enumerators of cuda.h; the same in every version.
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
    """The product of two square matrices, each row by row, computed by ONNX Runtime on the first GPU."""
    return inference.multiply(a, b, inference.CUDA)


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
