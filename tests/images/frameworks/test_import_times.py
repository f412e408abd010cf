"""What people wait for before their first line runs: imports, each within its budget."""

from collections.abc import Callable
from statistics import median

import pytest

from tests.images.helpers.containers import STARTS, Python
from tests.images.helpers.scope import applies

# Prints the seconds of an import as if it were alone on this machine: less the share that it waited for a processor.
IMPORT = """
import time

def count():
    try:
        return [int(number) for number in open("/proc/self/schedstat").read().split()[:2]]
    except OSError:
        return [1, 0]

before, started = count(), time.monotonic()
import MODULE
seconds, after = time.monotonic() - started, count()
ran, waited = (late - early for late, early in zip(after, before))
print(seconds * ran / (ran + waited) if ran + waited else seconds)
"""


@pytest.fixture
def seconds(python: Python, record_property: Callable[[str, object], None]) -> Callable[[str], float]:
    """Return the seconds that a module's import takes, as a rule; they are kept in the evidence."""

    def seconds(module: str) -> float:
        program = IMPORT.replace("MODULE", module)
        found = median(float(python(program).splitlines()[-1]) for _ in range(STARTS))
        record_property("seconds_to_import", round(found, 2))
        return found

    return seconds


@applies(version="torch", flavor="runtime")
@pytest.mark.usefixtures("real_time")
def test_torch_imports_soon(seconds: Callable[[str], float]) -> None:
    """Each notebook, worker and test that uses it begins with this."""
    assert seconds("torch") < 2.5


@applies(version="tensorflow", flavor="runtime")
@pytest.mark.usefixtures("real_time")
def test_tensorflow_imports_soon(seconds: Callable[[str], float]) -> None:
    """The same for TensorFlow."""
    assert seconds("tensorflow") < 6


@applies(workload="workbench")
@pytest.mark.usefixtures("real_time")
def test_jupyterlab_imports_soon(seconds: Callable[[str], float]) -> None:
    """The larger part of a workbench's start."""
    assert seconds("jupyterlab.labapp") < 1
