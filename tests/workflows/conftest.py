"""Settings of the tests that run the workflows."""

import pytest

pytest_plugins = ["tests.helpers.not_run"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for real builds."""
    text = "build cpu-base anew, and run CI as for a push; without it, cpu-base is the one that the engine has"
    parser.getgroup("slipway").addoption("--whole", action="store_true", help=text)
