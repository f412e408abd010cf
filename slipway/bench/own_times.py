"""Times and memory of Slipway's own commands where there is nothing to do."""

import sys
from collections.abc import Iterator

from slipway.bench import timing
from slipway.bench.figures import Figure, Goal

TIMES = 5


def measure_second_start() -> Iterator[Figure]:
    """Yield the seconds of starting noxw with an existing environment, beside nox."""
    timing.run_command("./noxw", "--version")
    nox = [".noxw/bin/python", "-P", "-m", "nox", "--version"]
    pairs = timing.measure_in_turns(
        lambda: timing.time_command("./noxw", "--version"), lambda: timing.time_command(*nox), TIMES
    )
    goal = Goal(0.2, "difference")
    yield Figure("second start noxw", **pairs, against="nox --version", goal=goal, note=f"median of {TIMES}")


def measure_setup() -> Iterator[Figure]:
    """Yield the seconds and the memory of setup on a machine that is set up, beside `docker info`."""
    setup = [sys.executable, "-m", "slipway.host"]
    timing.run_command(*setup)
    pairs = timing.measure_in_turns(
        lambda: timing.time_command(*setup), lambda: timing.time_command("docker", "info"), TIMES
    )
    note = f"median of {TIMES}"
    yield Figure("nothing to do setup", **pairs, against="docker info", goal=Goal(0.5), note=note)
    yield Figure("memory setup", timing.measure_peak_memory("slipway.host"), "MB", goal=Goal(200))
