"""A web server that demands a login, with what builds fetch: a Debian mirror, a Python index, an npm registry."""

import base64
import functools
import hashlib
import http.server
import io
import json
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote

from tests.helpers.wheels import compute_digest, write_wheel

USER, PASSWORD, TOKEN = "us:er", "s3cr3t@pass/word", "npm-t0ken-s3cr3t"
LOGIN = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}"
# All the ways to write the secrets down.
SECRETS = (PASSWORD, quote(PASSWORD, safe=""), TOKEN, base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder to who sends the login, or the token."""

    def do_GET(self) -> None:
        """Answer 401 without the login."""
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") in (f"Basic {basic}", f"Bearer {TOKEN}"):
            super().do_GET()
            return
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="tests"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def serve(folder: Path, address: str) -> Iterator[str]:
    """Serve a folder on an address of this host; yields HOST:PORT."""
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer((address, 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"{address}:{server.server_port}"
        finally:
            server.shutdown()


def write_debian_mirror(folder: Path, keys: Path) -> bytes:
    """Write an archive with the package `hello-mirror`, signed by a key of its own; return the key."""
    gpg = ["gpg", "--batch", f"--homedir={keys}", "--quiet"]
    keys.mkdir(mode=0o700)
    command = [*gpg, "--passphrase=", "--quick-generate-key", "mirror@mirror.example", "ed25519", "sign", "never"]
    subprocess.run(command, check=True)
    package = folder / "pool" / "hello-mirror_1_all.deb"
    control = folder / "package" / "DEBIAN" / "control"
    for path in (package, control):
        path.parent.mkdir(parents=True)
    fields = "Package: hello-mirror\nVersion: 1\nArchitecture: all\nMaintainer: tests\nDescription: a test\n"
    control.write_text(fields)
    subprocess.run(["dpkg-deb", "--build", control.parent.parent, package], check=True, capture_output=True)
    content = package.read_bytes()
    index = f"{fields}Filename: pool/{package.name}\nSize: {len(content)}\n"
    index += f"SHA256: {hashlib.sha256(content).hexdigest()}\n"
    for suite in ("trixie", "trixie-updates", "trixie-security"):
        binary = folder / "dists" / suite / "main" / "binary-amd64"
        binary.mkdir(parents=True)
        (binary / "Packages").write_text(index)
        digest = hashlib.sha256(index.encode()).hexdigest()
        release = f"Suite: {suite}\nCodename: {suite}\nDate: {formatdate(usegmt=True)}\nArchitectures: amd64\n"
        release += f"Components: main\nSHA256:\n {digest} {len(index)} main/binary-amd64/Packages\n"
        signed = folder / "dists" / suite / "InRelease"
        subprocess.run([*gpg, "--clearsign", f"--output={signed}"], input=release.encode(), check=True)
    return subprocess.run([*gpg, "--export"], check=True, capture_output=True).stdout


def write_python_index(folder: Path) -> str:
    """Write an index with one wheel, `hello-index`; return the line of a lock for it."""
    wheel = write_wheel(folder / "hello-index", "hello-index", "1")
    digest = compute_digest(wheel)
    (wheel.parent / "index.html").write_text(f'<a href="{wheel.name}#sha256={digest}">{wheel.name}</a>')
    return f"hello-index==1 --hash=sha256:{digest}\n"


def write_npm_registry(folder: Path, address: str) -> None:
    """Write a registry with the package `@team/hello`."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        manifest = json.dumps({"name": "@team/hello", "version": "1.0.0"}).encode()
        member = tarfile.TarInfo("package/package.json")
        member.size = len(manifest)
        archive.addfile(member, io.BytesIO(manifest))
    (folder / "hello.tgz").parent.mkdir(parents=True, exist_ok=True)
    (folder / "hello.tgz").write_bytes(content.getvalue())
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(content.getvalue()).digest()).decode()
    dist = {"tarball": f"http://{address}/npm/hello.tgz", "integrity": integrity}
    version = {"name": "@team/hello", "version": "1.0.0", "dist": dist}
    packument = {"name": "@team/hello", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
    # npm asks for /@team%2fhello, which the server looks up as a folder's file.
    (folder / "@team").mkdir()
    (folder / "@team" / "hello").write_text(json.dumps(packument))
