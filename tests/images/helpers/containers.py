"""Containers of the image under test: types of the fixtures, rights, time limits and waits."""

import base64
import http.client
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from statistics import mean, median
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from slipway.matrix import Image
from tests.images.helpers import timeouts

STOP_SECONDS = 1
SIGTERM_EXIT = 128 + 15
MILLISECOND = 10**6  # docker counts in nanoseconds
# Keeps GPUs out of the container where the engine's default runtime is NVIDIA's.
WITHOUT_GPU = {"NVIDIA_VISIBLE_DEVICES": "void"}
# Docker's greatest share of the processors, for a container whose times are measured: all other containers wait for it.
PREFERRED = {"cpu_shares": 262144}
# Nanoseconds that the command of a container ran, and that it waited for a processor; some kernels count neither.
COUNTED = "cat /proc/$(cut -d' ' -f1 /proc/1/task/1/children)/schedstat 2>/dev/null || echo 1 0"
# A fixed piece of work, which prints the seconds of processor time that it takes; and those that it takes on the
# machine that the budgets are for: processors differ, and one that others share is slower at times. As in a start, half
# of it computes, half loads modules, which a machine with slow memory slows far more. Python's own start is not in it,
# nor what the image has Python do there: an image that is slow itself gets no more time for it.
FIXED_WORK = """
import time
started = time.process_time()
import asyncio, http.client, json
for _ in range(16):
    {str(number): number for number in range(20_000)}
print(time.process_time() - started)
"""
FIXED_WORK_SECONDS = 0.095
# The image's own health check, in shorter intervals. It waits 2 s for an answer: docker's limit is beyond what a busy
# machine adds, so an unhealthy container is one that did not answer.
QUICK_HEALTH = {"interval": 100 * MILLISECOND, "timeout": 5000 * MILLISECOND, "retries": 2}
# What a check says when the engine has kept nothing of what a container's command printed.
LOST = "the engine has lost the output of a command"
# Docker's numbers of the streams of a command, and the head of each piece: its stream and its bytes.
STDOUT, STDERR = 1, 2
HEAD = struct.Struct(">BxxxL")
# What a browser asks for a WebSocket with.
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(b"sixteen bytes...").decode(),
}
# A page of another site, in the browser of the owner.
ELSEWHERE = {"Origin": "http://elsewhere.example"}
# TCP ports that something listens on, by IPv4 and IPv6.
LISTENING = """
import pathlib, re
tables = "".join(pathlib.Path("/proc/net", version).read_text() for version in ("tcp", "tcp6"))
print(*{int(port, 16) for port in re.findall(r":(\\w{4}) \\w+:0000 0A ", tables)})
"""
# A strict cluster allows any UID with GID 0, no capability, and writes to volumes only.
STRICT: dict[str, Any] = {
    "user": "12345:0",
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
}
VOLUMES = [docker.types.Mount(path, source=None) for path in ("/cache", "/data")]
DEFAULT_RIGHTS: dict[str, Any] = {}
RIGHTS = [
    pytest.param(DEFAULT_RIGHTS, id="default"),
    pytest.param(STRICT | {"tmpfs": {"/tmp": ""}, "mounts": VOLUMES}, id="narrow"),
]


@dataclass(frozen=True)
class Finished:
    """A container or a command that has ended: its exit code, its output, and of it the standard output alone.

    The engine brings the two streams in any order where one follows the other closely.
    """

    exit_code: int
    output: str
    stdout: str = field(default="", compare=False)

    def __str__(self) -> str:
        """Show the output as it was printed; a failure without a word, as what the engine has lost, runs again."""
        return f"exit code {self.exit_code}:\n{self.output or (LOST if self.exit_code else '')}"

    __repr__ = __str__

    def require_success(self) -> str:
        """Return the output; the check fails unless the exit code is 0."""
        assert self.exit_code == 0, self
        return self.output

    def require_message(self, beginning: str, exit_code: int = 1) -> None:
        """Check that the output is one line, with this beginning, and the exit code is that of an error."""
        assert self.exit_code == exit_code, self
        assert self.output.startswith(beginning), self
        assert self.output.count("\n") == 1, self


Start = Callable[..., Container]
Run = Callable[..., Finished]
Python = Callable[[str], str]


def execute(container: Container, *command: str, **options: Any) -> Finished:
    """Run a command in a running container, with docker's options, to its end."""
    code, pieces = read_pieces(container, *command, **options)
    return Finished(code, join(pieces, STDOUT, STDERR), join(pieces, STDOUT))


def inside(container: Container, *command: str, **options: Any) -> str:
    """Return the standard output of a command in a running container; its failure fails the check."""
    code, pieces = read_pieces(container, *command, **options)
    assert code == 0, f"exit code {code}: {join(pieces, STDOUT)}{join(pieces, STDERR)}"
    return join(pieces, STDOUT).strip()


def read_pieces(container: Container, *command: str, **options: Any) -> tuple[int, list[tuple[int, bytes]]]:
    """Return the exit code of a command in a running container, and what it printed: streams and pieces in order.

    docker-py's exec_run loses what comes together with the head of the engine's answer (docker/docker-py, issue 2042),
    and asks for the exit code before the engine may know it.
    """
    api = container.client.api
    number = api.exec_create(container.id, list(command), **options)["Id"]
    address = f"{api.base_url}/v{api.api_version}/exec/{number}/start"
    answer = api.post(address, json={"Detach": False, "Tty": False}, timeout=None)
    answer.raise_for_status()
    content, pieces = BytesIO(answer.content), []
    while head := content.read(HEAD.size):
        stream, size = HEAD.unpack(head)
        pieces.append((stream, content.read(size)))
    wait_until(lambda: not api.exec_inspect(number)["Running"], "a command ends that has closed its output")
    return int(api.exec_inspect(number)["ExitCode"]), pieces


def join(pieces: list[tuple[int, bytes]], *streams: int) -> str:
    """Return the text of these streams."""
    return b"".join(piece for stream, piece in pieces if stream in streams).decode(errors="replace")


def wait_until(met: Callable[[], bool], what: str) -> float:
    """Wait for a condition and return the seconds; the check fails when it takes too long."""
    started = time.monotonic()
    while not met():
        assert time.monotonic() - started < timeouts.seconds(), f"not within {timeouts.seconds()} s: {what}"
        time.sleep(0.1)  # each question takes the engine's time, which the containers need
    return time.monotonic() - started


def wait_for_answer(container: Container, answer: str) -> None:
    """Wait until the container's health check, which waits 2 s for its service, says this."""
    wait_until(lambda: execute(container, "healthcheck").output.strip() == answer, f"the health check says: {answer}")


def wait_for_health(container: Container, health: str) -> None:
    """Wait until docker shows a state of health; a container that ends fails the check."""

    def met() -> bool:
        container.reload()
        assert container.status == "running", container.logs().decode(errors="replace")
        return str(container.health) == health

    wait_until(met, f"the container is {health}")


def slowdown(container: Container) -> float:
    """Return how many times longer a container's command took so far than it would alone on the budgets' machine.

    That is the time that it waited for a processor, and how slow the processor is at the moment.
    """
    ran, waited, *_ = map(int, inside(container, "sh", "-c", COUNTED).split())
    return (ran + waited) / ran * float(inside(container, "python", "-IS", "-c", FIXED_WORK)) / FIXED_WORK_SECONDS


def measure_usual(measure: Callable[[], float], budget: float) -> float:
    """Return the median of three measurements in seconds; where two are on one side of the budget, their mean.

    The third one would leave the median on that side.
    """
    first, second = measure(), measure()
    if (first < budget) == (second < budget):
        return mean((first, second))
    return median((first, second, measure()))


def healthy_seconds(contract: Image) -> float:
    """Return the budget of a start; a workload's begins with the user's Python environment."""
    return 1.5 if contract.workload else 0.7


def seconds_to_health(container: Container) -> float:
    """Return the seconds from a container's start to its first healthy answer, as alone on the budgets' machine.

    The start is that of its first process: what the engine needs before that, and to run a program for the health
    check, is not the image's; no more is left out than the check took. The rest is divided by the slowdown of the
    container's command, so on a busy machine a wait that is the image's own counts less.
    """
    wait_for_health(container, "healthy")
    state = container.attrs["State"]
    check = next(check for check in state["Health"]["Log"] if check["ExitCode"] == 0)
    started, asked, healthy = map(datetime.fromisoformat, (state["StartedAt"], check["Start"], check["End"]))
    engines = min(seconds_of_nothing(container), (healthy - asked).total_seconds())
    return ((healthy - started).total_seconds() - engines) / slowdown(container)


def seconds_of_nothing(container: Container) -> float:
    """Return the seconds that the engine needs for a program in a container that does nothing."""
    started = time.monotonic()
    inside(container, "true")
    return time.monotonic() - started


def seconds_to_stop(container: Container) -> float:
    """End a container by SIGTERM and return the seconds until it has ended, as alone on the budgets' machine.

    That is the end of its first process: what the engine does after it is not the image's.
    """
    times = slowdown(container)
    asked = datetime.now(UTC)
    container.kill("SIGTERM")
    wait_until(lambda: has_ended(container), "the container ends by SIGTERM")
    return (datetime.fromisoformat(container.attrs["State"]["FinishedAt"]) - asked).total_seconds() / times


def has_ended(container: Container) -> bool:
    """Tell whether a container has exited."""
    container.reload()
    return str(container.status) == "exited"


def host_port(container: Container, port: int) -> int:
    """Return the port of this host that a container's port is published on."""
    container.reload()
    return int(container.ports[f"{port}/tcp"][0]["HostPort"])


def request(port: int, method: str, path: str, body: str = "", **headers: str) -> http.client.HTTPResponse:
    """Send a request to a published port, without this host's proxy and without following redirections."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=max(60, timeouts.seconds()))
    connection.request(method, path, body, headers)
    return connection.getresponse()
