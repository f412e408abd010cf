"""Runs the cases three at a time, and prints which ran now, which passed earlier, and the number of sampled checks."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic
from typing import Any

import pytest

from slipway.errors import SlipwayError
from tests.sabotage import breakage, cases, earlier
from tests.sabotage.cases import Case
from tests.sabotage.selection import OTHERS, RUN

pytest_plugins = ["tests.helpers.not_run"]

AT_A_TIME = 3
EARLIER = "passed earlier"


@dataclass(frozen=True)
class Verdict:
    """The problem of a case, if any; the day on which it passed, if earlier; the numbers of the other checks."""

    problem: str
    seconds: float = 0
    earlier: str = ""
    others: int = 0
    others_run: int = 0


Verdicts = dict[Case, Future[Verdict]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add options: run again the cases that passed earlier; every check on every broken image; some images alone."""
    group = parser.getgroup("slipway")
    group.addoption("--fresh", action="store_true", help="run the cases that passed earlier, too")
    group.addoption("--all-checks", action="store_true", help="run all checks on each broken image, not a sample")
    group.addoption("--on", action="append", metavar="IMAGE", help="run the cases of this image alone")


def pytest_configure() -> None:
    """Read the tables first, so that a mistake in them is one clear message."""
    try:
        cases.broken()
    except SlipwayError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the cases of images that --on does not name; a test without a case stays."""
    if chosen := config.getoption("--on"):
        others = [
            item for item in items if hasattr(item, "callspec") and item.callspec.params["case"].image not in chosen
        ]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


def decide(case: Case, *, fresh: bool, whole: bool) -> Verdict:
    """Run a case unless it has passed earlier; only passed cases are recorded."""
    started = monotonic()
    whole = whole or not case.breaks
    try:
        breakage.require_built(case.image)
        if not fresh and (day := earlier.passed_on(case, whole=whole)):
            return Verdict("", monotonic() - started, day)
        if not (fresh or case.expected) and (failed := earlier.find_failed(case)):
            return Verdict("\n".join(f"  failed in its test session   {name}" for name in failed))
        found = breakage.run_case(case, whole=whole)
        if not found.problem:
            earlier.remember(case, whole=whole)
    except SlipwayError as error:
        return Verdict(f"  {error}")
    return Verdict(found.problem, monotonic() - started, "", found.others, found.others_run)


@pytest.fixture(scope="session")
def verdicts(request: pytest.FixtureRequest) -> Iterator[Verdicts]:
    """The verdict of each selected case, computed in other threads while the tests wait for it."""
    selected = [item.callspec.params["case"] for item in request.session.items if hasattr(item, "callspec")]
    options = {"fresh": request.config.getoption("--fresh"), "whole": request.config.getoption("--all-checks")}
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        yield {case: pool.submit(decide, case, **options) for case in selected}
        pool.shutdown(cancel_futures=True)


def earlier_day(report: pytest.TestReport) -> str:
    """The day on which a case passed that is not run now; empty for others."""
    return str(dict(report.user_properties).get(EARLIER, ""))


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Show a case that passed earlier with a letter of its own."""
    if report.when == "call" and report.passed and (day := earlier_day(report)):
        return EARLIER, "e", f"{EARLIER}, {day}".upper()
    return None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the number of cases that ran now and, by date, of those that passed earlier."""
    reports = terminalreporter.stats.get(EARLIER, [])
    ran = [r for key in ("passed", "failed") for r in terminalreporter.stats.get(key, []) if "[" in r.nodeid]
    write = terminalreporter.write_line
    write("")
    write(f"broken images: {len(ran)} ran now, {len(reports)} {EARLIER}")
    others, run = (sum(dict(report.user_properties).get(name, 0) for report in ran) for name in (OTHERS, RUN))
    if run < others:
        write(f"of {others} other checks on these images a sample of {run} ran; nox -s sabotage -- -- --all-checks")
    for day in sorted({earlier_day(report) for report in reports}):
        names = [report.nodeid.partition("[")[2].rstrip("]") for report in reports if earlier_day(report) == day]
        write(f"{EARLIER}, {day}: {', '.join(names)}")
    if reports:
        write("the same images and tests gave those results; nox -s sabotage -- -- --fresh runs them again")
