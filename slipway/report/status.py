"""Which images are built, checked and scanned, and what to do next.

    python -m slipway.report.status [--json]

The engine is asked once; the rest comes from dist/. Results count for the very image that has the tag.
"""

import argparse
import functools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.table import Table
from rich.text import Text

from slipway import docker, results
from slipway.build.commit import find_commit, list_context
from slipway.build.labels import COMMIT
from slipway.errors import SlipwayError, run
from slipway.junit import OUTCOMES
from slipway.matrix import Image, load_matrix
from slipway.report.page_results import Build, read_checks, read_result
from slipway.tables import NOTHING, Cell, make_table, paint, show

GB = 10**9
UNITS = (("days", 86400), ("h", 3600), ("min", 60), ("s", 1))


@dataclass(frozen=True)
class State:
    """The state of an image of the engine.

    It was built at an ISO time, and is stale when its build context has changed since. `is_whole`: the checks are those
    of a whole run. `size` in bytes is 0 until the checks have measured it.
    """

    image: Image
    built: str
    is_stale: bool
    checks: Mapping[str, int]
    is_whole: bool
    audit: str
    scan: str
    size: int

    @property
    def budget(self) -> str:
        """The size with its budget, in GB; `-` before it was measured."""
        least, most = self.image.least_size / GB, self.image.most_size / GB
        return f"{self.size / GB:.2f} ({least:.2f}-{most:.2f})" if self.size else "-"

    @property
    def next_step(self) -> str:
        """The session to run next; empty when there is nothing to do."""
        if self.is_stale:
            return "build"
        if not self.is_whole or self.checks["failed"]:
            return "test"
        if self.audit != "passed":
            return "audit"
        return "" if self.scan == "passed" else "scan"


def inspect_images(images: Iterable[Image]) -> dict[str, dict[str, Any]] | None:
    """Return the engine's description of each tag that it has; None when no engine answers."""
    try:
        result = docker.call("image", "inspect", *(image.tag for image in images))
    except SlipwayError:
        return None
    if result.returncode and "no such image" not in result.stderr.lower():
        return None
    return {tag: found for found in json.loads(result.stdout or "[]") for tag in found["RepoTags"]}


def read_records(images: Iterable[Image]) -> dict[str, dict[str, Any]]:
    """Return the content of build.json for each tag, in the form of the engine's answer."""
    records = {image.tag: read_build(image) for image in images}
    return {
        tag: {"Id": record.image, "Created": record.built.isoformat(), "Config": {"Labels": record.labels}}
        for tag, record in records.items()
        if record
    }


def read_build(image: Image) -> Build | None:
    """Return what build.json says of an image; None without one, or for one that is damaged or of an older format."""
    return read_result(image.results / "build.json", Build, "build").value


def read_verdict(image: Image, image_id: str, name: str) -> str:
    """Return the verdict of audit.json or scan.json; `-` when there is none about this image."""
    result = results.read_json(image.results / name)
    return str(result.get("verdict")) if result.get("image") == image_id else "-"


def read_state(image: Image, inspected: Mapping[str, Any]) -> State:
    """Return the state of an image."""
    image_id = inspected["Id"]
    record = read_build(image)
    built = record.built.isoformat() if record and record.image == image_id else str(inspected["Created"])
    commit = (inspected["Config"]["Labels"] or {}).get(COMMIT)
    report = read_checks(image, image_id).value
    counts = Counter(check.outcome for check in report.checks) if report else {}
    return State(
        image=image,
        built=built,
        is_stale=bool(commit) and commit != find_current_commit(tuple(list_context(image))),
        checks={outcome: counts[outcome] for outcome in OUTCOMES} if report else {},
        is_whole=bool(report and report.is_whole),
        audit=read_verdict(image, image_id, "audit.json"),
        scan=read_verdict(image, image_id, "scan.json"),
        size=report.size if report else 0,
    )


@functools.cache
def find_current_commit(context: tuple[str, ...]) -> str:
    """Return the commit of a build context, which several images share."""
    return find_commit(context)


def format_age(age: timedelta) -> str:
    """Return a duration in its largest unit, such as `3 h`."""
    seconds = max(1, int(age.total_seconds()))
    return next(f"{seconds // size} {unit}" for unit, size in UNITS if seconds >= size)


def make_images_table(images: Iterable[Image], states: Mapping[str, State]) -> Table:
    """Return one line for each image."""
    rows: list[list[Cell]] = []
    now = datetime.now(UTC)
    for image in images:
        state = states.get(image.name)
        if state:
            counts = [f"{number} {outcome}" for outcome, number in state.checks.items() if number]
            checks = Text(", ").join(map(paint, counts)) if counts else NOTHING
            if counts and not state.is_whole:
                checks = Text("partial: ", "yellow") + checks
            age = format_age(now - datetime.fromisoformat(state.built))
            built = Text(f"{age}, stale" if state.is_stale else age, "yellow" if state.is_stale else "")
            rows.append([image.name, built, checks, paint(state.audit), paint(state.scan), state.budget])
        else:
            rows.append([image.name, NOTHING])
    return make_table(["image", "built", "checks", "audit", "scan", "GB (budget)"], rows)


def list_next_steps(images: Iterable[Image], states: Mapping[str, State]) -> Iterator[str]:
    """Yield the commands to run next: builds first, then checks, audits and scans."""
    steps: dict[str, list[str]] = {"build": [], "test": [], "audit": [], "scan": []}
    for image in images:
        step = states[image.name].next_step if image.name in states else "build"
        if step:
            steps[step].append(image.name)
    for step, names in steps.items():
        if names:
            yield f"nox -s {step} -- {' '.join(names)}"


def describe_state(image: Image, state: State | None) -> dict[str, Any]:
    """Return the state of an image for `--json`; of one that is not built only its name and its budget in bytes."""
    found = {"image": image.name, "budget": [image.least_size, image.most_size], "is_built": bool(state)}
    if state is None:
        return found | {"next": "build"}
    names = ("built", "is_stale", "checks", "is_whole", "audit", "scan", "size")
    return found | {name: getattr(state, name) for name in names} | {"next": state.next_step}


def main(words: Sequence[str] | None = None) -> int:
    """Print the table and the commands to run next, or as JSON all images."""
    parser = argparse.ArgumentParser(prog="nox -s status --", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print every image as JSON")
    options = parser.parse_args(words)
    images = load_matrix().images
    inspected = inspect_images(images)
    found = read_records(images) if inspected is None else inspected
    states = {image.name: read_state(image, found[image.tag]) for image in images if image.tag in found}
    if options.json:
        print(json.dumps([describe_state(image, states.get(image.name)) for image in images], indent=2))
        return 0
    shown = [image for image in images if image.name in states or image.in_tests]
    steps = list_next_steps(shown, states) if inspected is not None else ["no engine answers: nox -s setup"]
    show(make_images_table(shown, states), "", *(f"next: {command}" for command in steps))
    if left_out := len(images) - len(shown):
        show(f"{left_out} more images can be built: nox -s matrix -- --all lists them")
    return 0


if __name__ == "__main__":
    run(main)
