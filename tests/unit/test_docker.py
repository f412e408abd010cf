"""The docker command is run in one place, and its failures are one message with what to do."""

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from slipway import docker, repository
from slipway.errors import SlipwayError


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of a docker command that a test writes; no other is on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "docker"


def write(command: Path, *lines: str) -> None:
    """Write the docker command."""
    command.write_text("\n".join(["#!/bin/sh", *lines]))
    command.chmod(0o755)


@pytest.mark.parametrize("use", [docker.call, docker.output, docker.inspect, docker.require_image])
@pytest.mark.usefixtures("command")
def test_a_machine_without_docker(use: object) -> None:
    assert callable(use)
    with pytest.raises(SlipwayError, match="no docker command; `nox -s setup` installs it"):
        use("x")


@pytest.mark.usefixtures("command")
def test_saving_without_docker() -> None:
    with pytest.raises(SlipwayError, match="no docker command"), docker.save("sha256:1"):
        pass


def test_the_outcome_of_a_command(command: Path) -> None:
    """What it was given and what it printed, whatever its exit code."""
    write(command, 'read line; echo "$1 $line"; echo problem >&2; exit 3')
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
    write(command, script)
    with pytest.raises(SlipwayError) as caught:
        docker.output("image", "ls")
    assert str(caught.value) == f"`docker image ls` failed: {reason}\n{docker.ADVICE}"
    with pytest.raises(SlipwayError, match=f"failed: {reason}"):
        docker.inspect("x:y")
    with (
        pytest.raises(SlipwayError, match=f"`docker save sha256:1` failed: {reason}"),
        docker.save("sha256:1") as stream,
    ):
        assert stream.read() == b""


@pytest.mark.parametrize("message", ["No such image: x:y", "invalid reference format"])
def test_an_image_that_is_not_there(command: Path, message: str) -> None:
    """It differs from an engine that gives no answer; no image has a name of another form."""
    write(command, f"echo 'Error response from daemon: {message}' >&2; exit 1")
    assert docker.inspect("x:y") is None
    with pytest.raises(SlipwayError, match=r"x:y is not an image of this engine; build it .* or pull it"):
        docker.require_image("x:y")


def test_an_image_that_is_there(command: Path) -> None:
    write(command, """echo '[{"Id": "sha256:1"}]'""")
    assert docker.inspect("x") == docker.require_image("x") == {"Id": "sha256:1"}


def read_damaged() -> None:
    """Read an archive that turns out to be none."""
    with docker.save("sha256:1") as stream:
        assert stream.read(4) == b"more"
        raise SlipwayError("no archive")


def test_an_error_about_the_archive_stands(command: Path) -> None:
    """docker has not failed then; it is not waited for where it goes on writing."""
    write(command, "while :; do echo more; done")
    with pytest.raises(SlipwayError, match="no archive"):
        read_damaged()


def test_packed_files_are_a_tar_archive() -> None:
    with tarfile.open(fileobj=io.BytesIO(docker.pack([("etc/a", b"1"), ("tmp/b", b"")]))) as archive:
        assert {member.name: archive.extractfile(member).read() for member in archive} == {"etc/a": b"1", "tmp/b": b""}  # type: ignore[union-attr]


def test_variables_that_would_replace_images_are_unset() -> None:
    """A hardened host sets the one, many an Apple machine the other."""
    names = ("DOCKER_CONTENT_TRUST", "DOCKER_DEFAULT_PLATFORM")
    script = f"import os, slipway.docker; print([name for name in {names} if name in os.environ])"
    environment = os.environ | dict.fromkeys(names, "1")
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, env=environment, cwd=repository.ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
