"""What all tests share: Ctrl-C ends them, and the requirements that a check proves go into its results."""

import signal

import pytest


def pytest_configure() -> None:
    """Take Ctrl-C again: a run that a shell started in the background ignores it, and so would what the tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Carry each check's requirements into the JUnit file, where the summary reads them."""
    for item in items:
        for marker in item.iter_markers("requirement"):
            item.user_properties += [("requirement", identifier) for identifier in marker.args]
