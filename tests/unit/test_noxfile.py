"""The noxfile: exit codes of its sessions in real nox, its list of sessions, its dependencies."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nox.project
import pytest

from slipway import repository
from slipway.matrix import load_matrix

NOXFILE = f"""
import sys
import threading
import nox
sys.path.insert(0, {str(repository.ROOT)!r})
from slipway import repository, sessions
from slipway.errors import SlipwayError

MATRIX = sessions.load_matrix()

@nox.session(venv_backend="none")
def beside(session):
    met = threading.Barrier(2, timeout=20)
    def work(image, options):
        met.wait()
        program = "echo $0 1; sleep 0.2; echo $0 2"
        output = session.run("sh", "-c", program, image.name, silent=options.is_beside, external=True)
        sessions.show_output(output)
        if image.name == "cuda-base":
            raise SlipwayError("broken")
    sessions.run_for_each(session, sessions.read_images(session, MATRIX), work, at_a_time=2)

@nox.session(venv_backend="none")
def broken(session):
    session.error("broken")

@nox.session(venv_backend="none")
def scan(session):
    def work(image, options):
        print("scanning", image.name)
        if image.name == "cuda-base":
            raise sessions.NotScannedError("not scanned")
        if image.name == "rocm-base":
            raise SlipwayError("vulnerable")
    sessions.run_for_each(session, sessions.read_images(session, MATRIX), work)
"""


def run_nox(noxfile: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run nox and return its exit code and all that it printed."""
    command = [sys.executable, "-m", "nox", f"--noxfile={noxfile}", *words]
    return subprocess.run(
        command,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("scan -- cpu-base", 0, "scanning cpu-base"),
        ("scan -- cpu-base cuda-base cuda-runtime", 3, "not scanned: cuda-base"),
        ("scan -- cuda-base rocm-base", 1, "aborted: cuda-base: not scanned; rocm-base: vulnerable"),
        ("broken scan -- cuda-base", 1, "aborted: cuda-base: not scanned"),
        ("scan -- --no-cash", 1, "aborted: there is no option --no-cash; did you mean --no-cache?"),
        ("build-cuda13.2(devel)", 3, "build-cuda13.2(devel): use nox -s build -- cuda13.2-devel"),
        ("scan(large)", 3, "scan(large)"),
        ("test-tpu", 3, "test-tpu"),
    ],
)
def test_exit_codes(tmp_path: Path, words: str, code: int, message: str) -> None:
    """3 when images were not scanned and nothing failed, after all images; 3 is also nox's own for unknown sessions."""
    noxfile = tmp_path / "noxfile.py"
    noxfile.write_text(NOXFILE)
    result = run_nox(noxfile, "-s", *words.split())
    assert message in result.stdout
    assert "Traceback" not in result.stdout
    assert result.returncode == code
    named = [word for word in words.split() if word.endswith(("-base", "-runtime"))]
    assert re.findall("scanning (.+)", result.stdout) == named


def test_what_a_session_prints_is_between_the_lines_of_nox(tmp_path: Path) -> None:
    """Also where the output is no terminal: a log of CI would else have it below another session."""
    noxfile = tmp_path / "noxfile.py"
    noxfile.write_text(NOXFILE)
    result = run_nox(noxfile, "-s", "scan", "--", "cpu-base", PYTHONUNBUFFERED="")
    assert "scanning cpu-base\nnox > Session scan was successful." in result.stdout


def test_images_beside_each_other_do_not_mix_their_output(tmp_path: Path) -> None:
    """Two at a time, and a failure of one ends none of the others."""
    noxfile = tmp_path / "noxfile.py"
    noxfile.write_text(NOXFILE)
    result = run_nox(noxfile, "-s", "beside", "--", "cpu-base", "cuda-base", "rocm-base", "cpu-runtime")
    assert "aborted: cuda-base: broken" in result.stdout
    for name in ("cpu-base", "cuda-base", "rocm-base", "cpu-runtime"):
        assert f"{name} 1\n{name} 2\n" in result.stdout


def test_run_starts_an_image_with_its_command(tmp_path: Path) -> None:
    """Ports are published on this machine alone; PyTorch's data loaders have room in /dev/shm."""
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\nprintf "docker-got %s\n" "$@"\n')
    docker.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    result = run_nox(
        repository.ROOT / "noxfile.py", "-s", "run", "--", "cpu-base-workbench", "python", "-c", "1 + 1", PATH=path
    )
    assert result.returncode == 0, result.stdout
    words = re.findall("(?m)^docker-got (.+)$", result.stdout)
    ports = [word for word in words if word.startswith("--publish")]
    expected = [rf"--publish=127\.0\.0\.1:\d+:{port}" for port in (8888, 8080, 2222, 8000)]
    assert all(map(re.fullmatch, expected, ports)), ports
    assert "port 8888 is at 127.0.0.1:" in result.stdout
    assert {"--shm-size=2g", "--pull=never"} <= set(words)
    assert {"--volume=slipway-data:/data", "--volume=slipway-cache:/cache"} <= set(words)
    assert words[-4:] == [load_matrix().find_image("cpu-base-workbench").tag, "python", "-c", "1 + 1"]


@pytest.mark.requirement("U6")
@pytest.mark.parametrize("session", ["build-cuda(base)", "test-cuda(base)"])
def test_sessions_take_the_platform_as_docker_does(session: str) -> None:
    """By --platform; one that there is not ends the session at once."""
    result = run_nox(repository.ROOT / "noxfile.py", "--no-venv", "-s", session, "--", "--platform", "linux/arm64")
    assert result.returncode == 1
    reason = load_matrix().variants["cuda"].excluded["linux/arm64"]
    assert f"there is no cuda-base for linux/arm64: {reason}" in result.stdout
    assert "Traceback" not in result.stdout


def test_the_list_of_sessions_fits_a_screen() -> None:
    """And no two lines are alike."""
    lines = re.findall(r"(?m)^[-*] (.+)$", run_nox(repository.ROOT / "noxfile.py", "-l").stdout)
    assert 0 < len(lines) <= 45
    assert len(set(lines)) == len(lines)
    assert all(" -> " in line for line in lines)


def test_a_nox_of_ones_own_gets_the_dependencies() -> None:
    """The header of the noxfile lists what noxw installs from requirements/slipway.in."""
    wanted = (repository.ROOT / "requirements" / "slipway.in").read_text()
    names = re.findall(r"(?m)^[\w-]+", wanted)
    assert nox.project.load_toml(repository.ROOT / "noxfile.py")["dependencies"] == names
