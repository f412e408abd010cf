"""Figures of images: their size, their start and their checks."""

import time
from collections.abc import Iterator

from slipway import docker, junit, repository, results
from slipway.bench import timing
from slipway.bench.figures import Figure, Goal
from slipway.errors import SlipwayError
from slipway.image import saved_image
from slipway.matrix import Image

STARTS = 5
PATIENCE = 60  # seconds for a service to become healthy
CHECKS = {"cuda-base": 12, "cuda-runtime": 22, "cuda-devel": 45, "cuda-base-workbench": 40}  # seconds at most
TESTS = 40 * 60  # seconds at most of `nox -s tests`, with the Go tools built


def measure_sizes(images: list[Image]) -> Iterator[Figure]:
    """Yield the size of each image beside that of its parent."""
    sizes: dict[str, float] = {}
    for image in images:
        timing.print_progress(f"reading {image.tag}")
        size = sizes[image.name] = saved_image.read_image(image.tag).size / 1e9
        parent = image.parent if image.parent in sizes else ""
        goal = Goal(image.most_size / 1e9)
        yield Figure(f"size {image.name}", size, "GB", sizes.get(parent), parent, goal=goal)


def measure_checks(images: list[Image]) -> Iterator[Figure]:
    """Yield the seconds of the last run of each image's checks."""
    for image in images:
        what = f"checks {image.name}"
        file = image.results / "tests.xml"
        goal = Goal(CHECKS[image.name]) if image.name in CHECKS else None
        if file.is_file():
            yield Figure(what, junit.read_report(file).seconds, goal=goal, note="the last run")
        else:
            yield Figure(what, goal=goal, note=f"nox -s test -- {image.name} has left no results")


def measure_tests() -> Iterator[Figure]:
    """Yield the seconds of the last run of the session `tests`."""
    taken = results.read_json(repository.ROOT / "dist" / "tests.json").get("seconds")
    note = "the last run" if taken else "no finished run; nox -s tests"
    yield Figure("nox -s tests", taken, goal=Goal(TESTS), note=note)


# --- starts --------------------------------------------------------------------------------------


def measure_start(image: Image) -> Iterator[Figure]:
    """Yield the seconds from `docker run` to healthy, beside a container of the same image that runs `true`."""
    first = time_start(image.tag)
    pairs = timing.measure_in_turns(lambda: time_start(image.tag), lambda: time_empty_start(image.tag), STARTS)
    goal = Goal(1.5 if image.workload else 0.7, "difference")
    note = f"median of {STARTS}; the first {first:.2f} s"
    yield Figure(f"healthy {image.name}", **pairs, against="docker run true", goal=goal, note=note)


def time_start(tag: str) -> float:
    """Start an image in its default mode; return the seconds until it is healthy, SlipwayError after PATIENCE."""
    name = timing.make_name()
    started = time.monotonic()
    try:
        timing.run_command("docker", "run", "--detach", f"--name={name}", tag)
        while read_health(name) != "healthy":
            if time.monotonic() > started + PATIENCE:
                raise SlipwayError(f"a container of {tag} was not healthy within {PATIENCE} s: docker run {tag}")
            time.sleep(0.01)
        return time.monotonic() - started
    finally:
        docker.call("rm", "--force", "--volumes", name)


def time_empty_start(tag: str) -> float:
    """Return the seconds of a container that runs `true`."""
    name = timing.make_name()
    try:
        return timing.time_command("docker", "run", f"--name={name}", tag, "true")
    finally:
        docker.call("rm", "--force", "--volumes", name)


def read_health(name: str) -> str:
    """Return the health of a container; SlipwayError when it has ended."""
    template = "{{.State.Status}} {{.State.Health.Status}}"
    state, status = timing.run_command("docker", "inspect", f"--format={template}", name).split()
    if state != "running":
        raise SlipwayError(f"the service ended while it was starting: {state}")
    return status
