"""Tests that were not run: each reason is listed, and fails the run unless tests/helpers/reasons.py accepts it."""

from collections.abc import Iterator

import pytest

from tests.helpers.reasons import ACCEPTED

MESSAGE = "a test that was not run is not a pass; --allow-not-run accepts it"
NOT_RUN = pytest.StashKey[list[tuple[str, str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that accepts every reason."""
    parser.addoption("--allow-not-run", action="store_true", help="succeed although tests were not run")


def pytest_configure(config: pytest.Config) -> None:
    """Begin with an empty list, which the reports fill."""
    config.stash[NOT_RUN] = []
    config.pluginmanager.register(Reports(config))


class Reports:
    """Notes the reasons from the reports, which in a run of several processes come to one."""

    def __init__(self, config: pytest.Config) -> None:
        """Fill the list of a run."""
        self.not_run = config.stash[NOT_RUN]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note why a test was not run."""
        self.note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note why a whole module was not run."""
        self.note(report)

    def note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Keep the reason of a report that says `skipped`."""
        if report.skipped and isinstance(report.longrepr, tuple):
            self.not_run.append((report.nodeid, report.longrepr[2].removeprefix("Skipped: ")))


def find_open(config: pytest.Config) -> list[tuple[str, str]]:
    """Return the tests that were not run for a reason that nobody accepted, with the reason."""
    if config.getoption("--allow-not-run"):
        return []
    return [(test, reason) for test, reason in config.stash[NOT_RUN] if reason not in ACCEPTED]


def find_status(session: pytest.Session) -> int:
    """Return the exit status of a run: that of a failure when tests were not run, and it was not accepted."""
    is_open = session.exitstatus == pytest.ExitCode.OK and find_open(session.config)
    return int(pytest.ExitCode.TESTS_FAILED if is_open else session.exitstatus)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Set the exit status."""
    session.exitstatus = find_status(session)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """List the reasons, each with its tests."""
    for line in list_reasons(config):
        terminalreporter.write_line(line, yellow=True)
    if find_open(config):
        terminalreporter.write_line(MESSAGE, red=True)


def list_reasons(config: pytest.Config) -> Iterator[str]:
    """Yield a line for each reason."""
    reasons: dict[str, list[str]] = {}
    for test, reason in config.stash[NOT_RUN]:
        reasons.setdefault(reason, []).append(test.rpartition("::")[2])
    for reason, tests in reasons.items():
        yield f"not run: {reason}: {', '.join(tests)}"
