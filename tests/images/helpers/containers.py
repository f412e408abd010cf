"""Containers of the image under test: types of the fixtures, rights, time limits and waits."""

import http.client
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from tests.images.helpers import timeouts

HEALTHY_SECONDS = 10  # generous: other checks may run at the same time, and `nox -s bench` measures the target
STOP_SECONDS = 1
SIGTERM_EXIT = 128 + 15
MILLISECOND = 10**6  # docker counts in nanoseconds
# Keeps GPUs out of the container where the engine's default runtime is NVIDIA's.
WITHOUT_GPU = {"NVIDIA_VISIBLE_DEVICES": "void"}
# The image's own health check, in shorter intervals.
QUICK_HEALTH = {"interval": 100 * MILLISECOND, "timeout": 500 * MILLISECOND, "retries": 2}
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
    """A container that has ended: its exit code and its output."""

    exit_code: int
    output: str

    def __str__(self) -> str:
        """Show the output as it was printed."""
        return f"exit code {self.exit_code}:\n{self.output}"

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


def inside(container: Container, *command: str, **options: Any) -> str:
    """Return the standard output of a command in a running container; its failure fails the check."""
    code, streams = container.exec_run(list(command), demux=True, **options)
    output, errors = ((stream or b"").decode(errors="replace") for stream in streams)
    assert code == 0, output + errors
    return output.strip()


def wait_until(met: Callable[[], bool], what: str) -> float:
    """Wait for a condition and return the seconds; the check fails when it takes too long."""
    started = time.monotonic()
    while not met():
        assert time.monotonic() - started < timeouts.seconds(), f"not within {timeouts.seconds()} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - started


def wait_for_health(container: Container, health: str) -> None:
    """Wait until docker shows a state of health; a container that ends fails the check."""

    def met() -> bool:
        container.reload()
        assert container.status == "running", container.logs().decode(errors="replace")
        return str(container.health) == health

    wait_until(met, f"the container is {health}")


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
