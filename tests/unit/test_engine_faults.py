"""A check that a fault of the engine ended runs again; a finding about the image stands."""

import pytest

from tests.images.helpers.containers import LOST

pytest_plugins = "pytester"

HOOK = "from tests.images.conftest import pytest_collection_modifyitems as pytest_collection_modifyitems"
FAULT = "OCI runtime exec failed: unable to start container process: read init-p: connection reset by peer: unknown"
EARLY_END = f"AssertionError: {LOST}"
FINDING = 'OCI runtime exec failed: exec: "nvcc": executable file not found in $PATH: unknown'
TEST = """
runs = []

def test_once():
    runs.append(1)
    assert len(runs) > {failures}, {message!r}
"""


@pytest.mark.parametrize(
    ("message", "failures", "outcomes"),
    [
        pytest.param(FAULT, 1, {"passed": 1, "rerun": 1}, id="a fault"),
        pytest.param(EARLY_END, 1, {"passed": 1, "rerun": 1}, id="a lost output"),
        pytest.param(FAULT, 9, {"failed": 1, "rerun": 2}, id="a fault that stays"),
        pytest.param(FINDING, 1, {"failed": 1}, id="a finding"),
    ],
)
def test_only_faults_of_the_engine_run_again(
    pytester: pytest.Pytester, message: str, failures: int, outcomes: dict[str, int]
) -> None:
    pytester.makeconftest(HOOK)
    pytester.makepyfile(TEST.format(failures=failures, message=message))
    assert pytester.runpytest("-p", "no:cacheprovider").parseoutcomes() == outcomes
