"""A running desktop, and requests to its page."""

import http.client
from dataclasses import dataclass
from urllib.parse import urlencode

from docker.models.containers import Container

from tests.images.helpers.containers import Start, execute, host_port, request, wait_for_health, wait_until

PORT = 6080
PASSWORD = "sesame open 1"  # noqa: S105 - of containers that live for a check
WITH_PASSWORD = {"PASSWORD": PASSWORD}
# Prints the numbers of the processes of a name.
PROCESSES = 'grep -lxs "$0" /proc/[0-9]*/comm | cut -d/ -f3'


@dataclass(frozen=True)
class Desktop:
    """A running desktop: its container, and its port on this host."""

    container: Container
    port: int

    def ask(self, path: str, **headers: str) -> http.client.HTTPResponse:
        """Return the answer of the page; its body is not read yet."""
        return request(self.port, "GET", path, **headers)

    def log_in(self, password: str = PASSWORD, below: str = "", **headers: str) -> http.client.HTTPResponse:
        """Return the answer to the form with the password, at an address below a path."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return request(self.port, "POST", f"{below}/login", urlencode({"password": password}), **form, **headers)

    def cookie(self) -> str:
        """Return the cookie that the password gives."""
        return str(self.log_in().headers["Set-Cookie"]).partition(";")[0]


def start_desktop(start: Start, **options: object) -> Desktop:
    """Start the desktop with its port published and wait until it is healthy."""
    container = start(**{"ports": {f"{PORT}/tcp": ("127.0.0.1", None)}, "environment": WITH_PASSWORD} | options)
    wait_for_health(container, "healthy")
    return Desktop(container, host_port(container, PORT))


def wait_for_program(container: Container, name: str) -> None:
    """Wait until a program of the desktop runs: the page is served before Xfce runs."""
    wait_until(lambda: execute(container, "sh", "-c", PROCESSES, name).output != "", f"{name} runs")
