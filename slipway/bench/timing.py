"""The time and memory of commands, and measurements in turns with their baselines."""

import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from typing import TypedDict

from slipway import docker, repository
from slipway.errors import SlipwayError


class Pairs(TypedDict):
    """Medians of a measurement and of its baseline, and the spread of their ratio: fields of a Figure."""

    measured: float
    baseline: float
    noise: float


def print_progress(text: str) -> None:
    """Print the step of a long measurement."""
    print(f"bench:   {text}", flush=True)


def make_name() -> str:
    """Return a unique name for the engine."""
    return f"slipway-bench-{uuid.uuid4().hex[:8]}"


def run_command(*command: str, data: str | None = None, **environment: str) -> str:
    """Run a command in the repository and return its output; SlipwayError when it fails."""
    result = subprocess.run(
        command,
        cwd=repository.ROOT,
        env=docker.make_environment(environment),
        input=data,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if result.returncode:
        lines = (result.stdout + result.stderr).strip().splitlines() or [f"exit code {result.returncode}"]
        raise SlipwayError(f"`{' '.join(command[:6])}` failed: {lines[-1]}")
    return result.stdout


def time_command(*command: str, data: str | None = None, **environment: str) -> float:
    """Return the seconds of a command."""
    started = time.monotonic()
    run_command(*command, data=data, **environment)
    return time.monotonic() - started


def time_module(*words: str, **environment: str) -> float:
    """Return the seconds of a module of this Python, `python -m`."""
    return time_command(sys.executable, "-m", *words, **environment)


def measure_in_turns(first: Callable[[], float], second: Callable[[], float], times: int) -> Pairs:
    """Take two measurements in turns, so that other load affects both."""
    pairs = [(first(), second()) for _ in range(times)]
    ratios = [pair[0] / pair[1] for pair in pairs]
    noise = (max(ratios) - min(ratios)) / statistics.median(ratios)
    measured, baseline = (statistics.median(values) for values in zip(*pairs, strict=True))
    return {"measured": measured, "baseline": baseline, "noise": noise}


def measure_peak_memory(*module: str, **environment: str) -> float:
    """Return the peak resident set in MB of a module's process or one of its children."""
    return int(run_command(sys.executable, "-m", "slipway.bench.peak_memory", *module, **environment)) * 1024 / 1e6
