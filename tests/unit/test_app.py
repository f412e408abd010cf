"""The service: settings, routes, and the GPU calls against a stand-in for CUDA's libraries."""

import ctypes
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app import cuda, hip, info, libraries, readiness
from app.__main__ import is_worth_a_line
from app.service import create_app
from app.settings import SettingError, Settings, read_settings

ROOT = Path(__file__).parents[2]

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
int cudaSetDevice(int device) { return device == 0 ? status(__func__) : 101; }
int cudaMalloc(void **to, size_t size) {
    if (status(__func__)) return 2;
    *to = malloc(size); live++; return 0;
}
int cudaFree(void *memory) { free(memory); live--; return status(__func__); }
int cudaMemcpy(void *to, const void *from, size_t size, int kind) {
    if (kind != 1 && kind != 2) return 21;
    memcpy(to, from, size); return status(__func__);
}
const char *cudaGetErrorString(int code) { return code == 2 ? "out of memory" : "other"; }
int cublasCreate_v2(void **handle) { *handle = &live; live++; return status(__func__); }
int cublasDestroy_v2(void *handle) { live--; return handle == &live ? status(__func__) : 1; }
const char *cublasGetStatusString(int code) { return "CUBLAS_STATUS_STAND_IN"; }
int cublasSgemm_v2(void *handle, int transa, int transb, int m, int n, int k,
                   const float *alpha, const float *a, int lda, const float *b, int ldb,
                   const float *beta, float *c, int ldc) {
    if (handle != &live || transa || transb) return 7;
    for (int row = 0; row < m; row++)
        for (int column = 0; column < n; column++) {
            float sum = 0;
            for (int i = 0; i < k; i++) sum += a[row + i * lda] * b[i + column * ldb];
            c[row + column * ldc] = *alpha * sum + (*beta ? *beta * c[row + column * ldc] : 0);
        }
    return status(__func__);
}
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
int hipMalloc(void **to, size_t size) { return status(__func__) ? 2 : cudaMalloc(to, size); }
int hipFree(void *memory) { return cudaFree(memory); }
int hipMemcpy(void *to, const void *from, size_t size, int kind) {
    return status(__func__) ? 2 : cudaMemcpy(to, from, size, kind);
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
        pytest.skip("no C compiler (cc) on this host")
    library = tmp_path_factory.mktemp("cuda") / "stand-in.so"
    command = [compiler, "-w", "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)]
    subprocess.run(command, input=STAND_IN.encode(), check=True)
    return library


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without CUDA's libraries."""
    monkeypatch.setattr(libraries, "loader_cache", dict)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, stand_in: Path) -> Iterator[ctypes.CDLL]:
    """A host with one GPU, by the stand-in."""
    names = ["libcudart.so.13", "libcublas.so.13"]
    monkeypatch.setattr(libraries, "loader_cache", lambda: dict.fromkeys(names, "stand-in"))
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


# Settings


def test_settings_default() -> None:
    """Unset and empty variables are the same: compose files leave them empty."""
    assert read_settings({}) == Settings(port=8000, require_gpu=False)
    assert read_settings({"PORT": "", "REQUIRE_GPU": ""}) == read_settings({})


def test_settings_are_read() -> None:
    """PORT and REQUIRE_GPU."""
    environment = {"PORT": "9000", "REQUIRE_GPU": "1"}
    assert read_settings(environment) == Settings(port=9000, require_gpu=True)


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1", "8000.0", " 80", "9" * 5000])
def test_bad_port_is_named(port: str) -> None:
    """The message says which variable, what it is and what it may be."""
    with pytest.raises(SettingError, match=r"^PORT is '.*': set it to a number from 1 to 65535$"):
        read_settings({"PORT": port})


def test_bad_switch_is_not_taken_for_no() -> None:
    """REQUIRE_GPU=true must not start a service that is ready without a GPU."""
    with pytest.raises(SettingError, match="REQUIRE_GPU is 'true': set it to 1 or 0"):
        read_settings({"REQUIRE_GPU": "true"})


# Routes


def test_health_answers_without_computing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Live stays live while the computation fails."""
    monkeypatch.setattr(readiness, "is_correct", None)
    answer = client().get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.usefixtures("no_gpu")
def test_ready_on_the_cpu_says_why() -> None:
    """Without a GPU the CPU computes, and the answer tells the reason."""
    answer = client().get("/ready")
    assert answer.status_code == 200
    assert answer.json()["device"] == "cpu"
    assert answer.json()["reason"].startswith("no GPU is used: this image has no libcudart")
    assert answer.json()["seconds"] > 0


@pytest.mark.requirement("T6")
@pytest.mark.usefixtures("no_gpu")
def test_ready_with_require_gpu_refuses() -> None:
    """REQUIRE_GPU=1 and no GPU: not ready, and the reason names both."""
    answer = client(require_gpu=True).get("/ready")
    assert answer.status_code == 503
    assert answer.json()["reason"].startswith("REQUIRE_GPU=1, but this image has no libcudart")


@pytest.mark.usefixtures("no_gpu")
def test_ready_with_a_failing_computation(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception is a reason, not a traceback."""

    def broken(_a: object, _b: object) -> object:
        raise ArithmeticError("smoke came out")

    monkeypatch.setattr(readiness, "multiply_on_cpu", broken)
    answer = client().get("/ready")
    assert answer.status_code == 503
    assert answer.json()["reason"] == "the computation failed: smoke came out"


@pytest.mark.usefixtures("no_gpu")
def test_ready_with_a_wrong_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that differs in one number is no result."""
    right = readiness.multiply_on_cpu

    def nearly(a: "array[float]", b: "array[float]") -> "array[float]":
        product = right(a, b)
        product[-1] += 1
        return product

    monkeypatch.setattr(readiness, "multiply_on_cpu", nearly)
    answer = client().get("/ready")
    assert answer.status_code == 503
    assert answer.json()["reason"] == "the computation's result is wrong"


@pytest.mark.usefixtures("no_gpu")
def test_ready_while_a_computation_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe that finds another one still computing gives up, and the next one works again."""
    monkeypatch.setattr(readiness, "PATIENCE_SECONDS", 0.01)
    with readiness.turn:
        answer = client().get("/ready")
    assert answer.status_code == 503
    assert "has not ended after 0.01 s" in answer.json()["reason"]
    assert client().get("/ready").status_code == 200


@pytest.mark.usefixtures("no_gpu")
def test_info_tells_versions_and_memory() -> None:
    """What is installed is told by its metadata; what is not is left out."""
    answer = client().get("/info").json()
    assert answer["python"] == ".".join(map(str, sys.version_info[:3]))
    assert answer["distributions"]["numpy"] == np.__version__
    assert set(answer["distributions"]) <= set(info.DISTRIBUTIONS)
    assert answer["cuda_runtime"] is None
    assert 0 < answer["memory_bytes"]["available"] <= answer["memory_bytes"]["total"]


@pytest.mark.parametrize(("text", "limit"), [("max\n", None), ("1048576\n", 1048576)])
def test_memory_limit(tmp_path: Path, text: str, limit: int | None) -> None:
    """The control group's limit, `max` being none."""
    (tmp_path / "memory.max").write_text(text)
    assert info.memory_limit(tmp_path) == limit
    assert info.memory_limit(tmp_path / "absent") is None


def metric(name: str) -> float:
    """The value of one sample on /metrics; 0 before its first."""
    for line in client().get("/metrics").text.splitlines():
        if line.startswith(f"{name} "):
            return float(line.rpartition(" ")[2])
    return 0


@pytest.mark.usefixtures("no_gpu")
def test_metrics_count_requests_by_route() -> None:
    """A request counts once under its route; paths that do not exist share one label."""
    health = 'http_requests_total{path="/health",status="200"}'
    unmatched = 'http_requests_total{path="unmatched",status="404"}'
    duration = 'http_request_duration_seconds_count{path="/health"}'
    before = [metric(name) for name in (health, unmatched, duration)]
    client().get("/health")
    client().get("/no/such/page")
    after = [metric(name) for name in (health, unmatched, duration)]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1, 1]


def test_metrics_count_a_fault_as_500(monkeypatch: pytest.MonkeyPatch) -> None:
    """A route that raises is counted too."""
    name = 'http_requests_total{path="/info",status="500"}'
    before = metric(name)
    monkeypatch.setattr(info, "collect", None)
    assert client().get("/info").status_code == 500
    assert metric(name) - before == 1


@pytest.mark.usefixtures("no_gpu")
def test_metrics_follow_readiness() -> None:
    """The gauge is the last verdict."""
    client().get("/ready")
    assert metric("service_ready") == 1
    client(require_gpu=True).get("/ready")
    assert metric("service_ready") == 0


def test_metrics_hold_the_process() -> None:
    """The client library's own figures are there: memory, CPU time, open files."""
    assert metric("process_resident_memory_bytes") > 1_000_000


@pytest.mark.parametrize(("path", "kept"), [("/health", False), ("/ready", True)])
def test_access_log_leaves_out_health(path: str, *, kept: bool) -> None:
    """uvicorn's arguments for a line: client, method, path, HTTP version, status."""
    arguments = ("127.0.0.1:1", "GET", path, "1.1", 200)
    record = logging.LogRecord("uvicorn.access", logging.INFO, "", 0, "", arguments, None)
    assert is_worth_a_line(record) is kept


# GPU


@pytest.mark.usefixtures("gpu")
def test_ready_on_the_gpu() -> None:
    """With a GPU the computation runs there, whether it is required or not."""
    for require_gpu in (False, True):
        answer = client(require_gpu=require_gpu).get("/ready")
        assert answer.status_code == 200
        assert (answer.json()["device"], answer.json()["reason"]) == ("cuda", None)


def test_gpu_product_is_by_rows(gpu: ctypes.CDLL) -> None:
    """a times b, not b times a nor a transposed result; and all memory is given back."""
    a, b = array("f", range(9)), array("f", [0, 1, 0, 0, 0, 2, 3, 0, 1])
    assert cuda.multiply(a, b).tolist() == [6, 0, 4, 15, 3, 13, 24, 6, 22]
    assert c_int(gpu, "live").value == 0


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("cudaSetDevice", "out of memory (2)"),
        ("cudaMalloc", "out of memory (2)"),
        ("cudaMemcpy", "out of memory (2)"),
        ("cublasSgemm_v2", "CUBLAS_STATUS_STAND_IN (2)"),
    ],
)
def test_failing_gpu_call_is_the_reason(
    gpu: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch, function: str, words: str
) -> None:
    """A GPU that fails makes the service not ready; the CPU does not stand in for it."""
    monkeypatch.setenv("FAIL", function)
    answer = client().get("/ready")
    assert answer.status_code == 503
    assert answer.json()["reason"] == f"the computation failed: {function}: {words}"
    assert c_int(gpu, "live").value == 0


def test_driver_without_a_device(gpu: ctypes.CDLL) -> None:
    """A driver that shows no device: the CPU computes."""
    c_int(gpu, "devices").value = 0
    assert client().get("/ready").json()["device"] == "cpu"


def test_image_with_cuda_on_a_host_without_driver(gpu: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason says what to do."""

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


# GPU of AMD


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
    """An image with HIP computes by it."""
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
    """As for NVIDIA's, and the version of HIP."""
    answer = client().get("/info").json()
    assert (answer["hip_runtime"], answer["cuda_runtime"]) == ("5.7", None)
    expected = {"name": "Stand-in", "memory_bytes": 80_000_000_000, "compute_capability": "10.3"}
    assert answer["devices"] == [expected]


@pytest.mark.usefixtures("no_gpu")
def test_cpu_computes_without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest image has none."""
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert client().get("/ready").json()["device"] == "cpu"


# Libraries


def test_newest_library_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number, not by spelling: 13 is newer than 9. Other libraries do not count."""
    names = ["libcudart.so.9", "libcudart.so.13", "libcudart.so", "libcudart_static.so.99"]
    monkeypatch.setattr(libraries, "loader_cache", lambda: {name: f"/x/{name}" for name in names})
    opened: list[str] = []
    monkeypatch.setattr(libraries, "open_library", opened.append)
    cuda.cuda_library("cudart")
    assert opened == ["/x/libcudart.so.13"]


def test_loader_cache_is_read() -> None:
    """Every Linux host's loader knows its own C library."""
    assert Path(libraries.loader_cache()["libc.so.6"]).name == "libc.so.6"


# The process


def start(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Python as the entry script starts it, in a folder that is not the service's own."""
    return subprocess.Popen(
        [sys.executable, "-P", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for(port: int, seconds: float = 20) -> None:
    """Return when something listens on `port`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, f"nothing listens on port {port}"
            time.sleep(0.02)
        else:
            return


def test_service_starts_logs_and_ends(tmp_path: Path) -> None:
    """It serves on PORT, keeps /health out of the log, and SIGTERM ends it with that signal."""
    # A user's file of the same name as a module lies in the working directory.
    (tmp_path / "fastapi.py").write_text("raise SystemExit('imported from the volume')")
    port = free_port()
    process = start(tmp_path, "-m", "app", PORT=str(port))
    wait_for(port)
    for path in ("/health", "/info"):
        urlopen(f"http://127.0.0.1:{port}{path}").close()
    started = time.monotonic()
    process.terminate()
    output, _ = process.communicate(timeout=10)
    assert time.monotonic() - started < 1
    assert process.returncode == -signal.SIGTERM
    assert '"GET /info HTTP/1.1" 200' in output
    assert "/health" not in output


def test_hung_request_does_not_delay_the_end(tmp_path: Path) -> None:
    """SIGTERM ends the service in under a second although a computation never ends."""
    code = (
        "import time; from app import __main__, readiness; "
        "readiness.is_correct = lambda _: time.sleep(60); __main__.main()"
    )
    port = free_port()
    process = start(tmp_path, "-c", code, PORT=str(port))
    wait_for(port)
    with socket.create_connection(("127.0.0.1", port)) as request:
        request.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
        urlopen(f"http://127.0.0.1:{port}/health").close()
        started = time.monotonic()
        process.terminate()
        process.communicate(timeout=10)
    assert time.monotonic() - started < 1
    assert process.returncode == -signal.SIGTERM


def test_first_answer_imports_nothing_heavy(tmp_path: Path) -> None:
    """numpy and ONNX Runtime are not loaded by the application."""
    code = "import sys, app.__main__; print(sorted({'numpy', 'onnxruntime'} & set(sys.modules)))"
    command = [sys.executable, "-P", "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.check_output(command, cwd=tmp_path, env=environment, text=True) == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ((), {"PORT": "x"}, "error: PORT is 'x': set it to a number from 1 to 65535\n"),
        (("--reload",), {}, "error: serve takes no arguments (--reload): set PORT or REQUIRE_GPU"),
    ],
)
def test_bad_start_is_one_message(
    tmp_path: Path, arguments: tuple[str, ...], environment: dict[str, str], message: str
) -> None:
    """One line on the error output, exit code 1, no traceback."""
    process = start(tmp_path, "-m", "app", *arguments, **environment)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert output.startswith(message)
    assert output.count("\n") == 1
