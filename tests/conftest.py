"""Settings of all tests: Ctrl-C ends them, they build by the engine itself, JUnit files have their requirements."""

import os
import shutil
import signal

import pytest

from slipway import docker
from slipway.report import summary


def pytest_configure() -> None:
    """Enable Ctrl-C: a run in the background of a shell ignores it, and so would the processes that tests start.

    Build by the engine itself: no other builder has its images, from which tests build others.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
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
