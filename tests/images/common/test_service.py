"""The container as it runs: start, health, stop, commands, and the narrowest rights it must do with."""

import http.client
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import docker
import pytest
from docker.models.containers import Container

from slipway.matrix import Image
from tests.images.conftest import Run, Start
from tests.images.helpers import timeouts
from tests.images.helpers.scope import applies

pytestmark = applies()

# Generous, because other checks may run at the same time: `nox -s bench` measures it against its target.
HEALTHY_SECONDS = 10
STOP_SECONDS = 1
MILLISECOND = 10**6  # docker counts in nanoseconds
SIGTERM_EXIT = 128 + 15
NOT_FOUND_EXIT = 127

# Where the engine's default runtime is NVIDIA's, this keeps GPUs out of the container.
WITHOUT_GPU = {"NVIDIA_VISIBLE_DEVICES": "void"}
# Quick enough for a check to wait for; the image's own command is kept.
QUICK_HEALTH = {"interval": 100 * MILLISECOND, "timeout": 500 * MILLISECOND, "retries": 2}
# What a strict cluster leaves to a container: any UID with GID 0, no capability, nothing writable but volumes.
NARROW = {
    "user": "12345:0",
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "tmpfs": {"/tmp": ""},
    "mounts": [docker.types.Mount(path, source=None) for path in ("/cache", "/data")],
}
IN_DEFAULT_RIGHTS: dict[str, object] = {}
RIGHTS = [pytest.param(IN_DEFAULT_RIGHTS, id="default"), pytest.param(NARROW, id="narrow")]

# The only child of the init is what the container is for.
SIGNAL = "kill -{} $(cat /proc/1/task/1/children)"
FIRST_TWO = "cat /proc/1/comm; for child in $(cat /proc/1/task/1/children); do cat /proc/$child/comm; done"
# An orphan's parent is PID 1: it alone can take note of its end.
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
    """A running service: its container, its port on this host, and how long it took to answer."""

    container: Container
    port: int
    seconds: float

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of an answer; no proxy of the host stands between."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeouts.seconds())
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def wait_until(met: Callable[[], bool], what: str) -> float:
    """Wait until something is so and return the seconds; the check fails when it takes too long."""
    started = time.monotonic()
    while not met():
        assert time.monotonic() - started < timeouts.seconds(), f"not within {timeouts.seconds()} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - started


def wait_for_health(container: Container, health: str) -> None:
    """Wait until docker shows a state of health; a container that has ended does not reach any."""

    def met() -> bool:
        container.reload()
        assert container.status == "running", container.logs().decode(errors="replace")
        return str(container.health) == health

    wait_until(met, f"the container is {health}")


def has_ended(container: Container) -> bool:
    """Tell whether nothing of a container runs any more."""
    container.reload()
    return str(container.status) == "exited"


def service_command(contract: Image) -> list[str]:
    """What starts the service: no argument, unless a workload has another default mode."""
    return [] if contract.mode == "serve" else ["serve"]


def serve(start: Start, *command: str, **options: object) -> Service:
    """Start the service with its port published and wait for its first answer."""
    started = time.monotonic()
    ports = {"8000/tcp": ("127.0.0.1", None)}
    container = start(*command, ports=ports, environment=WITHOUT_GPU, **options)
    container.reload()
    port = int(container.ports["8000/tcp"][0]["HostPort"])
    service = Service(container, port, 0)

    def answers() -> bool:
        try:
            return service.get("/health")[0] == http.client.OK
        except (OSError, http.client.HTTPException):
            container.reload()
            assert container.status == "running", container.logs().decode(errors="replace")
            return False

    wait_until(answers, "the service answers")
    return Service(container, port, time.monotonic() - started)


@pytest.fixture(scope="module", params=RIGHTS)
def service(start_shared: Start, request: pytest.FixtureRequest, contract: Image) -> Service:
    """The service, with the rights that docker gives and with the narrowest."""
    return serve(start_shared, *service_command(contract), **request.param)


@pytest.fixture(scope="module")
def idle(start_shared: Start) -> Container:
    """A plain command, started through the image's own entry point."""
    return start_shared("sleep", "infinity", network_mode="none", healthcheck=QUICK_HEALTH)


def inside(container: Container, *command: str) -> str:
    """Return what a command in a running container printed; its failure fails the check."""
    code, output = container.exec_run(list(command))
    text = str(output.decode(errors="replace"))
    assert code == 0, text
    return text.strip()


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
def test_ready_computes_on_the_cpu_and_says_why(service: Service) -> None:
    """Without a GPU a real computation runs on the CPU, and nobody has to guess."""
    status, body = service.get("/ready")
    verdict = json.loads(body)
    assert (status, verdict["ready"], verdict["device"]) == (200, True, "cpu")
    assert "no GPU is used" in verdict["reason"]
    assert verdict["seconds"] > 0


def test_info_tells_versions_and_memory(service: Service, contract: Image) -> None:
    """A user of the service sees what it runs on."""
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
@pytest.mark.parametrize("folder", ["/cache", "/data", "/tmp"])
def test_service_can_write(service: Service, folder: str) -> None:
    """Volumes and the temporary folder serve whichever user the container runs as."""
    script = 'file=$(mktemp --tmpdir="$0") && echo written >"$file" && cat "$file" && rm "$file"'
    assert inside(service.container, "sh", "-c", script, folder) == "written"


@pytest.mark.requirement("U10", "T12")
def test_service_runs_without_rights(service: Service) -> None:
    """It keeps no capability, whatever docker's defaults would allow."""
    effective = inside(service.container, "grep", "CapEff", "/proc/1/status")
    assert int(effective.split()[1], 16) == 0


@pytest.mark.requirement("T6", "C10")
def test_ready_refuses_without_a_required_gpu(start: Start, contract: Image) -> None:
    """REQUIRE_GPU=1 keeps requests from a service that would compute on the CPU; it stays alive all the same."""
    command = service_command(contract)
    container = start(*command, network_mode="none", environment=WITHOUT_GPU | {"REQUIRE_GPU": "1"})
    wait_for_health(container, "healthy")
    ask = "import urllib.request as r, urllib.error as e\n"
    ask += "try: r.urlopen('http://127.0.0.1:8000/ready')\nexcept e.HTTPError as x: print(x.code, x.read().decode())"
    status, _, body = inside(container, "python", "-c", ask).partition(" ")
    verdict = json.loads(body)
    assert (int(status), verdict["ready"]) == (503, False)
    assert verdict["reason"].startswith("REQUIRE_GPU=1, but ")


@pytest.mark.requirement("T7")
def test_health_follows_a_service_that_hangs(start: Start, contract: Image, emulated: bool) -> None:  # noqa: FBT001
    """A stopped process still accepts connections: only a health check that waits for the answer notices."""
    quick = QUICK_HEALTH | ({"timeout": 5000 * MILLISECOND} if emulated else {})
    container = start(*service_command(contract), network_mode="none", healthcheck=quick)
    wait_for_health(container, "healthy")
    inside(container, "sh", "-c", SIGNAL.format("STOP"))
    wait_for_health(container, "unhealthy")
    inside(container, "sh", "-c", SIGNAL.format("CONT"))
    wait_for_health(container, "healthy")


def seconds_to_stop(start: Start) -> float:
    """Start the service, end it by SIGTERM and return the seconds that this took."""
    container = start("serve", network_mode="none")
    wait_for_health(container, "healthy")
    container.kill("SIGTERM")
    seconds = wait_until(partial(has_ended, container), "the container ends by SIGTERM")
    assert container.wait()["StatusCode"] == SIGTERM_EXIT
    return seconds


@pytest.mark.requirement("U1", "A10")
@pytest.mark.usefixtures("real_time")
def test_serve_stops_by_sigterm(start: Start) -> None:
    """`serve` is the mode of no argument; it ends at once and says by which signal, so docker need not kill it.

    One of three is enough: a busy machine may delay one, a service that is slow to end delays them all.
    """
    assert any(seconds_to_stop(start) < STOP_SECONDS for _ in range(3))


def test_bad_port_is_one_clear_message(run: Run, contract: Image) -> None:
    """The message names the variable, the value and what is allowed."""
    finished = run(*service_command(contract), environment={"PORT": "65536"})
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
    """A mistyped mode is told apart from a program that failed: 127, as a shell has it."""
    finished = run("serv")
    assert finished.exit_code == NOT_FOUND_EXIT
    assert finished.output.count("\n") == 1
    assert "'serv'" in finished.output


def test_plain_command_is_healthy(idle: Container) -> None:
    """An image that serves as a workbench must not be restarted for want of a service."""
    wait_for_health(idle, "healthy")


@pytest.mark.requirement("A10", "U1")
def test_init_is_the_first_process(idle: Container) -> None:
    """PID 1 is the init, and the command is its child in its own right: no shell stays between."""
    assert inside(idle, "sh", "-c", FIRST_TWO).split() == ["tini", "sleep"]


@pytest.mark.requirement("U1")
def test_zombies_are_reaped(idle: Container) -> None:
    """Without an init each orphan would stay in the table of processes for good."""
    inside(idle, "python", "-c", ORPHAN)


@pytest.mark.requirement("U10")
def test_files_of_a_command_belong_to_the_group(run: Run) -> None:
    """What one container writes on a volume, another under another UID can change: all share GID 0."""
    finished = run("sh", "-c", "touch /data/file && stat -c '%g %A' /data/file", user="12345:0")
    assert finished.output == "0 -rw-rw-r--\n"
