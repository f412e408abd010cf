"""The container as it runs: start, health, stop, commands, and the narrowest rights that it needs."""

import http.client
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
from docker.models.containers import Container

from slipway.matrix import Image
from tests.images.helpers.containers import (
    HEALTHY_SECONDS,
    MILLISECOND,
    QUICK_HEALTH,
    RIGHTS,
    SIGTERM_EXIT,
    STOP_SECONDS,
    WITHOUT_GPU,
    Run,
    Start,
    has_ended,
    host_port,
    inside,
    request,
    wait_for_health,
    wait_until,
)
from tests.images.helpers.scope import applies
from tests.images.helpers.service import ask_ready, serve_command

pytestmark = applies()

NOT_FOUND_EXIT = 127
FOLDERS = ("/cache", "/data", "/tmp")
WRITE = """
for folder; do
    file=$(mktemp --tmpdir="$folder") && echo "$folder" >"$file" && cat "$file" && rm "$file"
done
true
"""
# Why /ready computes on the CPU, in the words of the accelerator.
REASONS = {
    "cpu": "no GPU is used",
    "cuda": "NVIDIA",
    "rocm": "no AMD GPU is in this container: start it with --device /dev/kfd --device /dev/dri",
}

# The only child of the init is the container's command.
SIGNAL = "kill -{} $(cat /proc/1/task/1/children)"
FIRST_TWO = "cat /proc/1/comm; for child in $(cat /proc/1/task/1/children); do cat /proc/$child/comm; done"
# An orphan's parent is PID 1, which must read its exit status.
ORPHAN = """
import os, time
reader, writer = os.pipe()
if not os.fork():
    if orphan := os.fork():
        os.write(writer, str(orphan).encode())
    os._exit(0)
os.wait()
path = f"/proc/{os.read(reader, 20).decode()}"
deadline = time.monotonic() + 5
while os.path.exists(path) and time.monotonic() < deadline:
    time.sleep(0.01)
raise SystemExit(os.path.exists(path))
"""


@dataclass(frozen=True)
class Service:
    """A running service: its container, its port on this host, and the seconds until its first answer."""

    container: Container
    port: int
    seconds: float

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of an answer."""
        answer = request(self.port, "GET", path)
        return answer.status, answer.read().decode()


def serve(start: Start, *command: str, **options: object) -> Service:
    """Start the service with its port published and wait for its first answer."""
    started = time.monotonic()
    container = start(*command, ports={"8000/tcp": ("127.0.0.1", None)}, environment=WITHOUT_GPU, **options)
    port = host_port(container, 8000)

    def answers() -> bool:
        try:
            return request(port, "GET", "/health").status == http.client.OK
        except (OSError, http.client.HTTPException):
            container.reload()
            assert container.status == "running", container.logs().decode(errors="replace")
            return False

    wait_until(answers, "the service answers")
    return Service(container, port, time.monotonic() - started)


@pytest.fixture(scope="module", params=RIGHTS)
def service(start_shared: Start, request: pytest.FixtureRequest, contract: Image) -> Service:
    """The service, with the rights that docker gives and with the narrowest."""
    return serve(start_shared, *serve_command(contract), **request.param)


@pytest.fixture(scope="module")
def written(service: Service) -> list[str]:
    """The folders in which the service's user has written a file and read it again."""
    return inside(service.container, "sh", "-c", WRITE, "sh", *FOLDERS).splitlines()


@pytest.fixture(scope="module")
def plain(start_shared: Start) -> Container:
    """A plain command, started through the image's own entry point."""
    return start_shared("sleep", "infinity", network_mode="none", healthcheck=QUICK_HEALTH)


# --- the service ---------------------------------------------------------------------------------


@pytest.mark.requirement("A6", "U1", "U10", "T12")
@pytest.mark.usefixtures("real_time")
def test_service_answers_soon(service: Service, record_property: Callable[[str, object], None]) -> None:
    """No argument starts the service; the seconds since `docker run` are kept in the evidence."""
    record_property("seconds_to_health", round(service.seconds, 2))
    assert service.seconds < HEALTHY_SECONDS


@pytest.mark.requirement("A10", "T7", "T12", "U10")
def test_docker_shows_the_service_as_healthy(service: Service) -> None:
    """By the image's own health check, as it is."""
    wait_for_health(service.container, "healthy")


@pytest.mark.requirement("C10", "T12", "U10")
def test_ready_computes_on_the_cpu_and_says_why(service: Service, contract: Image) -> None:
    """Without a GPU a real computation runs on the CPU, and the reason says what is missing."""
    status, body = service.get("/ready")
    verdict = json.loads(body)
    assert (status, verdict["ready"], verdict["device"]) == (200, True, "cpu")
    assert REASONS["cpu"] in verdict["reason"]
    assert REASONS[contract.variant.accelerator] in verdict["reason"]
    assert verdict["seconds"] > 0


@pytest.mark.requirement("C10")
def test_log_says_that_a_gpu_image_computes_on_the_cpu(service: Service, contract: Image) -> None:
    """Whoever starts it without its GPU reads that at once; an image for the CPU has nothing to say."""
    says = "computing on the CPU: " in service.container.logs().decode(errors="replace")
    assert says == (contract.variant.accelerator != "cpu")


def test_info_tells_versions_and_memory(service: Service, contract: Image) -> None:
    """/info tells what the service runs on."""
    status, body = service.get("/info")
    information = json.loads(body)
    versions = contract.variant.versions
    assert status == http.client.OK
    assert information["python"].startswith(versions["python"] + ".")
    assert information["distributions"].get("onnxruntime") == versions.get("onnxruntime")
    assert information["cuda_runtime"] == versions.get("cuda")
    assert information["hip_runtime"] == versions.get("hip")
    assert information["devices"] == []
    assert information["memory_bytes"]["total"] > 0


def test_metrics_count_requests(service: Service) -> None:
    """Prometheus reads a counter that a request has moved."""
    service.get("/health")
    status, body = service.get("/metrics")
    counted = re.search(r'(?m)^http_requests_total{path="/health",status="200"} (\S+)$', body)
    assert status == http.client.OK
    assert counted
    assert float(counted[1]) >= 1


@pytest.mark.requirement("U10", "T6", "T12")
@pytest.mark.parametrize("folder", FOLDERS)
def test_service_can_write(written: list[str], folder: str) -> None:
    """To volumes and the temporary folder, as any user."""
    assert folder in written


@pytest.mark.requirement("U10", "T12")
def test_service_runs_without_rights(service: Service) -> None:
    """It keeps no capability, whatever docker's defaults would allow."""
    effective = inside(service.container, "grep", "CapEff", "/proc/1/status")
    assert int(effective.split()[1], 16) == 0


@pytest.mark.requirement("T6", "C10")
def test_ready_refuses_without_a_required_gpu(start: Start, contract: Image) -> None:
    """With REQUIRE_GPU=1 a service on the CPU is alive but not ready, and gets no requests."""
    environment = WITHOUT_GPU | {"REQUIRE_GPU": "1"}
    container = start(*serve_command(contract), network_mode="none", environment=environment)
    wait_for_health(container, "healthy")
    status, verdict = ask_ready(container)
    assert (status, verdict["ready"]) == (503, False)
    assert verdict["reason"].startswith("REQUIRE_GPU=1, but ")


@pytest.mark.requirement("T7")
def test_health_follows_a_service_that_hangs(start: Start, contract: Image, emulated: bool) -> None:  # noqa: FBT001
    """A stopped process still accepts connections: only a health check that waits for the answer notices."""
    quick = QUICK_HEALTH | ({"timeout": 5000 * MILLISECOND} if emulated else {})
    container = start(*serve_command(contract), network_mode="none", healthcheck=quick)
    wait_for_health(container, "healthy")
    inside(container, "sh", "-c", SIGNAL.format("STOP"))
    wait_for_health(container, "unhealthy")
    inside(container, "sh", "-c", SIGNAL.format("CONT"))
    wait_for_health(container, "healthy")


def seconds_to_stop(start: Start) -> float:
    """Start the service, end it by SIGTERM and return the seconds until it has ended."""
    container = start("serve", network_mode="none")
    wait_for_health(container, "healthy")
    container.kill("SIGTERM")
    seconds = wait_until(partial(has_ended, container), "the container ends by SIGTERM")
    assert container.wait()["StatusCode"] == SIGTERM_EXIT
    return seconds


@pytest.mark.requirement("U1", "A10")
@pytest.mark.usefixtures("real_time")
def test_serve_stops_by_sigterm(start: Start) -> None:
    """The exit code names the signal, and docker need not kill it.

    One try of three must be quick: a busy machine may delay one, a service that is slow to end delays them all.
    """
    assert any(seconds_to_stop(start) < STOP_SECONDS for _ in range(3))


def test_bad_port_is_one_clear_message(run: Run, contract: Image) -> None:
    """The message names the variable, the value and what is allowed."""
    finished = run(*serve_command(contract), environment={"PORT": "65536"})
    assert finished.exit_code == 1
    assert finished.output == "error: PORT is '65536': set it to a number from 1 to 65535\n"


# --- commands ------------------------------------------------------------------------------------


@pytest.mark.requirement("U1", "U13")
def test_command_is_executed_as_given(run: Run) -> None:
    """Arguments arrive as they are, empty ones and spaces included, and the exit code comes back."""
    finished = run("sh", "-c", 'printf "<%s>" "$@"; exit 37', "sh", "two words", "", "*", "$HOME")
    assert (finished.exit_code, finished.output) == (37, "<two words><><*><$HOME>")


@pytest.mark.requirement("U1")
def test_unknown_command_is_one_clear_message(run: Run) -> None:
    """A mistyped mode exits with 127, as in a shell, and not as a program that failed."""
    finished = run("serv")
    assert finished.exit_code == NOT_FOUND_EXIT
    assert finished.output.count("\n") == 1
    assert "'serv'" in finished.output


def test_plain_command_is_healthy(plain: Container) -> None:
    """A container without the service must not be restarted for its health."""
    wait_for_health(plain, "healthy")


@pytest.mark.requirement("A10", "U1")
def test_init_is_the_first_process(plain: Container) -> None:
    """PID 1 is the init, and the command is its child, without a shell in between."""
    wait_until(lambda: inside(plain, "sh", "-c", FIRST_TWO).split() == ["tini", "sleep"], "the init runs the command")


@pytest.mark.requirement("U1")
def test_zombies_are_reaped(plain: Container) -> None:
    """Without an init each orphan would stay in the process table."""
    inside(plain, "python", "-c", ORPHAN)


@pytest.mark.requirement("U10")
def test_files_of_a_command_belong_to_the_group(run: Run) -> None:
    """On a shared volume another container under another UID can change them: all have GID 0."""
    finished = run("sh", "-c", "touch /data/file && stat -c '%g %A' /data/file", user="12345:0")
    assert finished.output == "0 -rw-rw-r--\n"
