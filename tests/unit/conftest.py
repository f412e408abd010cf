"""Settings of the unit tests: Hypothesis uses the same examples each time, without a time limit for an example."""

from pathlib import Path

import hypothesis
import pytest

from slipway import repository

pytest_plugins = ["tests.helpers.not_run"]

hypothesis.settings.register_profile("same-each-time", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same-each-time")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of the repository."""
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    return tmp_path
