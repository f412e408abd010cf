"""With a GPU: the driver shows it, and a kernel computes on it."""

import json
from collections.abc import Callable

import pytest
from docker.models.containers import Container
from docker.types import DeviceRequest

from slipway.matrix import Image
from tests.images.conftest import Run
from tests.images.helpers.cuda_libraries import soname
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="cuda")

# NVRTC compiles for the GPU that is there, and the driver runs the result.
KERNEL = """
import ctypes
from ctypes import byref, c_int, c_size_t, c_void_p
cuda, nvrtc = ctypes.CDLL("libcuda.so.1"), ctypes.CDLL(NVRTC)

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
READY = """
import time, urllib.request
for attempt in range(100):
    try:
        print(urllib.request.urlopen("http://127.0.0.1:8000/ready").read().decode())
        break
    except ConnectionRefusedError:
        time.sleep(0.1)
"""


@pytest.mark.requirement("A12")
def test_nvidia_smi_lists_the_gpu(run: Run, gpu: list[DeviceRequest]) -> None:
    """The NVIDIA runtime lends the container the driver's own tool."""
    finished = run("nvidia-smi", "--list-gpus", device_requests=gpu)
    assert finished.exit_code == 0, finished
    assert finished.output.startswith("GPU 0:")


@pytest.mark.requirement("A12")
def test_kernel_computes_on_the_gpu(run: Run, contract: Image, gpu: list[DeviceRequest]) -> None:
    """Compiled at run time by NVRTC, loaded by the driver."""
    program = f"NVRTC = {soname(contract, 'libnvrtc')!r}\n{KERNEL}"
    finished = run("python", "-c", program, device_requests=gpu)
    assert finished.exit_code == 0, finished
    assert finished.output.split() == ["2.0", "4.0", "6.0", "8.0"]


@pytest.mark.requirement("A12", "T6")
def test_service_is_ready_on_the_gpu(start: Callable[..., Container], gpu: list[DeviceRequest]) -> None:
    """/ready multiplies by cuBLAS on the GPU, also where it is required to."""
    container = start("serve", network_mode="none", environment={"REQUIRE_GPU": "1"}, device_requests=gpu)
    code, output = container.exec_run(["python", "-c", READY])
    assert code == 0, output.decode()
    answer = json.loads(output)
    assert (answer["ready"], answer["device"]) == (True, "cuda")
