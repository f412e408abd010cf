"""Runs pytest in new processes that find all checks imported: otherwise that takes most of a short run's time."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from slipway import repository
from slipway.errors import SlipwayError

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.sabotage.warm_up"])
# A process's exit code can be read once, and whoever starts another process reads those of all.
LOCK = threading.Lock()


def run_pytest(*words: str, limit: float) -> subprocess.CompletedProcess[str]:
    """Run pytest and return its exit code and output; SlipwayError when it takes longer than `limit` seconds."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output"
        process = SERVER.Process(target=_work, args=(words, output))
        with LOCK:
            process.start()
        if not wait([process.sentinel], limit):
            process.kill()
            raise SlipwayError(f"`pytest {' '.join(words)}` was ended after {limit} s")
        with LOCK:
            process.join()
        assert process.exitcode is not None
        text = output.read_text(encoding="utf-8", errors="replace")
        return subprocess.CompletedProcess(words, process.exitcode, text, "")


def _work(words: tuple[str, ...], output: Path) -> None:
    """Run pytest in this process, with all output in a file."""
    with output.open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.chdir(repository.ROOT)
    sys.exit(pytest.main(list(words)))
