"""A command in a running container: nothing that it prints is lost, and its exit code is waited for."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import docker
import pytest
from docker.models.containers import Container

from tests.images.helpers.containers import HEAD, STDERR, STDOUT, Finished, execute, inside


class Engine(HTTPServer):
    """An engine that sends the head of its answer and all output in one packet, and learns the exit code later."""

    code = 0
    asked = 0


class Answers(BaseHTTPRequestHandler):
    """Its answers."""

    server: Engine

    def do_POST(self) -> None:
        """Prepare or start a command."""
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/containers/one/exec"):
            self.reply({"Id": "command"})
        else:
            pieces = [(STDOUT, b"a line\n"), (STDERR, b"a warning\n"), (STDOUT, b"another")]
            output = b"".join(HEAD.pack(stream, len(piece)) + piece for stream, piece in pieces)
            self.wfile.write(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"
                + output
            )

    def do_GET(self) -> None:
        """Tell the state of the command: it still runs when it is first asked for."""
        self.server.asked += 1
        running = self.server.asked == 1
        self.reply({"Running": running, "ExitCode": None if running else self.server.code})

    def reply(self, content: dict[str, object]) -> None:
        """Answer with a value in JSON."""
        body = json.dumps(content).encode()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def engine() -> Iterator[Engine]:
    """The engine, on a port of this host."""
    with Engine(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def container(engine: Engine) -> Iterator[Container]:
    """A running container of the engine."""
    client = docker.DockerClient(f"tcp://127.0.0.1:{engine.server_port}", version="1.44")
    yield Container({"Id": "one"}, client)
    client.close()


def test_all_output_is_read(container: Container) -> None:
    """Both streams in their order."""
    assert execute(container, "command") == Finished(0, "a line\na warning\nanother")


def test_standard_output_is_read_alone(container: Container) -> None:
    assert inside(container, "command") == "a line\nanother"


def test_failure_has_its_code_and_output(container: Container, engine: Engine) -> None:
    """Its exit code is not known when the output ends."""
    engine.code = 3
    with pytest.raises(AssertionError, match="exit code 3: a line\nanothera warning"):
        inside(container, "command")
