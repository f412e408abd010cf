"""HIP without a GPU: it compiles for each architecture and reports that there is no device."""

import json

import pytest

from slipway.matrix import Image
from tests.images.helpers.containers import Python, Run
from tests.images.helpers.gpu_code import amd_architecture
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="rocm")

# HIPRTC, the compiler in HIP's runtime; prints the ELF header of each architecture's machine code.
COMPILE = """
import ctypes, json
from ctypes import byref, c_char_p, c_size_t, c_void_p
hip, headers = ctypes.CDLL("libamdhip64.so.5"), {}
source = b'extern "C" __global__ void twice(float *x) { x[threadIdx.x] *= 2; }'

def call(function, *arguments):
    code = getattr(hip, function)(*arguments)
    assert code == 0, f"{function} returned {code}"

for architecture in ARCHITECTURES:
    program, size = c_void_p(), c_size_t()
    call("hiprtcCreateProgram", byref(program), c_char_p(source), c_char_p(b"twice.hip"), 0, None, None)
    option = c_char_p(f"--offload-arch={architecture}".encode())
    if hip.hiprtcCompileProgram(program, 1, (c_char_p * 1)(option)):
        headers[architecture] = ""
        continue
    call("hiprtcGetCodeSize", program, byref(size))
    code = ctypes.create_string_buffer(size.value)
    call("hiprtcGetCode", program, code)
    headers[architecture] = code.raw[:64].hex()
print(json.dumps(headers))
"""
COUNT = """
import ctypes
hip, count = ctypes.CDLL("libamdhip64.so.5"), ctypes.c_int()
hip.hipGetErrorString.restype = ctypes.c_char_p
print(hip.hipGetErrorString(hip.hipGetDeviceCount(ctypes.byref(count))).decode())
"""


@pytest.fixture(scope="module")
def headers(python: Python, contract: Image) -> dict[str, str]:
    """Return the ELF header of one kernel for each architecture of the contract, in hexadecimal."""
    return dict(json.loads(python(f"ARCHITECTURES = {contract.variant.architectures!r}\n{COMPILE}")))


@pytest.mark.requirement("C10")
def test_kernel_compiles_at_run_time(headers: dict[str, str], architecture: str) -> None:
    """The service compiles its kernel so; the machine code names the GPU that it is for."""
    assert amd_architecture(bytes.fromhex(headers[architecture])) == architecture


@pytest.mark.requirement("C10")
def test_hip_without_a_gpu_is_an_error_code(run: Run) -> None:
    """HIP reports an error and does not end the program, which can then do without a GPU."""
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
    """Only --help works without a GPU: its other calls exit with 0 whatever happens, and print no version."""
    output = run("rocm-smi", "--help").require_success()
    assert "usage: rocm-smi" in output


@pytest.mark.requirement("T15")
@pytest.mark.parametrize("group", ["render", "video"])
def test_user_gets_the_group_of_the_devices(run: Run, group: str) -> None:
    """`docker run --group-add` looks a name up in the image; /dev/kfd and /dev/dri belong to these two."""
    output = run("id", "--groups", "--name", group_add=[group]).require_success()
    assert group in output.split()
