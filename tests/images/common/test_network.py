"""Certificates for HTTPS, and Debian's pending updates."""

import json

import pytest

from slipway.scan.pending_updates import STRANGE
from tests.images.helpers.containers import Python
from tests.images.helpers.scope import applies

pytestmark = applies()

# A server with a self-signed certificate, and a client with Python's defaults. Prints the client's answers: with the
# image's own certificates, then with the server's in SSL_CERT_FILE.
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
# Prints how many authorities Python's defaults trust, how many in the bundle are not of Debian's package, and how many
# of the package are not in the bundle.
AUTHORITIES = """
import json, pathlib, re, ssl
def certificates(*files):
    bodies = re.findall("BEGIN CERT[^\\n]*(.*?)-----END", "".join(file.read_text() for file in files), re.S)
    return {"".join(body.split()) for body in bodies}
packaged = certificates(*pathlib.Path("/usr/share/ca-certificates/mozilla").glob("*.crt"))
bundle = certificates(pathlib.Path("/etc/ssl/certs/ca-certificates.crt"))
print(json.dumps([len(ssl.create_default_context().get_ca_certs()), len(bundle - packaged), len(packaged - bundle)]))
"""
FEWEST_AUTHORITIES = 100  # Debian has about 150


# --- certificates --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authorities(python: Python) -> tuple[int, int, int]:
    """The number of authorities that Python trusts, of those that are not Debian's, of Debian's that are missing."""
    trusted, foreign, missing = json.loads(python(AUTHORITIES))
    return trusted, foreign, missing


def test_python_trusts_the_public_authorities(authorities: tuple[int, int, int]) -> None:
    """HTTPS works in every image: Python's default context has Debian's certificate authorities, each of them."""
    assert authorities[0] >= FEWEST_AUTHORITIES
    assert authorities[2] == 0


def test_certificates_are_checked(python: Python) -> None:
    """A self-signed server is refused, and accepted once SSL_CERT_FILE has its certificate."""
    unknown, named = json.loads(python(TLS))
    assert "self-signed certificate" in unknown
    assert named == "hello"


def test_authorities_are_debians_alone(authorities: tuple[int, int, int]) -> None:
    """The CA of the build host, for instance of a proxy, must not be trusted by users."""
    assert authorities[1] == 0


# --- pending updates -----------------------------------------------------------------------------


@pytest.mark.requirement("A10")
def test_no_update_is_pending(updates: list[str]) -> None:
    """Debian's fixes, security fixes first of all, are in the image."""
    pending = [line for line in updates if not line.endswith(STRANGE)]
    advice = "set apt_date in images.toml to today and build again (nox -s build)"
    assert pending == [], f"Debian has newer packages: {', '.join(pending)}; {advice}"


@pytest.mark.exact
@pytest.mark.requirement("A10")
def test_each_version_is_debians(updates: list[str]) -> None:
    """A version that Debian does not have, newer than the fixed one perhaps, would hide what is to be fixed."""
    assert [line for line in updates if line.endswith(STRANGE)] == []
