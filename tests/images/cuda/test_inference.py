"""ONNX Runtime's CUDA provider: it finds its libraries, computes on a GPU, and on the CPU of a host without one."""

import json
import re
from base64 import b64encode
from typing import Any

import pytest
from testinfra.host import Host

from tests.images.helpers.containers import WITHOUT_GPU, Python, Run
from tests.images.helpers.onnx_model import MODEL
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="cuda")

LIST = "ldd -r /opt/venv/lib/python3.*/site-packages/onnxruntime/capi/libonnxruntime_providers_cuda.so"
DRIVER = "libcuda.so.1"  # the host's, which it lends to the container
# The functions that the driver and ONNX Runtime itself give to the provider.
GIVEN = re.compile(r"cu[A-Z]\w+|Provider_GetHost")
PRELOAD = """
import onnxruntime
onnxruntime.preload_dlls()
loaded = open("/proc/self/maps").read()
print(*(name for name in ("libcudnn.so", "libcublasLt.so", "libcufft.so", "libcurand.so") if name in loaded))
"""
# PROVIDER: the first choice of the session; ONNX Runtime falls back to the CPU by itself.
MULTIPLY = """
import base64, json, numpy, onnxruntime
session = onnxruntime.InferenceSession(base64.b64decode(MODEL), providers=[PROVIDER, "CPUExecutionProvider"])
a = numpy.arange(4, dtype=numpy.float32).reshape(2, 2)
print("result", json.dumps([session.get_providers(), session.run(None, {"a": a, "b": a})[0].tolist()]))
"""
PROGRAM = f"MODEL, PROVIDER = {b64encode(MODEL)!r}, 'CUDAExecutionProvider'\n{MULTIPLY}"
PRODUCT = [[2, 3], [6, 11]]


@pytest.mark.requirement("A14")
def test_provider_finds_its_libraries(host: Host) -> None:
    """The loader finds each library that the CUDA provider names, and all their functions, except the driver's."""
    listed = host.check_output(f"{LIST} 2>&1")
    assert "libcublas.so" in listed
    assert set(re.findall(r"(\S+) => not found", listed)) <= {DRIVER}
    missing = re.findall(r"undefined symbol: (\S+)", listed)
    assert [name for name in missing if not GIVEN.fullmatch(name)] == []


@pytest.mark.requirement("A14")
def test_provider_finds_what_it_opens_later(python: Python) -> None:
    """ONNX Runtime itself loads all that the provider opens while it runs, and prints a line for what is missing."""
    assert python(PRELOAD).strip() == "libcudnn.so libcublasLt.so libcufft.so libcurand.so"


def read_result(output: str) -> list[Any]:
    """Return providers and product; ONNX Runtime's messages may come before or after them."""
    return list(json.loads(output.partition("result ")[2].splitlines()[0]))


@pytest.mark.requirement("A14", "C10")
def test_session_without_a_gpu_computes_on_the_cpu(run: Run) -> None:
    """A session that asks for the GPU first says that the driver is missing, and computes."""
    output = run("python", "-c", PROGRAM, environment=WITHOUT_GPU).require_success()
    providers, product = read_result(output)
    assert (providers, product) == (["CPUExecutionProvider"], PRODUCT)
    assert "CUDA" in output


@pytest.mark.requirement("A12", "A14")
def test_session_computes_on_the_gpu(run: Run, gpu: dict[str, Any]) -> None:
    """The provider is in use and gives the right result."""
    providers, product = read_result(run("python", "-c", PROGRAM, **gpu).require_success())
    assert (providers[0], product) == ("CUDAExecutionProvider", PRODUCT)
