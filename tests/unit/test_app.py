"""The service: settings, routes, metrics, and how it finds libraries."""

import logging
import sys
import time
from array import array  # noqa: TC003 - Python 3.11 knows no array[float] at run time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app import cuda, inference, info, libraries, readiness
from app.__main__ import is_worth_a_line
from app.service import create_app
from app.settings import SettingError, Settings, read_settings

RIGHT = readiness.multiply_on_cpu


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without CUDA's libraries."""
    monkeypatch.setattr(libraries, "loader_cache", dict)


def client(*, require_gpu: bool = False) -> TestClient:
    """A client of the application; a fault in it is an answer 500, as uvicorn gives it."""
    app = create_app(Settings(require_gpu=require_gpu))
    return TestClient(app, raise_server_exceptions=False)


# Settings


def test_settings_are_read() -> None:
    """Unset and empty variables are the same: compose files leave them empty."""
    assert read_settings({}) == read_settings({"PORT": "", "REQUIRE_GPU": ""}) == Settings(port=8000, require_gpu=False)
    assert read_settings({"PORT": "9000", "REQUIRE_GPU": "1"}) == Settings(port=9000, require_gpu=True)


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        *(("PORT", value, "a number from 1 to 65535") for value in ("http", "0", "65536", "-1", "8000.0", " 80")),
        pytest.param("PORT", "9" * 5000, "a number from 1 to 65535", id="many digits"),
        ("REQUIRE_GPU", "true", "1 or 0"),  # must not start a service that is ready without a GPU
    ],
)
def test_a_bad_setting_is_named(variable: str, value: str, allowed: str) -> None:
    """The message says which variable, what it is and what it may be."""
    with pytest.raises(SettingError, match=f"^{variable} is '.*': set it to {allowed}$"):
        read_settings({variable: value})


# Routes


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_the_routes_are_not_listed(path: str) -> None:
    assert client().get(path).status_code == 404


def test_health_answers_without_computing(monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert answer.json()["provider"] == "CPUExecutionProvider"
    assert client().get("/info").json()["onnxruntime_provider"] == "CPUExecutionProvider"


@pytest.mark.requirement("T6")
@pytest.mark.usefixtures("no_gpu")
def test_ready_with_require_gpu_refuses() -> None:
    """REQUIRE_GPU=1 and no GPU: not ready, and the reason names both."""
    answer = client(require_gpu=True).get("/ready")
    assert answer.status_code == 503
    assert answer.json()["reason"].startswith("REQUIRE_GPU=1, but this image has no libcudart")


def multiply_never(_a: object, _b: object) -> object:
    raise ArithmeticError("smoke came out")


def multiply_nearly(a: "array[float]", b: "array[float]") -> "array[float]":
    product = RIGHT(a, b)
    product[-1] += 1
    return product


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(
    ("multiply", "reason"),
    [
        (multiply_never, "the computation failed: smoke came out"),
        (multiply_nearly, "the computation's result is wrong"),
    ],
)
def test_ready_without_the_right_result(
    monkeypatch: pytest.MonkeyPatch, multiply: Callable[..., object], reason: str
) -> None:
    """An exception is a reason, not a traceback; a result that differs in one number is none."""
    monkeypatch.setattr(readiness, "multiply_on_cpu", multiply)
    answer = client().get("/ready")
    assert (answer.status_code, answer.json()["reason"]) == (503, reason)


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
def test_ready_while_many_wait_for_a_hanging_computation() -> None:
    """One more is answered at once, so that the threads are left for /info and /metrics."""
    for _ in range(4):
        readiness.places.acquire()
    started = time.monotonic()
    answer = client().get("/ready")
    readiness.places.release(4)
    assert answer.json()["reason"] == "too many wait for an earlier computation"
    assert time.monotonic() - started < readiness.PATIENCE_SECONDS
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


@pytest.mark.parametrize(("quota", "share"), [("max", 1), ("-1", 1), ("50000", 0.5), ("6400000", 1)])
def test_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, share: float) -> None:
    """A limit of time counts, and those that the container may run on. Report: pytorch/serve#3150."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert info.processors(tmp_path) == share
    (tmp_path / "cpu.max").write_text("25000 100000\n")
    assert info.processors(tmp_path) == 0.25
    assert info.processors(tmp_path / "absent") == 1


@pytest.mark.parametrize("file", ["memory.max", "memory/memory.limit_in_bytes"])
@pytest.mark.parametrize(
    ("text", "limit"),
    [("max\n", None), ("9223372036854771712\n", None), ("1048576\n", 1048576)],
    ids=["2", "1", "limit"],
)
def test_memory_limit(tmp_path: Path, file: str, text: str, limit: int | None) -> None:
    """The control group's limit in both versions, `max` or a huge number being none."""
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
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
    name = 'http_requests_total{path="/info",status="500"}'
    before = metric(name)
    monkeypatch.setattr(info, "collect", None)
    assert client().get("/info").status_code == 500
    assert metric(name) - before == 1


@pytest.mark.usefixtures("no_gpu")
def test_metrics_follow_readiness() -> None:
    """The gauge is the last verdict; the client library's own figures of the process are there, too."""
    client().get("/ready")
    assert metric("service_ready") == 1
    client(require_gpu=True).get("/ready")
    assert metric("service_ready") == 0
    assert metric("process_resident_memory_bytes") > 1_000_000


@pytest.mark.parametrize(
    ("path", "status", "kept"),
    [
        ("/health", 200, False),
        ("/ready", 200, False),
        ("/metrics", 200, False),
        ("/ready", 503, True),
        ("/info", 200, True),
    ],
)
def test_access_log_leaves_out_probes(path: str, status: int, *, kept: bool) -> None:
    """uvicorn's arguments for a line: client, method, path, HTTP version, status. A probe that fails stays.

    Reports: IBM/mcp-context-forge#5880, soma-smart/le-coffre#154.
    """
    arguments = ("127.0.0.1:1", "GET", path, "1.1", status)
    record = logging.LogRecord("uvicorn.access", logging.INFO, "", 0, "", arguments, None)
    assert is_worth_a_line(record) is kept


@pytest.mark.usefixtures("no_gpu")
def test_cpu_computes_without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image for ROCm has none; /ready and /info then name no provider."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    inference.open_session.cache_clear()
    answer = client().get("/ready").json()
    assert (answer["ready"], answer["device"], answer["provider"]) == (True, "cpu", None)
    assert client().get("/info").json()["onnxruntime_provider"] is None


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_gpu_that_onnxruntime_does_not_use_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It falls back to the CPU by itself where CUDA shows a GPU: not ready, and /info names the provider in use."""
    monkeypatch.setattr(cuda, "why_unavailable", lambda: None)
    answer = client().get("/ready")
    assert answer.status_code == 503
    assert "does not use its CUDAExecutionProvider" in answer.json()["reason"]
    assert client().get("/info").json()["onnxruntime_provider"] == "CPUExecutionProvider"


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
