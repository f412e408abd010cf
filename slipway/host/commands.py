"""Commands that setup runs on this machine, some of them as root, and the lines that report what it does."""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from shutil import which

from slipway.errors import SlipwayError


def say(text: str) -> None:
    """Report what setup does, at once."""
    print(f"setup: {text}", flush=True)


def as_root(task: str) -> list[str]:
    """Return what to put before a command that only root may run; SlipwayError where nobody can become root."""
    if os.geteuid() == 0:
        return []
    if which("sudo"):
        return ["sudo"]
    raise SlipwayError(f"only root may {task}, and there is no sudo: run this as root.")


def run_command(
    command: list[str], what: str, data: str | None = None, variables: Mapping[str, str] | None = None
) -> str:
    """Run a command, with these variables, too; return its output; SlipwayError with its last lines when it fails."""
    # A file and not a pipe for the output: a daemon that keeps it open does not block.
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        stdin = subprocess.DEVNULL if data is None else subprocess.PIPE
        try:
            process = subprocess.Popen(
                command,
                env=os.environ | dict(variables or {}),
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
        except FileNotFoundError:
            raise SlipwayError(f"{what} failed: there is no {command[0]} on this machine.") from None
        try:
            process.communicate(data)
        except BaseException:
            with contextlib.suppress(PermissionError):  # what sudo runs is root's, and has had the Ctrl-C as well
                process.terminate()
            process.wait()  # it cleans up behind itself
            raise
        output.seek(0)
        text = output.read().strip()
    if process.returncode:
        raise SlipwayError("\n".join([f"{what} failed with exit code {process.returncode}:", *text.splitlines()[-8:]]))
    return text


def write_file(root: list[str], path: Path, text: str) -> None:
    """Write a system file, as root; it and a folder that was missing are readable by all, under any umask."""
    run_command([*root, "install", "-D", "--mode=0644", "/dev/stdin", str(path)], f"writing {path}", data=text)
