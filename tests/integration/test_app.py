"""The service's GPU calls, against a stand-in for CUDA's and HIP's libraries that a C compiler makes."""

import ctypes
import os
import shutil
import subprocess
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app import cuda, hip, inference, libraries
from app.service import create_app
from app.settings import Settings
from tests.helpers.reasons import NO_COMPILER

# CUDA's and HIP's calls on the CPU, with their own signatures: it shows that each argument arrives, in
# the right place and width. FAIL names a function that is to fail; `live` counts what is held.
STAND_IN = """
#include <stdlib.h>
#include <string.h>
int live = 0, devices = 1;
static int status(const char *name) {
    const char *fail = getenv("FAIL");
    return fail && !strcmp(fail, name) ? 2 : 0;
}
int cudaGetDeviceCount(int *count) { *count = devices; return status(__func__); }
int cudaRuntimeGetVersion(int *version) { *version = 13020; return status(__func__); }
const char *cudaGetErrorString(int code) { return code == 2 ? "out of memory" : "other"; }
int cuInit(unsigned flags) { return flags ? 1 : status(__func__); }
int cuDeviceGetCount(int *count) { *count = devices; return 0; }
int cuDeviceGet(int *device, int index) { *device = index + 40; return 0; }
int cuDeviceGetName(char *name, int size, int device) {
    strncpy(name, device == 40 ? "Stand-in" : "wrong device", size); return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = 80000000000; return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? 9 : attribute == 76 ? 1 : -1; return 0;
}
int hipGetDeviceCount(int *count) { *count = devices; return devices ? status(__func__) : 100; }
int hipRuntimeGetVersion(int *version) { *version = 50731921; return status(__func__); }
int hipSetDevice(int device) { return device == 0 ? status(__func__) : 101; }
int hipMalloc(void **to, size_t size) {
    if (status(__func__)) return 2;
    *to = malloc(size); live++; return 0;
}
int hipFree(void *memory) { free(memory); live--; return status(__func__); }
int hipMemcpy(void *to, const void *from, size_t size, int kind) {
    if (kind != 1 && kind != 2) return 21;
    memcpy(to, from, size); return status(__func__);
}
const char *hipGetErrorString(int code) { return code == 2 ? "out of memory" : "other"; }
const char *hiprtcGetErrorString(int code) { return "HIPRTC_ERROR_STAND_IN"; }
int hiprtcCreateProgram(void **program, const char *source, const char *name, int headers,
                        const char **texts, const char **names) {
    if (!strstr(source, "void multiply(") || headers || texts || names) return 3;
    *program = &live; live++; return status(__func__);
}
int hiprtcCompileProgram(void *program, int count, const char **options) {
    return program == &live && !count && !options ? status(__func__) : 3;
}
int hiprtcGetCodeSize(void *program, size_t *size) { *size = 5; return program == &live ? status(__func__) : 3; }
int hiprtcGetCode(void *program, char *code) { strcpy(code, "code"); return program == &live ? status(__func__) : 3; }
int hiprtcDestroyProgram(void **program) { live--; return *program == &live ? status(__func__) : 3; }
int hipModuleLoadData(void **module, const void *code) {
    if (strcmp(code, "code") || status(__func__)) return 2;
    *module = &live; live++; return 0;
}
int hipModuleGetFunction(void **function, void *module, const char *name) {
    *function = &devices; return module == &live && !strcmp(name, "multiply") ? status(__func__) : 3;
}
int hipModuleUnload(void *module) { live--; return module == &live ? status(__func__) : 3; }
int hipModuleLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                          unsigned bz, unsigned shared, void *stream, void **arguments, void **extra) {
    if (function != &devices || gy != 1 || gz != 1 || by != 1 || bz != 1 || shared || stream || extra) return 3;
    float *a = *(float **)arguments[0], *b = *(float **)arguments[1], *product = *(float **)arguments[2];
    int size = *(int *)arguments[3];
    for (unsigned block = 0; block < gx; block++)
        for (unsigned thread = 0; thread < bx; thread++) {
            float sum = 0;
            for (int i = 0; i < size; i++) sum += a[block * size + i] * b[i * size + thread];
            product[block * size + thread] = sum;
        }
    return status(__func__);
}
int hipDeviceGet(int *device, int index) { return cuDeviceGet(device, index); }
int hipDeviceGetName(char *name, int size, int device) { return cuDeviceGetName(name, size, device); }
int hipDeviceTotalMem(size_t *bytes, int device) { return cuDeviceTotalMem_v2(bytes, device); }
int hipDeviceComputeCapability(int *major, int *minor, int device) { *major = 10; *minor = 3; return device != 40; }
"""


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in, compiled to one library that serves as each of CUDA's."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip(NO_COMPILER)
    library = tmp_path_factory.mktemp("cuda") / "stand-in.so"
    command = [compiler, "-w", "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)]
    subprocess.run(command, input=STAND_IN.encode(), check=True)
    return library


@dataclass
class Session:
    """ONNX Runtime's session of the model, as if its provider were in use."""

    provider: str

    def get_providers(self) -> list[str]:
        """Return the provider that was asked for, and the CPU's."""
        return [self.provider, inference.CPU]

    def run(self, _outputs: None, inputs: Mapping[str, Any]) -> list[Any]:
        """Return the product."""
        return [inputs["a"] @ inputs["b"]]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, stand_in: Path) -> Iterator[ctypes.CDLL]:
    """A host with one GPU, by the stand-in."""
    monkeypatch.setattr(libraries, "loader_cache", lambda: {"libcudart.so.13": "stand-in"})
    monkeypatch.setattr(inference, "open_session", Session)
    library = ctypes.CDLL(str(stand_in))
    monkeypatch.setattr(libraries, "open_library", lambda _: library)
    yield library
    c_int(library, "devices").value = 1


def c_int(library: ctypes.CDLL, name: str) -> ctypes.c_int:
    """A variable of the stand-in."""
    return ctypes.c_int.in_dll(library, name)


def client(*, require_gpu: bool = False) -> TestClient:
    """A client of the application; a fault in it is an answer 500, as uvicorn gives it."""
    app = create_app(Settings(require_gpu=require_gpu))
    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.usefixtures("gpu")
def test_ready_on_the_gpu() -> None:
    """With a GPU the computation runs there, whether it is required or not."""
    for require_gpu in (False, True):
        answer = client(require_gpu=require_gpu).get("/ready")
        assert answer.status_code == 200
        told = [answer.json()[name] for name in ("device", "provider", "reason")]
        assert told == ["cuda", "CUDAExecutionProvider", None]
    assert client().get("/info").json()["onnxruntime_provider"] == "CUDAExecutionProvider"


@pytest.mark.usefixtures("gpu")
def test_failing_gpu_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that fails makes the service not ready; the CPU does not replace it."""

    def run(_session: object, _outputs: None, _inputs: object) -> None:
        raise RuntimeError("CUDA failure 2: out of memory")

    monkeypatch.setattr(Session, "run", run)
    answer = client().get("/ready")
    assert answer.status_code == 503
    assert answer.json()["reason"] == "the computation failed: CUDA failure 2: out of memory"


def test_driver_without_a_device(gpu: ctypes.CDLL) -> None:
    c_int(gpu, "devices").value = 0
    assert client().get("/ready").json()["device"] == "cpu"


def test_image_with_cuda_on_a_host_without_driver(gpu: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:

    def open_all_but_the_driver(name: str) -> ctypes.CDLL:
        if name == "libcuda.so.1":
            raise OSError(name)
        return gpu

    monkeypatch.setattr(libraries, "open_library", open_all_but_the_driver)
    assert "start it with --gpus all" in (cuda.why_unavailable() or "")
    assert cuda.devices() == []


@pytest.mark.usefixtures("gpu")
def test_info_describes_the_gpu() -> None:
    """Name, memory beyond 32 bits, compute capability; the runtime's version."""
    answer = client().get("/info").json()
    assert answer["cuda_runtime"] == "13.2"
    expected = {"name": "Stand-in", "memory_bytes": 80_000_000_000, "compute_capability": "9.1"}
    assert answer["devices"] == [expected]


@pytest.fixture
def amd(monkeypatch: pytest.MonkeyPatch, gpu: ctypes.CDLL, tmp_path: Path) -> ctypes.CDLL:
    """The image has HIP, and the container was given a GPU's devices."""
    monkeypatch.setattr(libraries, "loader_cache", lambda: {"libamdhip64.so.5": "stand-in"})
    monkeypatch.setattr(hip, "DEVICES", tmp_path)
    (tmp_path / "dri").mkdir()
    for name in ("kfd", "dri/renderD128"):
        (tmp_path / name).touch()
    return gpu


@pytest.mark.usefixtures("amd")
def test_ready_on_amds_gpu() -> None:
    answer = client(require_gpu=True).get("/ready")
    assert answer.status_code == 200
    assert (answer.json()["device"], answer.json()["reason"]) == ("rocm", None)


def test_product_on_amds_gpu_is_by_rows(amd: ctypes.CDLL) -> None:
    """a times b, and program, module and all memory are given back."""
    a, b = array("f", range(9)), array("f", [0, 1, 0, 0, 0, 2, 3, 0, 1])
    assert hip.multiply(a, b).tolist() == [6, 0, 4, 15, 3, 13, 24, 6, 22]
    assert c_int(amd, "live").value == 0


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("hipSetDevice", "out of memory (2)"),
        ("hipMalloc", "out of memory (2)"),
        ("hipMemcpy", "out of memory (2)"),
        ("hipModuleLoadData", "out of memory (2)"),
        ("hipModuleLaunchKernel", "out of memory (2)"),
        ("hiprtcCompileProgram", "HIPRTC_ERROR_STAND_IN (2)"),
    ],
)
def test_failing_call_to_hip_is_the_reason(
    amd: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch, function: str, words: str
) -> None:
    """A GPU that fails makes the service not ready, and nothing is held."""
    monkeypatch.setenv("FAIL", function)
    answer = client().get("/ready")
    assert answer.status_code == 503
    assert answer.json()["reason"] == f"the computation failed: {function}: {words}"
    assert c_int(amd, "live").value == 0


def test_container_without_amds_devices_is_told_the_options(amd: ctypes.CDLL, tmp_path: Path) -> None:
    """HIP itself would say only that it finds no device."""
    (tmp_path / "kfd").unlink()
    assert "start it with --device /dev/kfd --device /dev/dri" in (hip.why_unavailable() or "")
    assert hip.devices() == []
    assert c_int(amd, "live").value == 0


@pytest.mark.usefixtures("amd")
@pytest.mark.parametrize("closed", ["kfd", "dri/renderD128"])
def test_user_without_the_group_is_told_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    """The group's number differs from host to host, and a name would be looked up in the image."""
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path / closed)
    group = (tmp_path / closed).stat().st_gid
    assert f"{closed}: start the container with --group-add {group}" in (hip.why_unavailable() or "")


def test_host_whose_driver_shows_hip_no_device(amd: ctypes.CDLL) -> None:
    """HIP's own words are the reason."""
    c_int(amd, "devices").value = 0
    assert hip.why_unavailable() == "hipGetDeviceCount: other (100)"


@pytest.mark.usefixtures("amd")
def test_info_describes_amds_gpu() -> None:
    answer = client().get("/info").json()
    assert (answer["hip_runtime"], answer["cuda_runtime"]) == ("5.7", None)
    expected = {"name": "Stand-in", "memory_bytes": 80_000_000_000, "compute_capability": "10.3"}
    assert answer["devices"] == [expected]
