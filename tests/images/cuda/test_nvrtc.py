"""NVRTC compiles at run time: in every CUDA flavor, without a GPU and without nvcc."""

import json

import pytest

from slipway.matrix import Image
from tests.images.helpers.containers import Python
from tests.images.helpers.cuda_libraries import soname
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="cuda")

COMPILE = """
import ctypes, json
nvrtc, text = ctypes.CDLL(NVRTC), {}

def call(function, *arguments):
    code = getattr(nvrtc, function)(*arguments)
    assert code == 0, f"{function} returned {code}"

for architecture in ARCHITECTURES:
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    source = b'extern "C" __global__ void twice(float *x) { x[threadIdx.x] *= 2; }'
    call("nvrtcCreateProgram", ctypes.byref(program), source, b"twice.cu", 0, None, None)
    option = "--gpu-architecture=" + architecture.replace("sm", "compute")
    if nvrtc.nvrtcCompileProgram(program, 1, (ctypes.c_char_p * 1)(option.encode())):
        text[architecture] = "not compiled"
        continue
    call("nvrtcGetPTXSize", program, ctypes.byref(size))
    ptx = ctypes.create_string_buffer(size.value)
    call("nvrtcGetPTX", program, ptx)
    text[architecture] = ptx.value.decode()
print(json.dumps(text))
"""


@pytest.fixture(scope="module")
def ptx(python: Python, contract: Image) -> dict[str, str]:
    """Return one kernel in PTX, for each architecture of the contract."""
    names = f"NVRTC = {soname(contract, 'libnvrtc')!r}\nARCHITECTURES = {contract.variant.architectures!r}\n"
    program = names + COMPILE
    return dict(json.loads(python(program)))


@pytest.mark.requirement("C1", "C10")
def test_nvrtc_compiles_to_ptx(ptx: dict[str, str], architecture: str) -> None:
    """CuPy, cuDNN's engines and PyTorch's fuser compile this way while a program runs."""
    assert f".target {architecture}" in ptx[architecture]
    assert ".entry twice" in ptx[architecture]
