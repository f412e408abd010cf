"""Certificates for HTTPS, and Debian's pending security updates."""

import json
import os
from collections.abc import Callable

import pytest
from docker.models.containers import Container

from slipway import engine, host
from slipway.matrix import Image
from tests.images.conftest import Start

# A server with a certificate that nobody knows, and a client of Python's defaults. Prints what the
# client met: first with the image's own certificates, then with the server's named as SSL_CERT_FILE.
TLS = """
import json, os, socket, ssl, subprocess, tempfile, threading
os.chdir(tempfile.mkdtemp())
subject = ["-subj", "/CN=check", "-addext", "subjectAltName=IP:127.0.0.1"]
command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
subprocess.run([*command, *subject, "-keyout", "key", "-out", "cert"], check=True, stderr=subprocess.DEVNULL)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert", "key")
listener = socket.create_server(("127.0.0.1", 0))

def answer():
    while True:
        try:
            with context.wrap_socket(listener.accept()[0], server_side=True) as connection:
                connection.sendall(b"hello")
        except OSError:
            continue

def ask():
    try:
        with socket.create_connection(listener.getsockname(), timeout=5) as plain:
            with ssl.create_default_context().wrap_socket(plain, server_hostname="127.0.0.1") as connection:
                return connection.recv(5).decode()
    except ssl.SSLCertVerificationError as error:
        return error.verify_message

threading.Thread(target=answer, daemon=True).start()
unknown = ask()
os.environ["SSL_CERT_FILE"] = "cert"
print(json.dumps([unknown, ask()]))
"""
AUTHORITIES = "import ssl; print(len(ssl.create_default_context().get_ca_certs()))"
FOREIGN_AUTHORITIES = """
import pathlib, re
def certificates(*files):
    bodies = re.findall("BEGIN CERT[^\\n]*(.*?)-----END", "".join(file.read_text() for file in files), re.S)
    return {"".join(body.split()) for body in bodies}
packaged = certificates(*pathlib.Path("/usr/share/ca-certificates/mozilla").glob("*.crt"))
print(len(certificates(pathlib.Path("/etc/ssl/certs/ca-certificates.crt")) - packaged))
"""
FEWEST_AUTHORITIES = 100  # Debian has about 150

UPDATE = "apt-get -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=20 update --error-on=any"


# --- certificates --------------------------------------------------------------------------------


def test_python_trusts_the_public_authorities(python: Callable[[str], str]) -> None:
    """HTTPS works in every image: Python's default context holds Debian's certificate authorities."""
    assert int(python(AUTHORITIES)) >= FEWEST_AUTHORITIES


def test_certificates_are_checked(python: Callable[[str], str]) -> None:
    """A server that no authority vouches for is refused, and accepted once its own certificate is named."""
    unknown, named = json.loads(python(TLS))
    assert "self-signed certificate" in unknown
    assert named == "hello"


def test_authorities_are_debians_alone(python: Callable[[str], str]) -> None:
    """The CA of the host that built the image, a proxy's for instance, must not be trusted by its users."""
    assert python(FOREIGN_AUTHORITIES) == "0"


# --- pending updates -----------------------------------------------------------------------------


@pytest.fixture
def connected(start: Start, contract: Image) -> Container:
    """A container with network in which apt has the settings of this host and fresh package lists."""
    settings = host.find(contract.family.base.suite)
    environment = {name: os.environ[name] for name in settings.proxies}
    container = start("infinity", entrypoint=["sleep"], user="0", environment=environment)
    container.put_archive("/", engine.configuration(settings))
    code, output = container.exec_run(UPDATE)
    if code:
        pytest.skip(f"Debian's package lists are out of reach: {' '.join(output.decode().split())[-200:]}")
    return container


@pytest.mark.requirement("A10")
def test_no_update_is_pending(connected: Container) -> None:
    """Debian's fixes, security fixes first of all, are in the image."""
    code, output = connected.exec_run("apt-get -s -q -q upgrade")
    pending = [line.split()[1] for line in output.decode().splitlines() if line.startswith("Inst ")]
    assert code == 0, output.decode()
    advice = "set apt_date in images.toml to today and build again (nox -s build-...)"
    assert pending == [], f"Debian has newer packages: {', '.join(pending)}; {advice}"
