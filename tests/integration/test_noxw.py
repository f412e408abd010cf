"""The launcher: a private environment, made once, and no more than that in the way of nox."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.processor_time import run_timed
from tests.helpers.programs import run_merged, write_program

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "dirname", "readlink", "cmp", "cp", "mv", "rm", "tail", "sleep", "cat")
NOXFILE = """\
import os
import nox

@nox.session(venv_backend="none")
def where(session):
    \"\"\"Print the folder and the arguments.\"\"\"
    session.log(f"{os.getcwd()} {session.posargs}")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a copy of the launcher with its lock and a small noxfile, without an environment."""
    return make_project(tmp_path / "pro ject")


def make_project(folder: Path) -> Path:
    """Copy what the launcher needs."""
    (folder / "requirements").mkdir(parents=True)
    shutil.copy(ROOT / "noxw", folder)
    shutil.copy(ROOT / "requirements/slipway.txt", folder / "requirements")
    (folder / "noxfile.py").write_text(NOXFILE)
    return folder


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project whose environment is there; no test changes it."""
    project = make_project(tmp_path_factory.mktemp("noxw") / "project")
    result = noxw(project, "--version")
    assert result.returncode == 0, result.stderr
    assert "making the private environment" in result.stderr
    return project


@pytest.fixture
def ready(started: Path, tmp_path: Path) -> Path:
    """Return a copy of that project, to change."""
    return Path(shutil.copytree(started, tmp_path / "ready", symlinks=True))


def noxw(project: Path, *arguments: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the launcher and return what it printed."""
    return subprocess.run(
        [project / "noxw", *arguments],
        cwd=cwd,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Return a folder for PATH with the system's small tools, without Python and uv."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        (folder / name).symlink_to(shutil.which(name) or name)
    return folder


def leftovers(project: Path) -> set[str]:
    """Return what the launcher left beside its project's own files."""
    return {path.name for path in project.iterdir()} - {"noxw", "noxfile.py", "requirements"}


def test_second_start_makes_nothing(started: Path) -> None:
    """The environment is kept, and only the locked nox answers."""
    result = noxw(started, "--version")
    locked = [line for line in (ROOT / "requirements/slipway.txt").open() if line.startswith("nox==")]
    assert f"nox=={result.stderr.strip() or result.stdout.strip()}" in locked[0]
    assert leftovers(started) <= {".noxw", "__pycache__", ".nox"}


def test_second_start_adds_less_than_200_ms(started: Path) -> None:
    """The best of five starts each, the launcher's beside nox's own, in processor time."""

    def best(command: list[str | Path]) -> float:
        return min(run_timed(command)[1] for _ in range(5))

    alone = best([started / ".noxw/bin/python", "-m", "nox", "--version"])
    assert best([started / "noxw", "--version"]) - alone < 0.2


def test_works_from_any_folder_and_through_a_link(started: Path, tmp_path: Path) -> None:
    """The sessions are those of the launcher's folder; all arguments arrive as they were."""
    link = tmp_path / "link"
    link.symlink_to(os.path.relpath(started / "noxw", tmp_path))
    for launcher in (started / "noxw", link):
        result = run_merged([launcher, "-s", "where", "--", "a b", "*"], cwd=tmp_path)
        assert f"{started} ['a b', '*']" in result.stdout, result.stdout


@pytest.mark.timeout(400)  # pip downloads and installs, beside other tests
@pytest.mark.parametrize("uv", [True, False], ids=["own PATH", "pip"])
def test_no_module_of_the_folder_is_run(project: Path, tools: Path, tmp_path: Path, *, uv: bool) -> None:
    """The folder that it is started from may be anybody's; so may PYTHONPATH.

    pip is used where uv is broken: a shim on PATH may stand for a missing one. pip's settings may name another place
    for what it installs.
    """
    write_program(tools / "uv", "exit 127")
    settings = {} if uv else {"PIP_USER": "1", "PIP_TARGET": "/none", "PIP_PREFIX": "/none"}
    folder = tmp_path / "foreign"
    folder.mkdir()
    for name in ("venv", "ensurepip", "pip", "os", "nox"):
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'was run')!r}, 'w')\n")
    (tools / "python3").symlink_to(os.path.realpath(sys.executable))
    path = os.environ["PATH"] if uv else str(tools)
    result = noxw(project, "-s", "where", cwd=folder, PATH=path, PYTHONPATH=str(folder), **settings)
    assert result.returncode == 0, result.stderr
    assert not (tmp_path / "was run").exists()


def test_exit_code_is_noxs(started: Path) -> None:
    """A session that does not exist is nox's error, passed on."""
    assert noxw(started, "-s", "no-such-session").returncode not in (0, 127)


def test_changed_lock_makes_it_anew(ready: Path) -> None:
    with (ready / "requirements/slipway.txt").open("a") as lock:
        lock.write("# changed\n")
    assert "making the private environment" in noxw(ready, "--version").stderr
    assert noxw(ready, "--version").stderr.count("making") == 0
    assert leftovers(ready) <= {".noxw", "__pycache__", ".nox"}


def test_vanished_python_makes_it_anew(ready: Path) -> None:
    """An upgrade of the system may take the environment's Python away."""
    python = ready / ".noxw/bin/python"
    python.unlink()
    python.symlink_to("/no/such/python3.11")
    result = noxw(ready, "--version")
    assert result.returncode == 0
    assert "making the private environment" in result.stderr


def test_an_old_environment_that_cannot_be_removed_stops_nothing(project: Path, tmp_path: Path) -> None:
    """Root's, of a start by sudo. What is left is named as a shell takes it: this folder has a space."""
    (project / ".noxw").mkdir()
    (tmp_path / "rm").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "rm").chmod(0o755)
    result = noxw(project, "--version", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert result.returncode == 0, result.stderr
    [command] = re.findall("noxw: an old environment cannot be removed; delete it by: (.+)", result.stderr)
    left = {str(path) for path in project.glob(".noxw.new.*")}
    assert left
    assert {*shlex.split(command)[3:]} == left


def test_parallel_first_starts(project: Path) -> None:
    starts = [subprocess.Popen([project / "noxw", "--version"], stderr=subprocess.PIPE) for _ in range(2)]
    errors = [start.communicate(timeout=120)[1].decode() for start in starts]
    assert [start.returncode for start in starts] == [0, 0], errors
    assert leftovers(project) == {".noxw"}


@pytest.mark.parametrize("missing", [False, True], ids=["wrong", "missing"])
def test_hash_is_required(project: Path, *, missing: bool) -> None:
    """Nothing is installed that the lock does not name with its hash."""
    lock = project / "requirements/slipway.txt"
    text = lock.read_text()
    if missing:
        lock.write_text(text + "iniconfig==2.1.0\n")
    else:
        lock.write_text(re.sub(r"sha256:\w+", f"sha256:{0:064}", text))
    result = noxw(project, "--version")
    assert result.returncode == 1
    assert "could not install nox" in result.stderr
    assert "hash" in result.stderr
    assert leftovers(project) == set()


@pytest.mark.parametrize("stand_in", [None, "exit 1"], ids=["no Python", "an old Python"])
def test_missing_python_says_how_to_get_one(project: Path, tools: Path, stand_in: str | None) -> None:
    if stand_in:
        write_program(tools / "python3", stand_in)
    result = noxw(project, "--version", PATH=str(tools))
    assert result.returncode == 1
    assert result.stderr.startswith("noxw: no Python 3.11 or newer on PATH")
    for way in ("apt-get install python3", "dnf install python3", "brew install python"):
        assert way in result.stderr
    assert leftovers(project) == set()


def test_missing_venv_module_says_how_to_get_it(project: Path, tools: Path) -> None:
    """Debian's python3 comes without ensurepip."""
    write_program(
        tools / "python3", 'case "$3" in *version_info*) echo "$0" ;; *ensurepip*) exit 1 ;; *) exit 9 ;; esac'
    )
    result = noxw(project, "--version", PATH=str(tools))
    assert result.returncode == 1
    assert "has no venv module" in result.stderr
    assert "apt-get install python3-venv" in result.stderr
    assert leftovers(project) == set()


def test_no_network_says_what_to_set(project: Path, tools: Path, tmp_path: Path) -> None:
    """The words of pip come first, and nothing half-made is left."""
    (tools / "python3").symlink_to(os.path.realpath(sys.executable))
    result = noxw(
        project,
        "--version",
        PATH=str(tools),
        HOME=str(tmp_path),
        PIP_CONFIG_FILE="/dev/null",
        PIP_INDEX_URL="http://127.0.0.1:9/simple",
        PIP_FIND_LINKS="",
        PIP_RETRIES="0",
        PIP_NO_CACHE_DIR="1",
    )
    assert result.returncode == 1
    assert "ERROR" in result.stderr
    assert "HTTPS_PROXY" in result.stderr
    assert leftovers(project) == set()


@pytest.fixture
def slow_start(project: Path, tools: Path) -> Iterator[subprocess.Popen[str]]:
    """Yield a first start that hangs in the making of the environment.

    It begins to hang after `made` is there: a shell that waits for `mkdir` may take Ctrl-C for that alone.
    """
    hang = 'mkdir -p "$5"; : >"$5/made"; exec sleep 300'
    write_program(tools / "python3", f'case "$*" in *version_info*) echo "$0" ;; *-m*venv*) {hang} ;; esac')
    (tools / "mkdir").symlink_to(shutil.which("mkdir") or "mkdir")
    start = subprocess.Popen(
        [project / "noxw"],
        env={**os.environ, "PATH": str(tools)},
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 60
    while not list(project.glob(".noxw.new.*[0-9]/made")):
        assert time.monotonic() < end, "the folder of the environment does not come"
        time.sleep(0.02)
    yield start
    start.kill()


def test_interrupted_start_leaves_nothing(project: Path, slow_start: subprocess.Popen[str]) -> None:
    """Ctrl-C reaches the whole process group."""
    assert any(name.startswith(".noxw.new.") for name in leftovers(project))
    os.killpg(slow_start.pid, signal.SIGINT)
    assert slow_start.wait(timeout=50) == 130
    assert leftovers(project) == set()
