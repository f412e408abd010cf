"""Reading an image of the engine: the cache, failures of the engine, and the command."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from slipway import repository
from slipway.errors import SlipwayError
from slipway.image import saved_image
from slipway.image.saved_image import read_image
from tests.helpers.archives import LOWER, UPPER, digest, oci, saved, tar
from tests.helpers.programs import write_program

# --- The cache and the engine's failures, with a stand-in for docker ---


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide a `docker` that knows one image of two layers and notes each command in calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    blobs = oci(LOWER, UPPER, config={"Env": ["A=b"], "Labels": None})
    content = json.loads(next(iter(blobs.values())))
    inspected = {
        "Id": "sha256:1",
        "Architecture": "amd64",
        "Os": "linux",
        "Config": {"Env": ["A=b"], "Hostname": ""},
        "RootFS": {"Layers": content["rootfs"]["diff_ids"]},
    }
    history = [{"CreatedBy": item["created_by"], "Comment": ""} for item in content["history"]]
    lines = "\n".join(json.dumps(item) for item in reversed(history))
    (folder / "image").write_text(json.dumps([inspected]))
    (folder / "history").write_text(lines)
    (folder / "saved").write_bytes(saved(blobs))
    stand_in(folder, save="cat saved")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def stand_in(folder: Path, save: str) -> None:
    """Write the stand-in with what `docker save` does."""
    script = f'cd {folder}; echo "$1" >> calls; case "$1" in save) {save} ;; *) cat "$1" ;; esac'
    write_program(folder / "docker", script)


def calls(folder: Path) -> list[str]:
    """Return the commands since the last look."""
    lines = (folder / "calls").read_text().split()
    (folder / "calls").write_text("")
    return lines


def test_an_image_whose_layers_are_known_is_not_saved_again(docker: Path, tmp_path: Path) -> None:
    first = read_image("x", tmp_path / "cache")
    assert calls(docker) == ["image", "save"]
    assert read_image("x", tmp_path / "cache") == first
    assert calls(docker) == ["image", "history"]


def test_a_damaged_cache_file_is_read_again(docker: Path, tmp_path: Path) -> None:
    first = read_image("x", tmp_path)
    (tmp_path / f"{digest(LOWER)}.jsonl.gz").write_bytes(b"")
    calls(docker)
    assert read_image("x", tmp_path) == first
    assert "save" in calls(docker)
    assert read_image("x", tmp_path) == first
    assert "save" not in calls(docker)


def test_a_history_that_does_not_fit_the_layers_is_not_guessed_at(docker: Path, tmp_path: Path) -> None:
    first = read_image("x", tmp_path)
    (docker / "history").write_text('{"CreatedBy": "RUN all", "Comment": ""}\n')
    calls(docker)
    assert read_image("x", tmp_path) == first
    assert "save" in calls(docker)


@pytest.mark.usefixtures("docker")
def test_the_cache_folder_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    read_image("x")
    assert len(list((tmp_path / "xdg/slipway/layers").iterdir())) == 2


@pytest.mark.parametrize("before", ["", "head -c 5000 saved;", "cat saved;"])
def test_a_save_that_dies_is_reported_with_its_message(docker: Path, tmp_path: Path, before: str) -> None:
    stand_in(docker, save=f"{before} echo engine is gone >&2; exit 1")
    with pytest.raises(SlipwayError, match=r"`docker save sha256:\w+` failed: engine is gone"):
        read_image("x", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_ctrl_c_leaves_no_process_and_no_cache_file(docker: Path, tmp_path: Path) -> None:
    # More than the largest pipe holds, a megabyte: when all of it is written, somebody reads.
    (docker / "saved").write_bytes(saved(oci(tar(("large", bytes(3_000_000))))))
    stand_in(docker, save="head -c 2500000 saved; echo $$ > pid; exec sleep 300")
    command = [sys.executable, "-c", "from slipway.image.saved_image import read_image; read_image('x')"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    reader = subprocess.Popen(command, cwd=repository.ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: (docker / "pid").exists() and (docker / "pid").read_text() != "")
    reader.send_signal(signal.SIGINT)
    _, stderr = reader.communicate(timeout=50)  # less than the sleep
    assert stderr.endswith("KeyboardInterrupt\n")
    assert not Path("/proc", (docker / "pid").read_text().strip()).exists()
    assert not (tmp_path / "cache").exists()


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 50
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("created_by", "expected"),
    [
        ("ENV A=b", True),
        ('LABEL x="RUN"', True),
        ('/bin/sh -c #(nop)  CMD ["sh"]', True),
        ("WORKDIR /", True),
        ("WORKDIR /data", False),
        ("RUN /bin/sh -c true # buildkit", False),
        ("COPY a b # buildkit", False),
        ("/bin/sh -c #(nop) ADD file:1 in /", False),
        ("Imported from -", False),
        ("", False),
    ],
)
def test_instructions_without_a_layer_are_known(created_by: str, *, expected: bool) -> None:
    assert saved_image.is_metadata(created_by) is expected
