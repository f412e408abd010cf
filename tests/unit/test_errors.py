"""How a module ends: its exit code, one message for an error, nothing more where nobody reads on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slipway import repository

PROGRAM = """
from slipway.errors import SlipwayError, run
{main}
run(main)
"""


def run_program(main: str, reader: str = "cat") -> tuple[int, str]:
    """Run a module whose output another command reads; return its exit code and what it writes to standard error."""
    command = [sys.executable, "-c", PROGRAM.format(main=main)]
    with (
        subprocess.Popen(command, cwd=repository.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as writing,
        subprocess.Popen(["sh", "-c", reader], stdin=writing.stdout, stdout=subprocess.DEVNULL),
    ):
        assert writing.stdout
        assert writing.stderr
        writing.stdout.close()
        errors = writing.stderr.read().decode()
    return writing.returncode, errors


@pytest.mark.parametrize("lines", [1, 100_000], ids=["at its end", "in the middle"])
def test_a_reader_that_ends_early(lines: int) -> None:
    """`head` has seen enough: no traceback, and the exit code that a shell gives to SIGPIPE."""
    # Nobody can read any more when the pipe has an error to tell.
    wait = "poll = select.poll(); poll.register(1, 0); poll.poll()"
    main = f"import select\ndef main():\n    {wait}\n    print('line\\n' * {lines})\n    return 0"
    assert run_program(main, "exec 0<&-; sleep 1") == (141, "")


@pytest.mark.parametrize(
    ("main", "code", "message"),
    [
        ("def main():\n    print(1)\n    return 3", 3, ""),
        ("def main():\n    raise SlipwayError('the reason')", 1, "error: the reason\n"),
        ("def main():\n    raise KeyboardInterrupt", 130, "interrupted\n"),
    ],
)
def test_exit_codes_and_messages(main: str, code: int, message: str) -> None:
    assert run_program(main) == (code, message)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_leaves_no_temporary_folder(tmp_path: Path, number: signal.Signals) -> None:
    """Of `timeout`, of CI, of a terminal that is closed: a folder may have an image of many gigabytes."""
    main = f"""
from slipway import files
import signal, time
signal.signal({number:d}, signal.SIG_DFL)  # below nohup it is ignored
def main():
    with files.temporary_folder():
        print(flush=True)
        time.sleep(30)
"""
    command = [sys.executable, "-c", PROGRAM.format(main=main)]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=repository.ROOT, env=environment, stdout=subprocess.PIPE) as running:
        assert running.stdout
        running.stdout.readline()
        assert list(tmp_path.iterdir())
        running.send_signal(number)
    assert running.returncode == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "seconds", "last"),
    [(signal.SIGTERM, 0.5, "removed\n"), (signal.SIGHUP, 0.5, "removed\n"), (signal.SIGINT, 60, "")],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_second_signal_does_not_stop_what_the_first_began(number: signal.Signals, seconds: float, last: str) -> None:
    """`timeout` sends it to a process and to its parent, which sends it on. A second Ctrl-C does."""
    main = f"""
import signal, time
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
def main():
    try:
        print("started", flush=True)
        time.sleep(30)
    finally:
        print("removing", flush=True)
        time.sleep({seconds})
        print("removed", flush=True)
"""
    command = [sys.executable, "-c", PROGRAM.format(main=main)]
    with subprocess.Popen(command, cwd=repository.ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        assert running.stdout.readline() == "started\n"
        running.send_signal(signal.SIGTERM)
        assert running.stdout.readline() == "removing\n"
        running.send_signal(number)
        assert running.stdout.read() == last
    assert running.returncode == 130


@pytest.mark.parametrize("module", ["matrix", "report.status"])
def test_a_closed_output_is_no_error(module: str) -> None:
    command = f"exec '{sys.executable}' -m slipway.{module} >&-"
    ended = subprocess.run(["sh", "-c", command], cwd=repository.ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
