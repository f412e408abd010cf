"""Prints the number of checks of each image, and each requirement: met, failed or not run.

    python -m slipway.report.summary [--json]

Reads the JUnit files that the test sessions leave in dist/*/tests.xml. A requirement is met on an image when
every check that names it ran there and passed; the checks that need a GPU are a line of their own.
"""

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path

from rich.table import Table

from slipway import junit, repository, results
from slipway.errors import SlipwayError, run
from slipway.junit import OUTCOMES, Check
from slipway.matrix import Image
from slipway.tables import make_table, show

REQUIREMENTS = repository.ROOT / "docs" / "requirements.md"


def read_checks(dist: Path) -> Iterator[Check]:
    """Yield every check that the last whole runs left; SlipwayError when a file is damaged."""
    for file in sorted(dist.glob(f"*/{junit.WHOLE}")):
        yield from junit.read_report(file).checks


def count_places(checks: Iterable[Check]) -> dict[str, Counter[str]]:
    """Return for each image, or folder of tests, how many checks passed, failed, were not run."""
    counts: dict[str, Counter[str]] = {}
    for check in checks:
        counts.setdefault(check.place, Counter())[check.outcome] += 1
    return counts


def make_places_table(checks: Iterable[Check]) -> Table:
    """Return one line for each image, or folder of tests."""
    counts = count_places(checks)
    rows = [[place, *(str(count[outcome]) for outcome in OUTCOMES)] for place, count in counts.items()]
    return make_table(["checked", *OUTCOMES], rows)


def combine_outcomes(outcomes: set[str]) -> str:
    """Return the outcome of a requirement with several checks: passed if all ran and passed."""
    return next(outcome for outcome in ("failed", "not run", "passed") if outcome in outcomes)


@cache
def list_requirements(file: Path = REQUIREMENTS) -> list[str]:
    """Return the ids that docs/requirements.md lists, in its order; SlipwayError for none or for one listed twice."""
    try:
        found = re.findall(r"^- ([A-Z]\d+) ", file.read_text(), re.MULTILINE)
    except OSError as error:
        raise SlipwayError(f"cannot read {file}: {error.strerror}; check the repository out again") from None
    twice = [identifier for identifier, count in Counter(found).items() if count > 1]
    if twice or not found:
        raise SlipwayError(f"{file} must list each requirement once; listed twice: {', '.join(twice) or 'nothing'}")
    return found


def group_requirements(checks: Iterable[Check]) -> dict[str, dict[str, str]]:
    """Return for each requirement of a check its outcome in each place: that of all its checks there together."""
    found: dict[str, dict[str, set[str]]] = {}
    for check in checks:
        for requirement in check.requirements:
            name = f"{requirement} GPU" if check.needs_gpu else requirement
            found.setdefault(name, {}).setdefault(check.place, set()).add(check.outcome)
    return {
        name: {place: combine_outcomes(outcomes) for place, outcomes in found[name].items()}
        for name in sorted(found, key=find_order)
    }


def format_requirements(checks: Iterable[Check]) -> list[str]:
    """Return the lines for each requirement of a check, with the images where it is met, failed or not run."""
    words = {"passed": "met", "failed": "FAILED", "not run": "not run"}
    lines = []
    for name, verdicts in group_requirements(checks).items():
        for outcome in ("failed", "not run", "passed"):
            places = [place for place, found_outcome in verdicts.items() if found_outcome == outcome]
            if places:
                lines.append(f"{name:<8} {words[outcome]:<8} {', '.join(places)}")
    return lines


def find_order(name: str) -> tuple[int, str]:
    """Sort as docs/requirements.md lists them, ids of earlier runs that it lists no longer at the end."""
    identifier, known = name.split(maxsplit=1)[0], list_requirements()
    return known.index(identifier) if identifier in known else len(known), name


def list_unnamed_requirements(checks: Iterable[Check]) -> list[str]:
    """Return the requirements that no check of these runs names."""
    named = {requirement for check in checks for requirement in check.requirements}
    return [requirement for requirement in list_requirements() if requirement not in named]


def format_reasons(checks: Iterable[Check]) -> list[str]:
    """Return each reason why checks were not run, with their number."""
    reasons = Counter(check.reason for check in checks if check.outcome == "not run")
    return [f"not run: {reason} ({count} checks)" for reason, count in reasons.items()]


def start_run(chosen: Iterable[Image]) -> None:
    """Begin a run of the session `tests`: forget earlier checks, so that the summary is about this run alone.

    Those of the chosen images stay for `test -- --skip-passed`, which removes what it does not take over.
    """
    kept = {image.results / junit.WHOLE for image in chosen}
    for name in (junit.WHOLE, junit.PARTIAL):
        for file in {*(repository.ROOT / "dist").glob(f"*/{name}")} - kept:
            results.remove(file)
    results.write_json(repository.ROOT / "dist" / "tests.json", {"started": time.time()})


def read_start(dist: Path) -> float:
    """Return the time at which a run of the session `tests` began, in seconds since 1970; 0 without such a run."""
    started = results.read_json(dist / "tests.json").get("started")
    return started if isinstance(started, int | float) and 0 < started <= time.time() else 0.0


def format_taken_over(dist: Path) -> list[str]:
    """Return the images whose checks passed before this run of `tests`, which took them over; a line for each day."""
    started = read_start(dist)
    days: dict[str, list[str]] = {}
    for file in sorted(dist.glob(f"*/{junit.WHOLE}")):
        finished = junit.read_report(file).properties.get("finished", "")
        if finished and datetime.fromisoformat(finished).timestamp() < started:
            days.setdefault(finished[:10], []).append(file.parent.name)
    return [f"passed on {day}, the same image and checks: {', '.join(names)}" for day, names in days.items()]


def record_duration(dist: Path) -> None:
    """Close a run of the session `tests`: note and say how long it took, in seconds."""
    if started := read_start(dist):
        seconds = round(time.time() - started)
        results.write_json(dist / "tests.json", {"seconds": seconds})
        print(f"\nnox -s tests took {seconds // 60} min {seconds % 60} s")


def main(words: Sequence[str] | None = None) -> int:
    """Print the lists, or as JSON all that they are made of; exit code 1 when a check failed."""
    parser = argparse.ArgumentParser(prog="nox -s summary --", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print checks and requirements as JSON")
    options = parser.parse_args(words)
    dist = repository.ROOT / "dist"
    checks = list(read_checks(dist))
    if not checks:
        raise SlipwayError("no test session has left results in dist/: run nox -s tests")
    has_failed = any(check.outcome == "failed" for check in checks)
    if options.json:
        print(json.dumps({"checks": count_places(checks), "requirements": group_requirements(checks)}, indent=2))
        return int(has_failed)
    show(make_places_table(checks))
    for lines in (format_taken_over(dist), format_reasons(checks), format_requirements(checks)):
        if lines:
            show("", *lines)
    if partial := [file.parent.name for file in sorted(dist.glob(f"*/{junit.PARTIAL}"))]:
        show("", f"partial runs, which count for nothing: {', '.join(partial)}")
    if unnamed := list_unnamed_requirements(checks):
        show("", f"no check of these runs names: {', '.join(unnamed)}")
    record_duration(dist)
    return int(has_failed)


if __name__ == "__main__":
    run(main)
