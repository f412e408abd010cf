"""A pytest plugin with the service of an image: how it is started, and its answers."""

import http.client
import json
from dataclasses import dataclass
from typing import Any

import pytest
from docker.models.containers import Container

from slipway.matrix import Image
from tests.images.helpers.containers import RIGHTS, WITHOUT_GPU, Start, host_port, inside, request, wait_until

# Waits for the service; the status is 503 where it is not ready.
READY = """
import time, urllib.error, urllib.request
for attempt in range(100):
    try:
        answer = urllib.request.urlopen("http://127.0.0.1:8000/ready")
    except urllib.error.HTTPError as error:
        answer = error
    except OSError:
        time.sleep(0.1)
        continue
    print(answer.status, answer.read().decode())
    break
"""


def serve_command(contract: Image) -> list[str]:
    """Return the command of the service: none, unless a workload has another default mode."""
    return [] if contract.mode == "serve" else ["serve"]


def ask_ready(container: Container) -> tuple[int, dict[str, Any]]:
    """Return status and content of /ready, asked from inside the container."""
    status, _, body = inside(container, "python", "-c", READY).partition(" ")
    return int(status), json.loads(body)


@dataclass(frozen=True)
class Service:
    """A running service: its container, and its port on this host."""

    container: Container
    port: int

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of an answer."""
        answer = request(self.port, "GET", path)
        return answer.status, answer.read().decode()


def serve(start: Start, *command: str, **options: object) -> Service:
    """Start the service with its port published and wait for its first answer."""
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
    return Service(container, port)


@pytest.fixture(scope="module", params=RIGHTS)
def service(start_shared: Start, request: pytest.FixtureRequest, contract: Image) -> Service:
    """The service, with the rights that docker gives and with the narrowest."""
    return serve(start_shared, *serve_command(contract), **request.param)
