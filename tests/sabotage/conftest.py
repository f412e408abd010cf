"""Runs the cases two at a time, and tells at the end which of them ran now and which passed earlier."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic
from typing import Any

import pytest

from slipway.errors import SlipwayError
from tests.sabotage import breakage, cases, earlier
from tests.sabotage.cases import Case

AT_A_TIME = 2
EARLIER = "passed earlier"


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a case, if anything; when it passed, if not now."""

    problem: str
    seconds: float = 0
    earlier: str = ""


Verdicts = dict[Case, Future[Verdict]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the user run again what has passed already."""
    parser.getgroup("slipway").addoption("--fresh", action="store_true", help="run the cases that passed earlier, too")


def pytest_configure() -> None:
    """Read the table before anything else, so that a mistake in it is one clear message."""
    try:
        cases.broken()
    except SlipwayError as error:
        raise pytest.UsageError(str(error)) from None


def judge(case: Case, *, fresh: bool) -> Verdict:
    """Run a case, or find that it has passed earlier; only what has passed is kept."""
    started = monotonic()
    try:
        breakage.require_built(case.image)
        day = "" if fresh else earlier.passed_on(case)
        problem = "" if day else breakage.find_problem(case)
        if not problem and not day:
            earlier.remember(case)
    except SlipwayError as error:
        return Verdict(f"  {error}")
    return Verdict(problem, monotonic() - started, day)


@pytest.fixture(scope="session")
def verdicts(request: pytest.FixtureRequest) -> Iterator[Verdicts]:
    """Every selected case's verdict, being worked out while the tests wait for them in turn."""
    selected = [item.callspec.params["case"] for item in request.session.items if hasattr(item, "callspec")]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        fresh = request.config.getoption("--fresh")
        yield {case: pool.submit(judge, case, fresh=fresh) for case in selected}
        pool.shutdown(cancel_futures=True)


def earlier_day(report: pytest.TestReport) -> str:
    """The day on which a case passed that was not run now; empty for any other."""
    return str(dict(report.user_properties).get(EARLIER, ""))


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Show a case that was not run now apart from those that were."""
    if report.when == "call" and report.passed and (day := earlier_day(report)):
        return EARLIER, "e", f"{EARLIER}, {day}".upper()
    return None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Close with the cases that ran now and, by date, those that passed earlier."""
    reports = terminalreporter.stats.get(EARLIER, [])
    ran = [r for key in ("passed", "failed") for r in terminalreporter.stats.get(key, []) if "[" in r.nodeid]
    write = terminalreporter.write_line
    write("")
    write(f"broken images: {len(ran)} ran now, {len(reports)} {EARLIER}")
    for day in sorted({earlier_day(report) for report in reports}):
        names = [report.nodeid.partition("[")[2].rstrip("]") for report in reports if earlier_day(report) == day]
        write(f"{EARLIER}, {day}: {', '.join(names)}")
    if reports:
        write("the same images and tests gave those results; nox -s sabotage -- -- --fresh runs them again")
