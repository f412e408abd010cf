"""PyTorch's own index on this machine: a proxy that answers as download.pytorch.org and passes all else on."""

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

from tests.helpers.wheels import compute_digest, write_wheel

HOST = "download.pytorch.org"


@dataclass(frozen=True)
class TorchIndex:
    """The folder that is served, the proxy's address, and the hosts that the proxy did not reach."""

    folder: Path
    proxy: str
    unreached: list[str]

    def add_wheel(self, backend: str, name: str, version: str, code: str, requires: list[str]) -> Path:
        """Write a wheel and its page, as that index has them for a backend such as rocm6.4."""
        wheel = write_wheel(self.folder / "whl" / backend, name, version, code, requires)
        page = wheel.with_name(name) / "index.html"
        page.parent.mkdir()
        address = f"/whl/{backend}/{quote(wheel.name)}#sha256={compute_digest(wheel)}"
        page.write_text(f'<!DOCTYPE html><html><body><a href="{address}">{wheel.name}</a></body></html>')
        return wheel


class Files(SimpleHTTPRequestHandler):
    """Serves the folder."""

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class Proxy(BaseHTTPRequestHandler):
    """Answers CONNECT."""

    folder: Path
    tls: ssl.SSLContext
    unreached: list[str]

    def do_CONNECT(self) -> None:
        """Serve the folder in the name of the index; connect to any other host."""
        self.close_connection = True
        host, _, port = self.path.rpartition(":")
        if host == HOST:
            self.accept()
            with self.tls.wrap_socket(self.connection, server_side=True) as secure:
                Files(secure, self.client_address, self.server, directory=str(self.folder))
            return
        try:
            upstream = socket.create_connection((host.strip("[]"), int(port)), timeout=30)
        except OSError:
            self.unreached.append(host)
            self.send_error(502)
            return
        with upstream, suppress(ConnectionError):  # a client that has read enough
            self.accept()
            relay(self.connection, upstream)

    def accept(self) -> None:
        """Tell the client that it is connected."""
        self.send_response_only(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def relay(one: socket.socket, other: socket.socket) -> None:
    """Copy what each of two ends sends to the other, until one of them closes."""
    others = {one: other, other: one}
    while True:
        for sender in select.select([one, other], [], [])[0]:
            data = sender.recv(1 << 16)
            if not data:
                return
            others[sender].sendall(data)


@contextmanager
def serve_torch_index(folder: Path, certificates: Path, address: str) -> Iterator[TorchIndex]:
    """Serve a folder at an address of this machine, with the certificate of `certificates`."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    unreached: list[str] = []
    handler = type("Handler", (Proxy,), {"folder": folder, "tls": tls, "unreached": unreached})
    with ThreadingHTTPServer((address, 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield TorchIndex(folder, f"http://{address}:{server.server_port}", unreached)
        finally:
            server.shutdown()
