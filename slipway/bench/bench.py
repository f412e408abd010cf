"""Measures builds and images on this machine, each figure beside a baseline from the same run.

    python -m slipway.bench            measures the images that are built
    python -m slipway.bench --cold     also builds without any cache, and with other packages: 4 GB
    python -m slipway.bench --json     prints the figures as JSON
    python -m slipway.bench --record   also writes the figures into docs/performance.md

Prints a table, writes dist/bench/last.json and names each ratio that has grown since the last run on such a machine.
A missed goal leaves the exit code at 0; a failed measurement does not.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from slipway import docker, repository, results
from slipway.bench import (
    audit_times,
    build_times,
    history,
    image_figures,
    own_times,
    performance_page,
    registry_times,
    update_cost,
)
from slipway.bench.figures import Figure, make_figures_table
from slipway.build.images import is_built
from slipway.errors import SlipwayError
from slipway.host import engine
from slipway.host.engine import NoEngineError
from slipway.matrix import Image, Matrix, load_matrix
from slipway.tables import show

READ = ("cpu-base", "cuda-runtime")  # images that are audited and scanned, a small one and the largest of tests
TOGETHER = ("cpu-base", "cuda-base")  # images that are checked one by one and two at a time
PULLED = ("cpu-base", "cuda-base")
UPDATED = ("cpu-runtime", "cuda-runtime", "rocm-runtime", "cpu-base-tools")  # whose locks have a package changed
FILE = Path("dist", "bench", "last.json")

Measuring = Callable[[], Iterable[Figure]]


# --- the machine ---------------------------------------------------------------------------------


def read_machine() -> dict[str, Any]:
    """Return the facts about the machine that the figures depend on: its hardware, engine and load."""
    info = engine.parse_info(docker.call("info", "--format={{json .}}").stdout)
    return {
        "cores": info.get("NCPU"),
        "memory_gb": round(info.get("MemTotal", 0) / 1e9, 1),
        "load": round(os.getloadavg()[0], 1),
        "engine": info.get("ServerVersion"),
        "storage_driver": info.get("Driver"),
        "python": platform.python_version(),
    }


def format_machine(facts: dict[str, Any]) -> str:
    """Return the machine in one line."""
    return (
        f"{facts['cores']} cores, {facts['memory_gb']} GB memory, load {facts['load']} at the start, "
        f"Docker engine {facts['engine']} on {facts['storage_driver']}, Python {facts['python']}"
    )


# --- the run -------------------------------------------------------------------------------------


def measure(title: str, measuring: Measuring, *needed: Image) -> Iterator[Figure]:
    """Yield a measurement's figures; without an image that it needs, or if it fails, a figure with the reason."""
    if missing := [image.name for image in needed if not is_built(image)]:
        yield Figure(title, note=f"not built: nox -s build -- {' '.join(missing)}")
        return
    print(f"bench: {title}", flush=True)
    try:
        yield from measuring()
    except (SlipwayError, OSError, subprocess.SubprocessError) as error:
        print(f"bench: {title} failed: {error}", file=sys.stderr, flush=True)
        yield Figure(title, note=str(error).splitlines()[0], failed=True)


def measure_all(matrix: Matrix, *, with_cold: bool) -> Iterator[Figure]:
    """Yield every figure, in the order of the table; images that `nox -s tests` builds are named when they are not."""
    built = [image for image in matrix.images if is_built(image)]
    wanted = [image for image in matrix.images if image.in_tests or image in built]
    yield from measure("size", partial(image_figures.measure_sizes, built))
    for image in wanted:
        if image not in built:
            yield from measure(f"size {image.name}", list, image)
    yield from measure("checks", partial(image_figures.measure_checks, built))
    yield from measure("nox -s tests", image_figures.measure_tests)
    for image in built:
        yield from measure(f"healthy {image.name}", partial(image_figures.measure_start, image))
    yield from measure_builds(matrix, built, with_cold=with_cold)
    for image in map(matrix.find_image, READ):
        yield from measure(f"audit {image.name}", partial(audit_times.measure_readers, image), image)
        yield from measure(f"contents {image.name} beside dive", partial(audit_times.measure_dive, image), image)
        yield from measure(f"scan {image.name}", partial(audit_times.measure_scan, image), image)
    first = matrix.find_image(READ[0])
    yield from measure("publish", partial(registry_times.measure_publish, first), first)
    for image in map(matrix.find_image, PULLED):
        yield from measure(f"pull {image.name}", partial(registry_times.measure_pull, image), image)
    yield from measure("second start noxw", own_times.measure_second_start)
    yield from measure("nothing to do setup", own_times.measure_setup)


def measure_builds(matrix: Matrix, built: list[Image], *, with_cold: bool) -> Iterator[Figure]:
    """Yield the figures of builds, and of checks of two images."""
    first, cold = matrix.find_image(READ[0]), matrix.find_image(build_times.COLD)
    together = list(map(matrix.find_image, TOGETHER))
    if built:
        yield from measure("nothing changed", partial(build_times.measure_unchanged, matrix, built))
    for image in (first, cold):
        yield from measure(f"a line of app/, {image.name}", partial(build_times.measure_update, matrix, image), image)
    checks = f"checks of {' and '.join(TOGETHER)}"
    yield from measure(checks, partial(build_times.measure_two_at_a_time, together), *together)
    yield from measure("cold build", partial(build_times.measure_cold, matrix, wanted=with_cold))
    for image in map(matrix.find_image, UPDATED if with_cold else ()):
        yield from measure(f"update {image.name}", partial(update_cost.measure_updates, matrix, image), image)


def require_engine() -> None:
    """Raise SlipwayError without an engine."""
    try:
        engine.find_engine()
    except NoEngineError as error:
        raise SlipwayError(f"{error}. Run: nox -s setup") from None


def main(words: list[str] | None = None) -> int:
    """Measure, print the table and write dist/bench/; exit code 1 when a measurement has failed."""
    parser = argparse.ArgumentParser(prog="nox -s bench --", description=__doc__.partition("\n")[0])
    parser.add_argument("--cold", action="store_true", help="also build without a cache, and with other packages: 4 GB")
    parser.add_argument("--record", action="store_true", help=f"also write {performance_page.PAGE.name} in docs/")
    parser.add_argument("--json", action="store_true", help=f"print {FILE} in place of the table")
    options = parser.parse_args(words)
    require_engine()
    runs = history.read_runs()
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    facts = read_machine()
    # The progress is no part of the JSON.
    with redirect_stdout(sys.stderr if options.json else sys.stdout):
        figures = list(measure_all(load_matrix(), with_cold=options.cold))
        run = {"started": started, "machine": facts, "figures": [figure.make_record() for figure in figures]}
        results.write_json(repository.ROOT / FILE, run)
        history.add_run(run)
        if options.record:
            performance_page.write_page(figures, started[:10], format_machine(facts))
    if options.json:
        print(json.dumps(run, indent=2))
    else:
        worse = history.list_worse(runs, facts, figures)
        show("", format_machine(facts), "", make_figures_table(figures), "", *worse)
        counts = Counter(figure.verdict for figure in figures)
        print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()) + f"; {FILE}")
    return 1 if any(figure.failed for figure in figures) else 0
