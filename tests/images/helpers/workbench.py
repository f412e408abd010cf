"""A workbench in one of its modes, and requests to it as a browser makes them."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import docker
from docker.models.containers import Container

from slipway.matrix import Image
from tests.images.helpers.containers import STRICT, Start, execute, host_port, request, wait_for_health

# As STRICT, with one volume as all that can be written.
ONE_VOLUME: dict[str, Any] = STRICT | {"mounts": [docker.types.Mount("/data", source=None)]}
PORTS = {"workbench": 8888, "lab": 8888, "start-notebook.sh": 8888, "code": 8080, "ssh": 2222}
SECRET = "correct-horse-battery-staple"  # noqa: S105 - of containers that live for a check
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUFzhLHLtAyrKo9iqDw1lVMfC8W+hsfRDu5l8TN6Ln8"
# Environment that lets the user of these checks in, by mode.
CREDENTIALS: dict[str, dict[str, str]] = {
    "workbench": {"JUPYTER_TOKEN": SECRET},
    "lab": {"JUPYTER_TOKEN": SECRET},
    "start-notebook.sh": {"JUPYTER_TOKEN": SECRET},
    "code": {"PASSWORD": SECRET},
    "ssh": {"AUTHORIZED_KEYS": PUBLIC_KEY},
}
TOKEN = {"Authorization": f"token {SECRET}"}


@dataclass(frozen=True)
class Reply:
    """A server's answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")


@dataclass(frozen=True)
class Workbench:
    """A running mode: its container, and its port on this host."""

    container: Container
    port: int

    def get(self, path: str, headers: dict[str, str] | None = None) -> Reply:
        """Get a page."""
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, **form: str) -> Reply:
        """Send a form."""
        return self.ask("POST", path, urlencode(form), {"Content-Type": "application/x-www-form-urlencoded"})

    def ask(self, method: str, path: str, body: str = "", headers: dict[str, str] | None = None) -> Reply:
        """Send a request."""
        answer = request(self.port, method, path, body, **(headers or {}))
        return Reply(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())

    @property
    def log(self) -> str:
        """The output of the container."""
        return str(self.container.logs().decode(errors="replace"))

    def inside(self, script: str, **options: Any) -> tuple[int, str]:
        """Run a shell script in its container and return exit code and output; a fault of the engine is neither."""
        finished = execute(self.container, "sh", "-c", script, **options)
        assert not finished.output.startswith("OCI runtime exec failed"), finished
        return finished.exit_code, finished.output


def open_workbench(start: Start, mode: str, *words: str, port: int = 0, **options: Any) -> Workbench:
    """Start a mode and wait until docker calls it healthy by the image's own check."""
    port = port or PORTS[mode]
    options = {"environment": CREDENTIALS.get(mode, {})} | options
    container = start(mode, *words, ports={f"{port}/tcp": ("127.0.0.1", None)}, **options)
    wait_for_health(container, "healthy")
    return Workbench(container, host_port(container, port))


def entrypoint_after(script: str) -> list[str]:
    """Return an entry point that runs a script before the image's own; the health check knows the mode meanwhile."""
    return ["tini", "--", "sh", "-c", f'({script}) >/dev/null 2>&1; exec "$@"', "sh", "entrypoint"]


def is_on(contract: Image, toggle: str) -> bool:
    """Tell whether the image is built with a toggle."""
    return contract.workload is not None and contract.workload.arguments.get(toggle) == "true"
