"""HIP without a GPU: it compiles for each architecture, and says clearly that there is no device."""

import json
from collections.abc import Callable

import pytest

from slipway.matrix import Image
from tests.images.conftest import Run, Start
from tests.images.helpers.rocm_libraries import architecture_of
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="rocm")

# HIPRTC, the compiler in HIP's runtime.
COMPILE = """
import ctypes
from ctypes import byref, c_char_p, c_size_t, c_void_p
hip, program, size = ctypes.CDLL("libamdhip64.so.5"), c_void_p(), c_size_t()
source = b'extern "C" __global__ void twice(float *x) {{ x[threadIdx.x] *= 2; }}'
assert hip.hiprtcCreateProgram(byref(program), c_char_p(source), c_char_p(b"twice.hip"), 0, None, None) == 0
assert hip.hiprtcCompileProgram(program, 1, (c_char_p * 1)(b"--offload-arch={architecture}")) == 0
assert hip.hiprtcGetCodeSize(program, byref(size)) == 0
code = ctypes.create_string_buffer(size.value)
assert hip.hiprtcGetCode(program, code) == 0
print(code.raw[:64].hex())
"""
COUNT = """
import ctypes
hip, count = ctypes.CDLL("libamdhip64.so.5"), ctypes.c_int()
hip.hipGetErrorString.restype = ctypes.c_char_p
print(hip.hipGetErrorString(hip.hipGetDeviceCount(ctypes.byref(count))).decode())
"""
READY = """
import time, urllib.error, urllib.request
for attempt in range(100):
    try:
        print(urllib.request.urlopen("http://127.0.0.1:8000/ready").read().decode())
        break
    except OSError:
        time.sleep(0.1)
"""


@pytest.mark.requirement("C10")
def test_kernel_compiles_at_run_time(python: Callable[[str], str], architecture: str) -> None:
    """The service compiles its kernel so; the machine code names the GPU that it is for."""
    header = bytes.fromhex(python(COMPILE.format(architecture=architecture)))
    assert architecture_of(header) == architecture


@pytest.mark.requirement("C10")
def test_hip_without_a_gpu_is_an_error_code(run: Run) -> None:
    """A program can go on without a GPU because HIP tells it so and does not end it."""
    finished = run("python", "-c", COUNT)
    assert (finished.exit_code, finished.output) == (0, "no ROCm-capable device is detected\n")


@pytest.mark.requirement("C10")
def test_rocminfo_without_a_gpu_fails_and_says_why(run: Run) -> None:
    """AMD's own tool: the host has no driver, or the container was not given its device."""
    finished = run("rocminfo")
    assert finished.exit_code != 0
    assert "ROCk module is NOT loaded" in finished.output or "/dev/kfd" in finished.output, finished


@pytest.mark.requirement("C10")
def test_rocm_smi_starts(run: Run) -> None:
    """Without a GPU its exit code says nothing and its version is not told, so it is asked for its options."""
    finished = run("rocm-smi", "--help")
    assert finished.exit_code == 0, finished
    assert "usage: rocm-smi" in finished.output, finished


@pytest.mark.requirement("C10", "T16")
def test_service_without_a_gpu_computes_on_the_cpu_and_says_why(start: Start, contract: Image) -> None:
    """/ready is 200, and its reason names the options that give a container the GPU."""
    command = [] if contract.mode == "serve" else ["serve"]
    container = start(*command, network_mode="none")
    _, output = container.exec_run(["python", "-c", READY])
    answer = json.loads(output)
    assert (answer["ready"], answer["device"]) == (True, "cpu")
    assert "no AMD GPU is in this container: start it with --device /dev/kfd --device /dev/dri" in answer["reason"]


@pytest.mark.requirement("T15")
@pytest.mark.parametrize("group", ["render", "video"])
def test_user_gets_the_group_of_the_devices(run: Run, group: str) -> None:
    """`docker run --group-add` looks a name up in the image; /dev/kfd and /dev/dri belong to these two."""
    finished = run("id", "--groups", "--name", group_add=[group])
    assert finished.exit_code == 0, finished
    assert group in finished.output.split()
