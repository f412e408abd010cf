"""The AMD GPU through ctypes: libamdhip64, HIP's runtime with its compiler.

Sibling of `app.cuda`. The kernel is compiled for the GPU that is there, so the smallest image
computes without rocBLAS.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_void_p, create_string_buffer
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import libraries

if TYPE_CHECKING:
    from array import array

NAME = "rocm"
DEVICES = Path("/dev")

# Enumerators of hip_runtime_api.h.
HOST_TO_DEVICE = 1
DEVICE_TO_HOST = 2

# A block computes a row, each of its threads one number.
KERNEL = b"""
extern "C" __global__ void multiply(const float *a, const float *b, float *product, int size) {
    float sum = 0;
    for (int i = 0; i < size; i++) sum += a[blockIdx.x * size + i] * b[i * size + threadIdx.x];
    product[blockIdx.x * size + threadIdx.x] = sum;
}
"""


class HipError(Exception):
    """A call to HIP that did not succeed."""


def is_installed() -> bool:
    """Whether this image has HIP."""
    return libraries.newest("amdhip64") is not None


def why_unavailable() -> str | None:
    """Why no GPU can be used here, or None where one can."""
    count = c_int()
    try:
        _require_devices()
        _check(_hip(), "hipGetDeviceCount", byref(count))
    except HipError as error:
        return str(error)
    return None if count.value else "HIP shows no device to this container"


def _require_devices() -> None:
    """Name what the container was not given: HIP itself would say only that it finds no device."""
    kernel_driver = DEVICES / "kfd"
    if not kernel_driver.exists():
        options = "--device /dev/kfd --device /dev/dri"
        raise HipError(f"no AMD GPU is in this container: start it with {options} on a host with a GPU")
    for device in (kernel_driver, *sorted(DEVICES.glob("dri/renderD*"))):
        if not os.access(device, os.R_OK | os.W_OK):
            group = device.stat().st_gid
            raise HipError(f"this user may not open {device}: start the container with --group-add {group}")


def runtime_version() -> str | None:
    """The version of the HIP runtime, such as 5.7; None where there is none."""
    version = c_int()
    try:
        _check(_hip(), "hipRuntimeGetVersion", byref(version))
    except HipError:
        return None
    return f"{version.value // 10_000_000}.{version.value // 100_000 % 100}"


def multiply(a: "array[float]", b: "array[float]") -> "array[float]":
    """The product of two square matrices, each row by row, computed by a kernel on the first GPU."""
    hip = _hip()
    _check(hip, "hipSetDevice", c_int(0))
    product = a[:]
    size = len(a) * a.itemsize
    with ExitStack() as stack:
        kernel = stack.enter_context(_kernel(hip))
        on_gpu = [stack.enter_context(_memory(hip, size)) for _ in range(3)]
        _copy(hip, on_gpu[0], c_void_p(a.buffer_info()[0]), size, HOST_TO_DEVICE)
        _copy(hip, on_gpu[1], c_void_p(b.buffer_info()[0]), size, HOST_TO_DEVICE)
        _launch(hip, kernel, isqrt(len(a)), on_gpu)
        # This copy waits for the product, and reports what went wrong while it was computed.
        _copy(hip, c_void_p(product.buffer_info()[0]), on_gpu[2], size, DEVICE_TO_HOST)
    return product


@contextmanager
def _kernel(hip: ctypes.CDLL) -> Iterator[c_void_p]:
    """The kernel, compiled for the current device and loaded; unloaded afterwards."""
    module, function = c_void_p(), c_void_p()
    _check(hip, "hipModuleLoadData", byref(module), _compile(hip))
    try:
        _check(hip, "hipModuleGetFunction", byref(function), module, c_char_p(b"multiply"))
        yield function
    finally:
        _check(hip, "hipModuleUnload", module)


def _compile(hip: ctypes.CDLL) -> ctypes.Array[ctypes.c_char]:
    """The kernel's machine code."""
    program, size = c_void_p(), c_size_t()
    source = (c_char_p(KERNEL), c_char_p(b"multiply.hip"))
    _check_compiler(hip, "hiprtcCreateProgram", byref(program), *source, c_int(0), None, None)
    try:
        _check_compiler(hip, "hiprtcCompileProgram", program, c_int(0), None)
        _check_compiler(hip, "hiprtcGetCodeSize", program, byref(size))
        code = create_string_buffer(size.value)
        _check_compiler(hip, "hiprtcGetCode", program, code)
    finally:
        _check_compiler(hip, "hiprtcDestroyProgram", byref(program))
    return code


def _launch(hip: ctypes.CDLL, kernel: c_void_p, size: int, on_gpu: list[c_void_p]) -> None:
    """Start the kernel: a block for each row, a thread for each column."""
    values = (*on_gpu, c_int(size))
    addresses = (c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
    blocks, threads = (c_uint(size), c_uint(1), c_uint(1)), (c_uint(size), c_uint(1), c_uint(1))
    _check(hip, "hipModuleLaunchKernel", kernel, *blocks, *threads, c_uint(0), None, addresses, None)


@contextmanager
def _memory(hip: ctypes.CDLL, size: int) -> Iterator[c_void_p]:
    """Memory on the GPU, freed afterwards."""
    pointer = c_void_p()
    _check(hip, "hipMalloc", byref(pointer), c_size_t(size))
    try:
        yield pointer
    finally:
        _check(hip, "hipFree", pointer)


def _copy(hip: ctypes.CDLL, to: c_void_p, source: c_void_p, size: int, kind: int) -> None:
    _check(hip, "hipMemcpy", to, source, c_size_t(size), c_int(kind))


def devices() -> list[dict[str, Any]]:
    """Each GPU as HIP describes it."""
    if why_unavailable():
        return []
    hip, count = _hip(), c_int()
    _check(hip, "hipGetDeviceCount", byref(count))
    return [_describe(hip, c_int(index)) for index in range(count.value)]


def _describe(hip: ctypes.CDLL, index: c_int) -> dict[str, Any]:
    device, memory, name = c_int(), c_size_t(), create_string_buffer(256)
    major, minor = c_int(), c_int()
    _check(hip, "hipDeviceGet", byref(device), index)
    _check(hip, "hipDeviceGetName", name, c_int(len(name)), device)
    _check(hip, "hipDeviceTotalMem", byref(memory), device)
    _check(hip, "hipDeviceComputeCapability", byref(major), byref(minor), device)
    return {
        "name": name.value.decode(errors="replace"),
        "memory_bytes": memory.value,
        "compute_capability": f"{major.value}.{minor.value}",
    }


def _check(hip: ctypes.CDLL, function: str, *arguments: object) -> None:
    code = int(hip[function](*arguments))
    if code:
        raise HipError(f"{function}: {_text(hip, 'hipGetErrorString', code)} ({code})")


def _check_compiler(hip: ctypes.CDLL, function: str, *arguments: object) -> None:
    code = int(hip[function](*arguments))
    if code:
        raise HipError(f"{function}: {_text(hip, 'hiprtcGetErrorString', code)} ({code})")


def _text(hip: ctypes.CDLL, function: str, code: int) -> str:
    """HIP's own words for an error code."""
    describe = hip[function]
    describe.restype = c_char_p
    return bytes(describe(c_int(code))).decode(errors="replace")


def _hip() -> ctypes.CDLL:
    """HIP's runtime, in the newest version that the loader finds."""
    path = libraries.newest("amdhip64")
    if path is None:
        raise HipError("this image has no libamdhip64: a rocm image has it")
    try:
        return libraries.open_library(path)
    except OSError as error:
        raise HipError(f"libamdhip64 cannot be loaded: {error}") from error
