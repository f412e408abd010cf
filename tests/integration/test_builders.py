"""A builder that is not the engine's own: a real buildkitd on loopback, by TCP with certificates on both sides."""

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway import matrix, tools
from tests.helpers import reasons
from tests.helpers.checkout import Checkout, copy_repository
from tests.integration.registries import free_port

BASE = "slipway:cpu-base"
VARIANT = 'ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS base\nUSER 0:0\nRUN touch /variant\nLABEL slipway.flavor="base"\n'
WORKLOAD = """\
ARG BASE
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS files
USER 0:0
RUN touch /files
FROM ${BASE} AS tools
COPY --from=files /files /workload
"""


def docker(*words: str) -> str:
    """Run docker and return what it printed."""
    return subprocess.check_output(["docker", *words], text=True, stderr=subprocess.STDOUT).strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A copy of the repository, in a folder with a name that buildx might misread, whose images are built in a second.

    Its base image is cpu-base, which has a Python.
    """
    made = Checkout(tmp_path / "a b@c", f"slipway-test-{uuid.uuid4().hex[:8]}")
    copy_repository(made.folder)
    rows = matrix.load_matrix()
    base = '[distro.trixie]\nimage = "{}"'
    made.edit("images.toml", f'repository = "{rows.repository}"', f'repository = "{made.repository}"')
    made.edit("images.toml", base.format(rows.default_distro.image), base.format(BASE))
    made.edit("images.toml", f"free_disk_gb = {rows.free_disk_gb}", "free_disk_gb = 1")
    (made.folder / "Dockerfile.cpu").write_text(VARIANT)
    (made.folder / "Dockerfile").write_text(WORKLOAD)
    yield made
    tags = [f"{made.repository}:{name}" for name in ("cpu-base", "cpu-base-tools")]
    subprocess.run(["docker", "image", "rm", "--force", *tags], capture_output=True, check=False)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, and the certificates of a server and of a client that it signed."""
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
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


@pytest.fixture(scope="module")
def buildkitd(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A buildkitd of this test alone; yields its address."""
    if os.geteuid() != 0 or not shutil.which("runc"):
        pytest.skip(reasons.NO_RUNC)
    program = tools.provide_program(tools.read_tool("buildkitd"))
    folder, address = tmp_path_factory.mktemp("buildkitd"), f"tcp://127.0.0.1:{free_port()}"
    tls = [f"--tlscacert={certificates}/ca.pem", f"--tlscert={certificates}/server.pem"]
    options = [f"--root={folder}", f"--addr={address}", *tls, f"--tlskey={certificates}/server.key"]
    command = [str(program), *options, "--oci-worker-net=host", "--containerd-worker=false"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 30
        while "running server" not in (folder / "log").read_text():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def builder(certificates: Path, buildkitd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the builder in a configuration of buildx that is this test's own."""
    monkeypatch.setenv("BUILDX_CONFIG", str(tmp_path / "buildx"))
    monkeypatch.delenv("BUILDX_BUILDER", raising=False)
    files = f"cacert={certificates}/ca.pem,cert={certificates}/client.pem,key={certificates}/client.key"
    docker("buildx", "create", "--name=elsewhere", "--driver=remote", f"--driver-opt={files}", buildkitd)
    return "elsewhere"


def layers(tag: str) -> list[str]:
    """Return an image's diff IDs."""
    return docker("image", "inspect", '--format={{join .RootFS.Layers " "}}', tag).split()


def test_another_builder_builds_a_workload_and_its_parents(checkout: Checkout, builder: str) -> None:
    """As the default builder: it gets the base image and the variant, which only the engine has."""
    docker("buildx", "use", builder)
    result = checkout.nox("-s", "build", "--", "cpu-base-tools")
    assert result.returncode == 0, result.stdout
    assert result.stdout.count(f'building with "{builder}" instance using remote driver') == 2
    base, variant, workload = (
        layers(tag) for tag in (BASE, *(f"{checkout.repository}:cpu-base{end}" for end in ("", "-tools")))
    )
    assert variant[: len(base)] == base
    assert workload[: len(variant)] == variant
    assert (len(variant) - len(base), len(workload) - len(variant)) == (1, 1)
    assert not list(checkout.folder.glob("dist/*/parents-*"))


def test_another_builder_by_name(checkout: Checkout, builder: str) -> None:
    """The engine's own stays the default."""
    result = checkout.nox("-s", "build", "--", "cpu-base", f"--builder={builder}")
    assert result.returncode == 0, result.stdout
    assert f'building with "{builder}" instance using remote driver' in result.stdout
    result = checkout.nox("-s", "build", "--", "cpu-base")
    assert result.returncode == 0, result.stdout
    assert 'building with "default" instance using docker driver' in result.stdout


@pytest.mark.usefixtures("builder")
def test_a_builder_that_does_not_serve(checkout: Checkout, certificates: Path, buildkitd: str) -> None:
    """One line, before anything is built: without a certificate of this client, and under an unknown name."""
    options = f"--driver-opt=cacert={certificates}/ca.pem"
    docker("buildx", "create", "--name=stranger", "--driver=remote", options, buildkitd)
    result = checkout.nox("-s", "build", "--", "cpu-base", "--builder=stranger")
    assert f"the builder stranger at {buildkitd} does not answer" in result.stdout
    result = checkout.nox("-s", "build", "--", "cpu-base", "--builder=unheard")
    assert 'no builder "unheard" found: `docker buildx ls` lists the builders' in result.stdout
    assert "docker buildx build" not in result.stdout
    assert "Traceback" not in result.stdout
