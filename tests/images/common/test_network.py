"""Certificates for HTTPS, and Debian's pending security updates."""

import json
from collections.abc import Callable

import pytest

from tests.images.helpers.pending_updates import Upgrade
from tests.images.helpers.scope import applies

pytestmark = applies()

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


@pytest.mark.requirement("A10")
def test_no_update_is_pending(upgrade: Upgrade) -> None:
    """Debian's fixes, security fixes first of all, are in the image."""
    if upgrade.unreached:
        pytest.skip(f"Debian's package lists are out of reach: {upgrade.unreached}")
    assert upgrade.exit_code == 0, upgrade.output
    advice = "set apt_date in images.toml to today and build again (nox -s build)"
    assert upgrade.pending == [], f"Debian has newer packages: {', '.join(upgrade.pending)}; {advice}"
