"""With a GPU: the driver's tool lists it, a kernel computes on it, and the service uses it."""

from typing import Any

import pytest

from slipway.matrix import Image
from tests.images.helpers.containers import Run, Start
from tests.images.helpers.cuda_libraries import soname
from tests.images.helpers.scope import applies
from tests.images.helpers.service import ask_ready, serve_command

pytestmark = [applies(accelerator="cuda"), applies(accelerator="rocm")]

# The tool, and a part of what it prints with a GPU.
TOOLS = {"cuda": (["nvidia-smi", "--list-gpus"], "GPU 0:"), "rocm": (["rocminfo"], "gfx")}
# NVRTC compiles for the GPU, and the driver runs the result.
NVRTC = """
import ctypes
from ctypes import byref, c_int, c_size_t, c_void_p
cuda, nvrtc = ctypes.CDLL("libcuda.so.1"), ctypes.CDLL(SONAME)

def check(code):
    assert code == 0, f"error {code}"

device, context, major, minor = c_int(), c_void_p(), c_int(), c_int()
check(cuda.cuInit(0))
check(cuda.cuDeviceGet(byref(device), 0))
check(cuda.cuDevicePrimaryCtxRetain(byref(context), device))
check(cuda.cuCtxSetCurrent(context))
check(cuda.cuDeviceGetAttribute(byref(major), 75, device))
check(cuda.cuDeviceGetAttribute(byref(minor), 76, device))

program, size = c_void_p(), c_size_t()
source = b'extern "C" __global__ void twice(float *x) { x[threadIdx.x] *= 2; }'
option = f"--gpu-architecture=sm_{major.value}{minor.value}".encode()
check(nvrtc.nvrtcCreateProgram(byref(program), source, b"twice.cu", 0, None, None))
check(nvrtc.nvrtcCompileProgram(program, 1, (ctypes.c_char_p * 1)(option)))
check(nvrtc.nvrtcGetCUBINSize(program, byref(size)))
cubin = ctypes.create_string_buffer(size.value)
check(nvrtc.nvrtcGetCUBIN(program, cubin))

module, kernel, memory = c_void_p(), c_void_p(), c_void_p()
numbers = (ctypes.c_float * 4)(1, 2, 3, 4)
check(cuda.cuModuleLoadData(byref(module), cubin))
check(cuda.cuModuleGetFunction(byref(kernel), module, b"twice"))
check(cuda.cuMemAlloc_v2(byref(memory), c_size_t(16)))
check(cuda.cuMemcpyHtoD_v2(memory, numbers, c_size_t(16)))
arguments = (c_void_p * 1)(ctypes.cast(byref(memory), c_void_p))
check(cuda.cuLaunchKernel(kernel, 1, 1, 1, 4, 1, 1, 0, None, arguments, None))
check(cuda.cuMemcpyDtoH_v2(numbers, memory, c_size_t(16)))
print(*numbers)
"""
# The service's own calls: HIPRTC compiles for the GPU.
HIPRTC = """
from array import array
from app import hip
print(*hip.multiply(array("f", [1, 2, 3, 4]), array("f", [5, 6, 7, 8])))
"""


@pytest.mark.requirement("A12")
def test_tool_lists_the_gpu(run: Run, gpu: dict[str, Any], contract: Image) -> None:
    """NVIDIA's comes with the driver; AMD's is in the image, and needs a user who may open the devices."""
    command, expected = TOOLS[contract.variant.accelerator]
    output = run(*command, **gpu).require_success()
    assert expected in output


@pytest.mark.requirement("A12")
def test_kernel_computes_on_the_gpu(run: Run, gpu: dict[str, Any], contract: Image) -> None:
    """Compiled at run time, loaded by the driver and run."""
    if contract.variant.accelerator == "cuda":
        program, product = f"SONAME = {soname(contract, 'libnvrtc')!r}\n{NVRTC}", "2.0 4.0 6.0 8.0"
    else:
        program, product = HIPRTC, "19.0 22.0 43.0 50.0"
    output = run("python", "-c", program, environment={"PYTHONPATH": "/opt/app"}, **gpu).require_success()
    assert output.strip() == product


@pytest.mark.exact
@pytest.mark.requirement("A12", "T6")
def test_service_is_ready_on_the_gpu(start: Start, gpu: dict[str, Any], contract: Image) -> None:
    """/ready multiplies matrices on the GPU, by ONNX Runtime on NVIDIA's, also where REQUIRE_GPU is set."""
    container = start(*serve_command(contract), network_mode="none", environment={"REQUIRE_GPU": "1"}, **gpu)
    status, answer = ask_ready(container)
    assert (status, answer["ready"], answer["device"]) == (200, True, contract.variant.accelerator)
    assert answer["provider"] == ("CUDAExecutionProvider" if contract.variant.accelerator == "cuda" else None)
