"""The measurements of `bench`: sizes, times and memory, each beside a baseline."""

import os
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from slipway import docker, files, junit, repository, results
from slipway.audit import syft
from slipway.errors import SlipwayError
from slipway.image import saved_image
from slipway.matrix import Image

STARTS = 5
PATIENCE = 60  # seconds for a service to become healthy


@dataclass(frozen=True)
class Figure:
    """A measured value and its baseline, in the same unit and from the same run; the note says why one is missing."""

    what: str
    measured: float | None = None
    unit: str = "s"
    baseline: float | None = None
    against: str = ""
    note: str = ""
    failed: bool = False


# --- commands and their time ---------------------------------------------------------------------


def print_progress(text: str) -> None:
    """Print the step of a long measurement."""
    print(f"bench:   {text}", flush=True)


def make_name() -> str:
    """Return a unique name for the engine."""
    return f"slipway-bench-{uuid.uuid4().hex[:8]}"


def run_command(*command: str, **environment: str) -> str:
    """Run a command in the repository and return its output; SlipwayError when it fails."""
    result = subprocess.run(
        command,
        cwd=repository.ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if result.returncode:
        lines = (result.stdout + result.stderr).strip().splitlines() or [f"exit code {result.returncode}"]
        raise SlipwayError(f"`{' '.join(command[:6])}` failed: {lines[-1]}")
    return result.stdout


def time_command(*command: str, **environment: str) -> float:
    """Return the seconds of a command."""
    started = time.monotonic()
    run_command(*command, **environment)
    return time.monotonic() - started


def measure_in_turns(first: Callable[[], float], second: Callable[[], float], times: int) -> tuple[float, float]:
    """Return the medians of two measurements taken in turns, so that other load affects both."""
    pairs = [(first(), second()) for _ in range(times)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


# --- sizes, checks, the whole run ----------------------------------------------------------------


def measure_sizes(images: list[Image]) -> Iterator[Figure]:
    """Yield the size of each image beside its parent's."""
    found: dict[str, float] = {}
    for image in images:
        print_progress(f"reading {image.tag}")
        found[image.name] = saved_image.read_image(image.tag).size / 1e9
        below = found.get(image.parent)
        yield Figure(f"size {image.name}", found[image.name], "GB", below, image.parent if below else "")


def measure_checks(images: list[Image]) -> Iterator[Figure]:
    """Yield the seconds of the last run of each image's checks."""
    for image in images:
        what = f"checks {image.name}"
        file = image.results / "tests.xml"
        if file.is_file():
            yield Figure(what, junit.read_report(file).seconds)
        else:
            yield Figure(what, note=f"nox -s test -- {image.name} has left no results")


def measure_tests() -> Iterator[Figure]:
    """Yield the seconds of the last run of the session `tests`."""
    taken = results.read_json(repository.ROOT / "dist" / "tests.json").get("seconds")
    note = "the last run" if taken else "no finished run; nox -s tests"
    yield Figure("nox -s tests", taken, note=note)


# --- starts --------------------------------------------------------------------------------------


def measure_start(image: Image) -> Iterator[Figure]:
    """Yield the seconds from `docker run` to healthy, beside a container of the same image that runs `true`."""
    first = time_start(image.tag)
    healthy, nothing = measure_in_turns(lambda: time_start(image.tag), lambda: time_empty_start(image.tag), STARTS)
    yield Figure(
        f"healthy {image.name}",
        healthy,
        baseline=nothing,
        against="docker run true",
        note=f"median of {STARTS}; the first {first:.2f} s",
    )


def time_start(tag: str) -> float:
    """Start an image in its default mode; return the seconds until it is healthy."""
    name = make_name()
    started = time.monotonic()
    try:
        run_command("docker", "run", "--detach", f"--name={name}", tag)
        return wait_until(lambda: read_health(name) == "healthy", tag) - started
    finally:
        docker.call("rm", "--force", "--volumes", name)


def time_empty_start(tag: str) -> float:
    """Return the seconds of a container that runs `true`."""
    name = make_name()
    try:
        return time_command("docker", "run", f"--name={name}", tag, "true")
    finally:
        docker.call("rm", "--force", "--volumes", name)


def wait_until(condition: Callable[[], bool], tag: str) -> float:
    """Return the time at which a condition holds; SlipwayError after PATIENCE seconds."""
    last = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > last:
            raise SlipwayError(f"a container of {tag} was not healthy within {PATIENCE} s: docker run {tag}")
        time.sleep(0.01)
    return time.monotonic()


def read_health(name: str) -> str:
    """Return the health of a container; SlipwayError when it has ended."""
    template = "{{.State.Status}} {{.State.Health.Status}}"
    state, status = run_command("docker", "inspect", f"--format={template}", name).split()
    if state != "running":
        raise SlipwayError(f"the service ended while it was starting: {state}")
    return status


# --- Slipway's own processes ---------------------------------------------------------------------


def measure_memory(images: list[Image]) -> Iterator[Figure]:
    """Yield the peak memory of reading the largest image with an empty cache, and of setup."""
    largest = max(images, key=lambda image: saved_image.read_image(image.tag).size)
    print_progress(f"reading {largest.tag} with an empty cache")
    with files.temporary_folder() as cache:
        reading = measure_peak_memory("slipway.image.saved_image", largest.tag, XDG_CACHE_HOME=cache)
    yield Figure("memory slipway.image.saved_image", reading, "MB", note=largest.tag)
    yield Figure("memory slipway.host", measure_peak_memory("slipway.host"), "MB")


def measure_audits(images: list[Image]) -> Iterator[Figure]:
    """Yield the seconds of an audit with an empty cache, beside `docker save`, and with a full one.

    The SBOM is written before.
    """
    for image in images:
        print_progress(f"auditing {image.tag}")
        syft.provide_sbom(image, saved_image.find_id(image.tag))
        alone = time_command("sh", "-c", 'docker save "$0" >/dev/null', image.tag)
        with files.temporary_folder() as cache:
            memory_used = measure_peak_memory("slipway.audit", image.name, XDG_CACHE_HOME=cache)
            yield Figure(f"audit {image.name}", read_audit_seconds(image), "s", alone, "docker save")
            run_command(sys.executable, "-m", "slipway.audit", image.name, XDG_CACHE_HOME=cache)
        note = "they have read its layers"
        yield Figure(f"audit {image.name} after its checks", read_audit_seconds(image), note=note)
        yield Figure(f"memory slipway.audit {image.name}", memory_used, "MB")


def read_audit_seconds(image: Image) -> float:
    """Return the seconds of the last audit of an image."""
    return float(results.read_json(image.results / "audit.json")["seconds"])


def measure_scans(images: list[Image]) -> Iterator[Figure]:
    """Yield the seconds and the memory of a scan with any verdict."""
    for image in images:
        print_progress(f"scanning {image.tag}")
        command = [sys.executable, "-m", "slipway.scan", image.name]
        result = subprocess.run(command, cwd=repository.ROOT, capture_output=True, text=True, check=False)
        scan = results.read_json(image.results / "scan.json")
        if not scan:
            raise SlipwayError(f"{image.name} could not be scanned: {result.stderr.strip()}")
        yield Figure(f"scan {image.name}", scan["seconds"], note=scan["verdict"])
        yield Figure(f"memory slipway.scan {image.name}", scan["memory_mb"], "MB", note=scan["verdict"])


def measure_peak_memory(*module: str, **environment: str) -> float:
    """Return the peak resident set in MB of a module's process or one of its children."""
    return int(run_command(sys.executable, "-m", "slipway.bench.peak_memory", *module, **environment)) * 1024 / 1e6


def measure_second_start() -> Iterator[Figure]:
    """Yield the seconds of starting noxw with an existing environment, beside nox."""
    run_command("./noxw", "--version")
    nox = [".noxw/bin/python", "-P", "-m", "nox", "--version"]
    script, itself = measure_in_turns(lambda: time_command("./noxw", "--version"), lambda: time_command(*nox), STARTS)
    note = f"median of {STARTS}"
    yield Figure("second start noxw", script, baseline=itself, against="nox --version", note=note)


def measure_setup() -> Iterator[Figure]:
    """Yield the seconds of setup on a machine that is set up, beside `docker info`."""
    setup = [sys.executable, "-m", "slipway.host"]
    run_command(*setup)
    ours, asking = measure_in_turns(lambda: time_command(*setup), lambda: time_command("docker", "info"), STARTS)
    note = f"median of {STARTS}"
    yield Figure("nothing to do slipway.host", ours, baseline=asking, against="docker info", note=note)
