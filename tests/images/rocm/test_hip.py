"""HIP without a GPU: it compiles for each architecture and reports that there is no device."""

import json

import pytest
from testinfra.host import Host

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
def test_hip_without_a_gpu_is_an_error_code(python: Python) -> None:
    """HIP reports an error and does not end the program, which can then do without a GPU."""
    assert python(COUNT) == "no ROCm-capable device is detected"


@pytest.mark.requirement("C10")
def test_rocminfo_without_a_gpu_fails_and_says_why(host: Host) -> None:
    """AMD's own tool: the host has no driver, or the container was not given its device."""
    finished = host.run("rocminfo")
    assert finished.rc != 0
    output = finished.stdout + finished.stderr
    assert "ROCk module is NOT loaded" in output or "/dev/kfd" in output


@pytest.mark.requirement("C10")
def test_rocm_smi_starts(host: Host) -> None:
    """Only --help works without a GPU: its other calls exit with 0 whatever happens, and print no version."""
    assert "usage: rocm-smi" in host.check_output("rocm-smi --help")


@pytest.mark.parametrize("group", ["render", "video"])
def test_user_gets_the_group_of_the_devices(run: Run, group: str) -> None:
    """`docker run --group-add` looks a name up in the image; /dev/kfd and /dev/dri belong to these two."""
    output = run("id", "--groups", "--name", group_add=[group]).require_success()
    assert group in output.split()
