"""Measures builds and images on this machine, each figure beside a baseline from the same run.

    python -m slipway.bench          measures the images that are built
    python -m slipway.bench --cold   also a build without any cache: downloads about 4 GB

Prints a table and writes dist/bench.json. A missed target leaves the exit code at 0; a failed measurement does not.
"""

import argparse
import datetime
import os
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import Any, NamedTuple

from rich.table import Table

from slipway import docker, repository, results
from slipway.bench import build_times, measurements, publish_times
from slipway.bench.measurements import Figure
from slipway.build.images import is_built
from slipway.errors import SlipwayError
from slipway.host import engine
from slipway.host.engine import NoEngineError
from slipway.matrix import Image, Matrix, load_matrix
from slipway.tables import Cell, make_table, paint, show

VARIANTS = ("cpu", "cuda", "rocm")
TRUSTED = ("cpu-base", "cuda-runtime")  # images whose audit and scan are measured
FILE = repository.ROOT / "dist" / "bench.json"


class Target(NamedTuple):
    """The largest allowed value of a figure, of its ratio to the baseline, or of its difference from the baseline."""

    most: float
    limits: str = "figure"  # or "ratio", or "difference"


TARGETS = {
    "size cpu-base": Target(0.35),
    "size cpu-runtime": Target(2.4),
    "size cuda-base": Target(1.6),
    "size cuda-runtime": Target(5.3),
    "size cuda-devel": Target(0.72, "difference"),
    "size rocm-base": Target(0.42),
    "size rocm-runtime": Target(2.0),
    "size rocm-devel": Target(2.7),
    "size cpu-runtime-workbench": Target(0.65, "difference"),
    "size cpu-base-desktop": Target(0.6, "difference"),
    "size cpu-runtime-compute": Target(1.2, "difference"),
    "size cuda-runtime-desktop-full": Target(9),
    "cold build cuda-runtime": Target(2, "ratio"),
    "nothing changed, a flavor": Target(2),
    "nothing changed, what nox and slipway add": Target(1, "difference"),
    "healthy cpu-base": Target(1),
    "healthy cpu-runtime": Target(1),
    "healthy cpu-devel": Target(1),
    "healthy cuda-base": Target(1),
    "healthy cuda-runtime": Target(1),
    "healthy cuda-devel": Target(1),
    "healthy cpu-base-workbench": Target(3),
    "healthy cpu-runtime-workbench": Target(3),
    "checks cpu-base": Target(15),
    "checks cpu-devel": Target(90),
    "checks cuda-base": Target(15),
    "checks cuda-devel": Target(90),
    "memory slipway.image.saved_image": Target(200),
    "memory slipway.host": Target(200),
    "audit cuda-runtime": Target(30),
    "memory slipway.audit cpu-base": Target(300),
    "memory slipway.audit cuda-runtime": Target(300),
    "publish an unchanged cpu-base": Target(3),
    "second start noxw": Target(0.2, "difference"),
    "nothing to do slipway.host": Target(0.5),
    "nox -s tests": Target(40 * 60),
}


# --- verdicts ------------------------------------------------------------------------------------


def compute_ratio(figure: Figure) -> float | None:
    """Return the ratio of a figure to its baseline; None without a baseline."""
    return figure.measured / figure.baseline if figure.measured is not None and figure.baseline else None


def compute_limited(figure: Figure, target: Target) -> float | None:
    """Return the value that a target limits; None without a baseline to compare with."""
    if target.limits == "figure" or figure.measured is None:
        return figure.measured
    if target.limits == "ratio":
        return compute_ratio(figure)
    return None if figure.baseline is None else figure.measured - figure.baseline


def decide_verdict(figure: Figure) -> str:
    """Return the verdict on a figure; "measured" without a target."""
    target = TARGETS.get(figure.what)
    if figure.failed:
        return "failed"
    if figure.measured is None:
        return "not measured"
    value = compute_limited(figure, target) if target else None
    if target is None or value is None:
        return "measured"
    return "met" if value <= target.most else "MISSED"


# --- table and file ------------------------------------------------------------------------------


def format_number(value: float | None, unit: str = "") -> str:
    """Return a number with two decimals below 100 and none above; a dash for None."""
    if value is None:
        return "-"
    return (f"{value:.0f}" if value >= 100 else f"{value:.2f}") + (f" {unit}" if unit else "")  # noqa: PLR2004


def format_target(figure: Figure) -> str:
    """Return a target as text: `<= 2 s`, `<= 2 x` the baseline, `<= +1 s` above it."""
    target = TARGETS.get(figure.what)
    if target is None:
        return "-"
    sign = "+" if target.limits == "difference" else ""
    return f"<= {sign}{target.most:g} {'x' if target.limits == 'ratio' else figure.unit}"


def make_row(figure: Figure) -> list[Cell]:
    """Return a figure's row."""
    baseline = f"{format_number(figure.baseline, figure.unit)} {figure.against}".rstrip()
    note = f"{decide_verdict(figure)}: {figure.note}" if figure.note else decide_verdict(figure)
    return [
        figure.what,
        format_number(figure.measured, figure.unit),
        baseline,
        format_number(compute_ratio(figure)),
        format_target(figure),
        paint(note),
    ]


def make_figures_table(figures: Iterable[Figure]) -> Table:
    """Return a table with a row for each figure."""
    return make_table(["what", "measured", "baseline", "ratio", "target", "verdict"], list(map(make_row, figures)))


def make_record(figure: Figure) -> dict[str, Any]:
    """Return a figure for bench.json."""
    target = TARGETS.get(figure.what)
    found = {
        "ratio": compute_ratio(figure),
        "target": target._asdict() if target else None,
        "verdict": decide_verdict(figure),
    }
    return asdict(figure) | found


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


def list_not_built(images: Iterable[Image]) -> Iterator[Figure]:
    """Yield an unmeasured figure for each image that is not built, with the command that builds it."""
    for image in images:
        if not is_built(image):
            yield Figure(f"size {image.name}", note=f"not built: nox -s build -- {image.name}")


def measure(title: str, measuring: Callable[[], Iterator[Figure]]) -> Iterator[Figure]:
    """Yield a measurement's figures; if it fails, yield a figure with the reason instead."""
    print(f"bench: {title}", flush=True)
    try:
        yield from measuring()
    except (SlipwayError, OSError, subprocess.SubprocessError) as error:
        print(f"bench: {title} failed: {error}", file=sys.stderr, flush=True)
        yield Figure(title, note=str(error).splitlines()[0], failed=True)


def measure_if_built(
    title: str, needed: Iterable[Image], measuring: Callable[[], Iterator[Figure]]
) -> Iterator[Figure]:
    """Yield a measurement's figures, or a figure that names the images that are not built."""
    missing = [image.tag for image in needed if not is_built(image)]
    if missing:
        yield Figure(title, note=f"not built: {', '.join(missing)}")
    else:
        yield from measure(title, measuring)


def measure_all(matrix: Matrix, images: list[Image], *, with_cold: bool) -> Iterator[Figure]:
    """Yield every figure of the images that are built, in the order of the table."""
    yield from measure("size", lambda: measurements.measure_sizes(images))
    # Before any build: a new commit makes another image, and the results are about the earlier one.
    yield from measure("checks", lambda: measurements.measure_checks(images))
    yield from measure("cold build", lambda: build_times.measure_cold(matrix, wanted=with_cold))
    flavors = matrix.variants[build_times.VARIANT].images.values()
    yield from measure_if_built("nothing changed", flavors, lambda: build_times.measure_unchanged(matrix))
    for image in images:
        yield from measure(f"healthy {image.name}", lambda image=image: measurements.measure_start(image))  # type: ignore[misc]
    yield from measure("memory", lambda: measurements.measure_memory(images))
    trusted = [image for image in images if image.name in TRUSTED]
    yield from measure("audit", lambda: measurements.measure_audits(trusted))
    yield from measure("scan", lambda: measurements.measure_scans(trusted))
    yield from measure_if_built(
        "publish", [matrix.find_image(publish_times.IMAGE)], lambda: publish_times.measure_unchanged(matrix)
    )
    yield from measure("second start noxw", measurements.measure_second_start)
    yield from measure("nothing to do slipway.host", measurements.measure_setup)
    yield from measure("nox -s tests", measurements.measure_tests)


def require_engine() -> None:
    """Raise SlipwayError without an engine."""
    try:
        engine.find_engine()
    except NoEngineError as error:
        raise SlipwayError(f"{error}. Run: nox -s setup") from None


def read_arguments(words: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="nox -s bench --", description=__doc__.partition("\n")[0])
    parser.add_argument("--cold", action="store_true", help="also build without any cache: downloads about 4 GB")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    """Measure, print the table and write dist/bench.json; exit code 1 when a measurement has failed."""
    options = read_arguments(words)
    require_engine()
    matrix = load_matrix()
    images = [image for image in matrix.images if image.variant.name in VARIANTS]
    built = [image for image in images if is_built(image)]
    if not built:
        raise SlipwayError("no image is built, so there is nothing to measure. Run: nox -s build-cpu")
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    facts = read_machine()
    figures = [*measure_all(matrix, built, with_cold=options.cold), *list_not_built(i for i in images if i.in_tests)]
    results.write_json(FILE, {"started": started, "machine": facts, "figures": [make_record(f) for f in figures]})
    counts = Counter(decide_verdict(figure) for figure in figures)
    show("", format_machine(facts), "", make_figures_table(figures), "")
    print(
        ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) + f"; {FILE.relative_to(repository.ROOT)}"
    )
    return 1 if counts["failed"] else 0
