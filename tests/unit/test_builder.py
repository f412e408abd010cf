"""What a builder other than the engine's own is given; tests/integration/test_builders.py builds by a real one."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from slipway import docker, repository
from slipway.build import builder
from slipway.errors import SlipwayError
from slipway.matrix import load_matrix
from tests.helpers.archives import tar

MATRIX = load_matrix()
INSPECTED = "Name: {name}\nDriver: {driver}\n\nNodes:\nName: {name}0\nEndpoint: tcp://h:1\nStatus: {status}\n"


@pytest.fixture
def answers(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What `docker buildx inspect` prints, by the builder's name, on an engine that has every image."""
    found: dict[str, str] = {}
    archive = root / "saved"
    index = json.dumps({"manifests": [{"digest": "sha256:1"}]}).encode()
    archive.write_bytes(tar(("index.json", index), ("blobs", b"")))

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        name = words[2] if words[2:] else "default"
        text = found.get(name, "")
        return subprocess.CompletedProcess(words, not text, text, "" if text else f'ERROR: no builder "{name}" found')

    @contextlib.contextmanager
    def save(_: str) -> Iterator[BinaryIO]:
        with archive.open("rb") as stream:
            yield stream

    monkeypatch.setattr(docker, "call", call)
    monkeypatch.setattr(docker, "save", save)
    monkeypatch.setattr(docker, "own_builder", lambda: "default")
    monkeypatch.setattr(docker, "require_image", lambda _: {"Id": "sha256:0"})
    return found


def inspect(name: str, driver: str, status: str = "running") -> str:
    """Return what docker prints of a builder."""
    return INSPECTED.format(name=name, driver=driver, status=status)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (
            "/home/u/.docker/buildx/current",
            r'current: permission denied: sudo has made .*`sudo chown -R "\$USER" /home/u/',
        ),
        ("/run/certificates/ca.pem", r"ca.pem: permission denied: `docker buildx ls`"),
    ],
)
def test_files_of_sudo_in_the_home_are_told_from_others(
    monkeypatch: pytest.MonkeyPatch, file: str, message: str
) -> None:
    """`sudo docker buildx` has made them, and buildx then writes nowhere else."""
    failed = subprocess.CompletedProcess("docker", 1, "", f"ERROR: open {file}: permission denied")
    monkeypatch.setattr(docker, "call", lambda *_: failed)
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    monkeypatch.setenv("HOME", "/home/u")
    with pytest.raises(SlipwayError, match=message):
        builder.is_engines_own(None)


@pytest.mark.parametrize(
    ("driver", "status"), [("remote", "running"), ("docker-container", "inactive"), ("kubernetes", "running")]
)
def test_another_builder_gets_what_is_below(answers: dict[str, str], driver: str, status: str) -> None:
    """And the engine's own builder nothing. buildx starts one in a container itself.

    The folders are below the results, which are on a disk, and go.
    """
    answers |= {"other": inspect("other", driver, status), "default": inspect("default", "docker")}
    image = MATRIX.find_image("cpu-base-tools")
    image.results.mkdir(parents=True)
    with builder.share_parents(image, None) as options:
        assert options == []
    with builder.share_parents(image, "other") as options:
        names, places = zip(*(option.split("=oci-layout://") for option in options), strict=True)
        tags = (image.variant.distro.tag, f"{MATRIX.repository}:cpu-base")
        assert names == tuple(f"--build-context={tag}" for tag in tags)
        folders = [repository.ROOT / place.removesuffix("@sha256:1") for place in places]
        assert all((folder / "blobs").exists() for folder in folders)
    assert list(image.results.iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("", 'no builder "other" found: `docker buildx ls` lists the builders'),
        (inspect("other", "docker"), "the builder other is another Docker engine: set DOCKER_CONTEXT=other instead"),
        ("Name:   other\nDriver: \nError:  no daemon\n", "other at a Docker context does not answer: no daemon"),
        (inspect("other", "remote", "inactive"), "the builder other at tcp://h:1 does not answer: is it running"),
    ],
)
def test_a_builder_that_does_not_serve(answers: dict[str, str], answer: str, message: str) -> None:
    answers["other"] = answer
    image = MATRIX.find_image("cpu-base")
    with pytest.raises(SlipwayError, match=message), builder.share_parents(image, "other"):
        pass
