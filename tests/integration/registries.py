"""A real registry on loopback, and a proxy in front of it that a test makes fail, delay or change answers.

The registry is Debian's docker-registry. It has no API for referrers; the proxy can add one.
"""

import hashlib
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

import pytest

from slipway.bench import registry_times


@contextmanager
def running_registry(folder: Path) -> Iterator[str]:
    """Run a registry, as bench does; yield its host."""
    if missing := registry_times.explain_missing():
        pytest.skip(missing)
    with registry_times.start_registry(folder) as host:
        yield host


# --- the proxy ---


@dataclass(frozen=True)
class Request:
    """A request to the registry."""

    method: str
    path: str
    digest: str  # of what was sent
    authorization: str = field(default="", repr=False)

    @property
    def writes(self) -> bool:
        """Whether it writes."""
        return self.method in ("POST", "PUT", "PATCH", "DELETE")


@dataclass
class Reply:
    """The registry's answer."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Fault:
    """A fault of a request.

    `status` is the answer without forwarding; `cut` breaks the connection, with `late` only after the registry has
    processed the request; `delay` is the seconds before forwarding; `change` changes the answer.
    """

    status: int = 0
    cut: bool = False
    late: bool = False
    delay: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    change: Callable[[Reply], Reply] | None = None


Rule = Callable[[Request], Fault | None]
HOP = ("connection", "transfer-encoding", "content-length", "date", "server")


class Proxy:
    """A proxy of a registry that records each request and applies faults to it."""

    def __init__(self, upstream: str, *, referrers: bool = False) -> None:
        self.upstream = upstream
        self.referrers = referrers
        self.rules: list[Rule] = []
        self.requests: list[Request] = []
        self.bodies: Callable[[Request, bytes], object] = lambda *_: None  # is shown what was sent
        self.subjects: dict[str, list[dict[str, object]]] = {}
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"proxy": self}))
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> Self:
        """Start it."""
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.server.shutdown()
        self.server.server_close()

    def fail(self, method: str, pattern: str, fault: Fault, times: int = 10**6) -> None:
        """Add a fault for the next requests with a method and a pattern in their path."""
        left = [times]

        def rule(request: Request) -> Fault | None:
            if request.method != method or not re.search(pattern, request.path) or not left[0]:
                return None
            left[0] -= 1
            return fault

        self.rules.append(rule)

    def written(self) -> list[Request]:
        """Return the requests that write."""
        return [request for request in self.requests if request.writes]

    def fault_of(self, request: Request) -> Fault:
        """Return the fault of a request."""
        self.requests.append(request)
        return next((fault for rule in self.rules if (fault := rule(request))), Fault())

    def ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        """Forward a request to the registry, or answer it by the added referrers API."""
        if self.referrers and (match := re.search(r"/referrers/(sha256:\w+)$", path)):
            rows = {"schemaVersion": 2, "manifests": self.subjects.get(match[1], [])}
            kind = "application/vnd.oci.image.index.v1+json"
            return Reply(200, {"Content-Type": kind}, json.dumps(rows).encode())
        connection = http.client.HTTPConnection(self.upstream, timeout=30)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            found = {key: value for key, value in response.getheaders() if key.lower() not in HOP}
            if method == "HEAD" and response.headers["Content-Length"]:
                found["Content-Length"] = response.headers["Content-Length"]
            reply = Reply(response.status, found, response.read())
        finally:
            connection.close()
        if self.referrers and method == "PUT" and "/manifests/" in path and reply.status == 201:
            self.note_subject(body, reply)
        return reply

    def note_subject(self, body: bytes, reply: Reply) -> None:
        """Record the referrers of a manifest for the added API."""
        said = json.loads(body)
        if "subject" not in said:
            return
        row = {
            "mediaType": said["mediaType"],
            "digest": f"sha256:{hashlib.sha256(body).hexdigest()}",
            "size": len(body),
        }
        more = {key: said[key] for key in ("artifactType", "annotations") if key in said}
        with self.lock:
            rows = self.subjects.setdefault(said["subject"]["digest"], [])
            rows += [row | more] if row | more not in rows else []
        reply.headers["OCI-Subject"] = said["subject"]["digest"]


class Handler(BaseHTTPRequestHandler):
    """Forwards one request."""

    proxy: Proxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer is written in two pieces

    def handle_one(self) -> None:
        """Forward a request and apply its fault."""
        body = self.body()
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        authorization = self.headers.get("Authorization", "")
        request = Request(self.command, self.path, digest, authorization)
        self.proxy.bodies(request, body)
        fault = self.proxy.fault_of(request)
        time.sleep(fault.delay)
        if fault.cut and not fault.late:
            self.cut()
            return
        names = {key for key in self.headers if key.lower() not in (*HOP, "authorization")}
        headers = {key: ", ".join(self.headers.get_all(key, [])) for key in names}
        headers["Host"] = self.headers["Host"]
        reply = Reply(fault.status, dict(fault.headers), fault.body)
        if not fault.status:
            reply = self.proxy.ask(self.command, self.path, body, headers)
        if fault.cut:
            self.cut()
            return
        self.answer(fault.change(reply) if fault.change else reply)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_one  # noqa: N815

    def body(self) -> bytes:
        """Read the body of a request, also a chunked one."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def answer(self, reply: Reply) -> None:
        """Send a reply."""
        self.send_response(reply.status)
        for key, value in reply.headers.items():
            self.send_header(key, value)
        if "Content-Length" not in reply.headers:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def cut(self) -> None:
        """Break the connection."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Log nothing."""
