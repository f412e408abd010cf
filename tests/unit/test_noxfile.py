"""The noxfile: exit codes of its sessions in real nox, its list of sessions, its dependencies."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nox.project
import pytest

from slipway import repository, sessions
from slipway.matrix import load_matrix
from tests.helpers.programs import run_merged, write_program

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
def tested(session):
    def work(image, options):
        session.run(sys.executable, "-m", "pytest", image.name, external=True, interrupt_timeout=20)
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

CONFTEST = f"""
import sys
sys.path.insert(0, {str(repository.ROOT)!r})
from tests.conftest import pytest_configure as pytest_configure
"""
SLOW = """
from pathlib import Path
import time
import pytest

@pytest.fixture
def made():
    file = Path(__file__).with_name("made")
    file.touch()
    yield
    time.sleep(1)
    file.rename(file.with_name("removed"))

def test_slow(made):
    Path(__file__).with_name("running").touch()
    time.sleep(60)
"""


def run_nox(noxfile: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run nox and return its exit code and all that it printed."""
    command = [sys.executable, "-m", "nox", f"--noxfile={noxfile}", *words]
    return run_merged(command, env=os.environ | environment)


@pytest.fixture(scope="module")
def noxfile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file with the sessions above."""
    file = tmp_path_factory.mktemp("nox") / "noxfile.py"
    file.write_text(NOXFILE)
    return file


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("scan -- cpu-base", 0, "scanning cpu-base\nnox > Session scan was successful."),
        ("scan -- cpu-base cuda-base cuda-runtime", 3, "not scanned: cuda-base"),
        ("scan -- cuda-base rocm-base", 1, "aborted: cuda-base: not scanned; rocm-base: vulnerable"),
        ("broken scan -- cuda-base", 1, "aborted: cuda-base: not scanned"),
        ("scan -- --no-cash", 1, "aborted: there is no option --no-cash; did you mean --no-cache?"),
        ("build-cuda13.2(devel) scan(large)", 3, "build-cuda13.2(devel): use nox -s build -- cuda13.2-devel"),
    ],
)
def test_exit_codes(noxfile: Path, words: str, code: int, message: str) -> None:
    """3 when images were not scanned and nothing failed, after all images; 3 is also nox's own for unknown sessions.

    What a session prints is between the lines of nox, also where the output is no terminal: a log of CI would else
    have it below another session.
    """
    result = run_nox(noxfile, "-s", *words.split(), PYTHONUNBUFFERED="")
    assert message in result.stdout
    assert "Traceback" not in result.stdout
    assert result.returncode == code
    named = [word for word in words.split() if word.endswith(("-base", "-runtime"))]
    assert re.findall("scanning (.+)", result.stdout) == named


def test_images_beside_each_other_do_not_mix_their_output(noxfile: Path) -> None:
    """Two at a time, and a failure of one ends none of the others."""
    result = run_nox(noxfile, "-s", "beside", "--", "cpu-base", "cuda-base", "rocm-base", "cpu-runtime")
    assert "aborted: cuda-base: broken" in result.stdout
    for name in ("cpu-base", "cuda-base", "rocm-base", "cpu-runtime"):
        assert f"{name} 1\n{name} 2\n" in result.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process which others it has started")
def test_a_signal_ends_tests_that_run_beside_each_other(tmp_path: Path) -> None:
    """Each of them removes what it has made, and none begins afterwards."""
    (tmp_path / "noxfile.py").write_text(NOXFILE)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    for name in ("cpu-base", "cuda-base", "rocm-base"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "test_slow.py").write_text(SLOW)
    command = [sys.executable, "-m", "nox", "-s", "tested", "--", "cpu-base", "cuda-base", "rocm-base"]
    with subprocess.Popen(command, cwd=tmp_path) as running:
        deadline = time.monotonic() + 100
        while len(list(tmp_path.glob("*/running"))) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        running.wait(timeout=50)  # less than the tests sleep
    assert running.returncode == 130
    assert len(list(tmp_path.glob("*/removed"))) == 2
    assert list(tmp_path.glob("*/made")) == []


def test_variables_of_python_do_not_reach_what_nox_starts() -> None:
    """With this one, Python does not import from the folder that it is started in."""
    result = run_nox(repository.ROOT / "noxfile.py", "-s", "matrix", PYTHONSAFEPATH="1")
    assert result.returncode == 0, result.stdout


def test_help_installs_nothing() -> None:
    """The sessions of tests provide packages and tools first; a wrong option ends before that, too."""
    noxfile = repository.ROOT / "noxfile.py"
    for words, message in (("--help", "usage:"), ("--no-cash", "there is no option --no-cash")):
        result = run_nox(noxfile, "--no-venv", "-s", "workflows", "--", words)
        assert message in result.stdout, result.stdout
        assert "slipway.host" not in result.stdout


@pytest.mark.parametrize(
    ("words", "are_beside"), [((), True), (("-k", "x"), True), (("--pdb",), False), (("-s",), False)]
)
def test_tests_run_beside_each_other_unless_somebody_looks_on(words: tuple[str, ...], *, are_beside: bool) -> None:
    """pytest-xdist refuses the debugger, and shows nothing of what tests print."""
    session = SimpleNamespace(posargs=["--", *words])
    command = sessions.make_tests_command(session, load_matrix(), "unit")  # type: ignore[arg-type]
    assert ("--numprocesses=2" in command) == are_beside
    assert tuple(command[len(command) - len(words) :]) == words


def test_run_starts_an_image_with_its_command(tmp_path: Path) -> None:
    """Ports are published on this machine alone; PyTorch's data loaders have room in /dev/shm."""
    write_program(tmp_path / "docker", 'printf "docker-got %s\n" "$@"')
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


@pytest.mark.parametrize("redirection", ["", "<&-"], ids=["a file for its output", "no input"])
def test_run_makes_a_terminal_only_between_two(tmp_path: Path, redirection: str) -> None:
    """Started on a terminal with its output in a file: a container's terminal would write carriage returns there."""
    write_program(tmp_path / "docker", 'echo "docker-got $*"')
    command = f'exec "{sys.executable}" -m nox --noxfile={repository.ROOT}/noxfile.py -s run -- cpu-base {redirection}'
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    terminal, own = pty.openpty()
    try:
        result = subprocess.run(
            ["sh", "-c", command], stdin=own, env=environment, capture_output=True, text=True, check=False
        )
    finally:
        os.close(terminal)
        os.close(own)
    assert result.returncode == 0, result.stderr
    assert "docker-got run" in result.stdout
    assert "--tty" not in result.stdout


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
