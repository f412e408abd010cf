"""A real buildkitd on loopback, by TCP with certificates on both sides, and a builder of buildx that uses it."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from slipway import tools
from tests.helpers import reasons, torch_index
from tests.helpers.programs import free_port


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, and the certificates of a server and of a client that it signed."""
    if not shutil.which("openssl"):
        pytest.skip(reasons.NO_OPENSSL)
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "names").write_text(f"subjectAltName=IP:127.0.0.1,DNS:{torch_index.HOST}\n")
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    commands = [[*new, "-x509", "-subj=/CN=ca", "-keyout=ca.key", "-out=ca.pem"]]
    for name in ("server", "client"):
        commands.append([*new, f"-subj=/CN={name}", f"-keyout={name}.key", f"-out={name}.csr"])
        sign = ["openssl", "x509", "-req", f"-in={name}.csr", "-CA=ca.pem", "-CAkey=ca.key", "-CAcreateserial"]
        commands.append([*sign, "-extfile=names", f"-out={name}.pem"])
    for command in commands:
        # openssl wants an option and its value as two words.
        words = [word for part in command for word in (part.split("=", 1) if part.startswith("-") else [part])]
        subprocess.run(words, cwd=folder, capture_output=True, check=True)
    return folder


@contextmanager
def running_buildkitd(folder: Path, certificates: Path) -> Iterator[str]:
    """Run a buildkitd whose cache is a folder; yield its address."""
    if os.geteuid() != 0 or not shutil.which("runc"):
        pytest.skip(reasons.NO_RUNC)
    program = tools.provide_program(tools.read_tool("buildkitd"))
    address = f"tcp://127.0.0.1:{free_port()}"
    tls = [f"--tlscacert={certificates}/ca.pem", f"--tlscert={certificates}/server.pem"]
    options = [f"--root={folder}", f"--addr={address}", *tls, f"--tlskey={certificates}/server.key"]
    command = [str(program), *options, "--oci-worker-net=host", "--containerd-worker=false"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 60
        while "running server" not in (folder / "log").read_text():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait()


def create_builder(name: str, certificates: Path, address: str) -> None:
    """Give buildx a builder at an address, in the configuration that the environment names."""
    files = f"cacert={certificates}/ca.pem,cert={certificates}/client.pem,key={certificates}/client.key"
    command = ["docker", "buildx", "create", f"--name={name}", "--driver=remote", f"--driver-opt={files}", address]
    subprocess.run(command, capture_output=True, check=True)
