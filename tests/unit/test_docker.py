"""The docker command is run in one place, and its failures are one message with what to do."""

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from slipway import docker
from slipway.errors import SlipwayError
from tests.helpers.programs import write_program


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of a docker command that a test writes; no other is on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "docker"


def save(image_id: str) -> None:
    with docker.save(image_id) as stream:
        assert stream.read() == b""


@pytest.mark.parametrize("use", [docker.call, docker.output, docker.inspect, docker.require_image, save])
@pytest.mark.usefixtures("command")
def test_a_machine_without_docker(use: Callable[[str], object]) -> None:
    with pytest.raises(SlipwayError, match="no docker command; `nox -s setup` installs it"):
        use("x")


def test_the_outcome_of_a_command(command: Path) -> None:
    """What it was given and what it printed, whatever its exit code."""
    write_program(command, 'read line; echo "$1 $line"; echo problem >&2; exit 3')
    outcome = docker.call("build", data=b"input\n")
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (3, "build input\n", "problem\n")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo the engine is gone >&2; exit 1", "the engine is gone"),
        ("exit 5", "exit code 5, no message"),
        ("kill -KILL $$", "it was killed"),
    ],
)
def test_a_failure_says_why_and_what_to_do(command: Path, script: str, reason: str) -> None:
    write_program(command, script)
    with pytest.raises(SlipwayError) as caught:
        docker.output("image", "ls")
    assert str(caught.value) == f"`docker image ls` failed: {reason}\n{docker.ADVICE}"
    with pytest.raises(SlipwayError, match=f"failed: {reason}"):
        docker.inspect("x:y")
    with pytest.raises(SlipwayError, match=f"`docker save sha256:1` failed: {reason}"):
        save("sha256:1")


@pytest.mark.parametrize("message", ["No such image: x:y", "invalid reference format"])
def test_an_image_that_is_not_there(command: Path, message: str) -> None:
    """It differs from an engine that gives no answer; no image has a name of another form."""
    write_program(command, f"echo 'Error response from daemon: {message}' >&2; exit 1")
    assert docker.inspect("x:y") is None
    with pytest.raises(SlipwayError, match=r"x:y is not an image of this engine; build it .* or pull it"):
        docker.require_image("x:y")
    write_program(command, """echo '[{"Id": "sha256:1"}]'""")
    assert docker.inspect("x") == docker.require_image("x") == {"Id": "sha256:1"}


def read_damaged() -> None:
    """Read an archive that turns out to be none."""
    with docker.save("sha256:1") as stream:
        assert stream.read(4) == b"more"
        raise SlipwayError("no archive")


def test_an_error_about_the_archive_stands(command: Path) -> None:
    """docker has not failed then; it is not waited for where it goes on writing."""
    write_program(command, "while :; do echo more; done")
    with pytest.raises(SlipwayError, match="no archive"):
        read_damaged()


def test_the_engine_of_a_context(command: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Syft and docker's SDK know no contexts: rootless engines, Colima and Docker Desktop are named by one."""
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    context = {
        "Endpoints": {"docker": {"Host": "unix:///home/u/x.sock"}},
        "TLSMaterial": {},
        "Storage": {"TLSPath": "/t"},
    }
    write_program(command, f"echo '{json.dumps([context])}'")
    assert docker.name_engine() == {"DOCKER_HOST": "unix:///home/u/x.sock"}
    write_program(command, f"echo '{json.dumps([context | {'TLSMaterial': {'docker': ['ca.pem']}}])}'")
    assert docker.name_engine()["DOCKER_CERT_PATH"] == "/t/docker"
    monkeypatch.setenv("DOCKER_HOST", "tcp://other.example")
    assert docker.name_engine() == {}


def test_packed_files_are_a_tar_archive() -> None:
    with tarfile.open(fileobj=io.BytesIO(docker.pack([("etc/a", b"1"), ("tmp/b", b"")]))) as archive:
        assert {member.name: archive.extractfile(member).read() for member in archive} == {"etc/a": b"1", "tmp/b": b""}  # type: ignore[union-attr]


def test_variables_that_would_replace_images_do_not_reach_docker(
    command: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hardened host sets the one, many an Apple machine the other. Those of a caller reach it."""
    for name in docker.IGNORED:
        monkeypatch.setenv(name, "1")
    write_program(command, 'echo "$DOCKER_CONTENT_TRUST$DOCKER_DEFAULT_PLATFORM,$http_proxy"')
    assert docker.call("run", variables={"http_proxy": "http://proxy.example"}).stdout == ",http://proxy.example\n"
    with docker.save("sha256:1") as stream:
        assert stream.read() == b",\n"
    assert {*docker.IGNORED} <= {*os.environ}
