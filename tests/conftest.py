"""What all tests share: Ctrl-C ends them, and the requirements that a check proves go into its results."""

import signal

import pytest

from slipway.report import summary


def pytest_configure() -> None:
    """Take Ctrl-C again: a run that a shell started in the background ignores it, and so would what the tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Add each check's requirements to the JUnit file, where the summary reads them; an unknown id ends the run."""
    known = summary.list_requirements()
    for item in items:
        for marker in item.iter_markers("requirement"):
            for identifier in marker.args:
                if identifier not in known:
                    raise pytest.UsageError(
                        f"{item.nodeid} names {identifier}, which docs/requirements.md does not list"
                    )
                item.user_properties.append(("requirement", identifier))
