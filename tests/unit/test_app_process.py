"""The service as a process: its start, its log, and its end by SIGTERM."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.helpers.programs import free_port

ROOT = Path(__file__).parents[2]


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


def wait_for(port: int, seconds: float = 60) -> None:
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


def stop(process: subprocess.Popen[str]) -> tuple[str, float]:
    """End a service by SIGTERM; return its output and the seconds that this took."""
    started = time.monotonic()
    process.terminate()
    output, _ = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM
    return output, time.monotonic() - started


def test_service_starts_logs_and_ends(tmp_path: Path) -> None:
    """It serves on PORT, keeps /health out of the log, and SIGTERM ends it with that signal.

    A platform's number of workers, which is uvicorn's own variable, is not its own.
    """
    # A user's file of the same name as a module lies in the working directory.
    (tmp_path / "fastapi.py").write_text("raise SystemExit('imported from the volume')")
    port = free_port()
    process = start(tmp_path, "-m", "app", PORT=str(port), WEB_CONCURRENCY="auto")
    wait_for(port)
    for path in ("/health", "/info"):
        urlopen(f"http://127.0.0.1:{port}{path}").close()
    output, _ = stop(process)
    assert '"GET /info HTTP/1.1" 200' in output
    assert "/health" not in output
    assert f"running on http://0.0.0.0:{port} " in output


def seconds_to_stop(tmp_path: Path, *, request: bytes) -> float:
    """Start a service whose computations never end, send it a request, and return the seconds that its end took."""
    code = (
        "import time; from app import __main__, readiness; "
        "readiness.is_correct = lambda _: time.sleep(60); __main__.main()"
    )
    port = free_port()
    process = start(tmp_path, "-c", code, PORT=str(port))
    wait_for(port)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request)
        urlopen(f"http://127.0.0.1:{port}/health").close()
        return stop(process)[1]


@pytest.mark.parametrize("path", ["/health", "/ready"], ids=["idle", "computing"])
def test_service_ends_within_a_second(tmp_path: Path, path: str) -> None:
    """Also while a computation never ends. One of three is enough: a busy machine may delay one."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    assert any(seconds_to_stop(tmp_path, request=request) < 1 for _ in range(3))


def test_first_answer_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys, app.__main__; print(sorted({'numpy', 'onnxruntime'} & set(sys.modules)))"
    assert start(tmp_path, "-c", code).communicate(timeout=60)[0] == "[]\n"


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
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output.startswith(message)
    assert output.count("\n") == 1
