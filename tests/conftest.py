"""Settings of all tests: signals end them, they build by the engine itself, JUnit files have their requirements."""

import os
import shutil
import signal

import pytest

from slipway import docker
from slipway.errors import catch_signals
from slipway.report import summary


def pytest_configure() -> None:
    """Enable Ctrl-C: a run in the background of a shell ignores it, and so would the processes that tests start.

    After other signals, too, tests remove what they have made.

    Build by the engine itself: no other builder has its images, from which tests build others.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    catch_signals()
    if shutil.which("docker"):
        os.environ["BUILDX_BUILDER"] = docker.call("context", "show").stdout.strip()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Add each check's requirements to the JUnit file for the summary; an unknown id ends the run."""
    known = summary.list_requirements()
    for item in items:
        for marker in item.iter_markers("requirement"):
            for identifier in marker.args:
                if identifier not in known:
                    raise pytest.UsageError(
                        f"{item.nodeid} names {identifier}, which docs/requirements.md does not list"
                    )
                item.user_properties.append(("requirement", identifier))


@pytest.fixture(autouse=True)
def no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """No width of a terminal: each process of pytest-xdist has one."""
    monkeypatch.delenv("COLUMNS", raising=False)
