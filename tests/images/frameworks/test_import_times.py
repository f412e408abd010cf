"""What people wait for before their first line runs: imports, each within its budget."""

from collections.abc import Callable

import pytest

from tests.images.helpers.containers import FIXED_WORK, FIXED_WORK_SECONDS, Python, Run, measure_usual
from tests.images.helpers.scope import applies

# Prints the seconds of an import without those that it waited for a processor. The kernel counts nanoseconds.
IMPORT = """
import time

def waited():
    try:
        return int(open("/proc/self/schedstat").read().split()[1]) / 1e9
    except OSError:
        return 0

before, started = waited(), time.monotonic()
import MODULE
print(time.monotonic() - started - (waited() - before))
"""


ImportsWithin = Callable[[str, float], bool]


@pytest.fixture
def imports_within(python: Python, run: Run, record_property: Callable[[str, object], None]) -> ImportsWithin:
    """Tell whether an import takes less than a number of seconds, as a rule; the evidence has them.

    They are as on the machine that the budgets are for: divided by how slow the processor is at the moment.
    """

    def imports_within(module: str, budget: float) -> bool:
        program = IMPORT.replace("MODULE", module)

        def measure() -> float:
            fixed = float(run("python", "-IS", "-c", FIXED_WORK).require_success().splitlines()[-1])
            return float(python(program).splitlines()[-1]) * FIXED_WORK_SECONDS / fixed

        found = measure_usual(measure, budget)
        record_property("seconds_to_import", round(found, 2))
        return found < budget

    return imports_within


@applies(version="torch", flavor="runtime")
@pytest.mark.usefixtures("real_time")
def test_torch_imports_soon(imports_within: ImportsWithin) -> None:
    """Each notebook, worker and test that uses it begins with this."""
    assert imports_within("torch", 2.5)


@applies(version="tensorflow", flavor="runtime")
@pytest.mark.usefixtures("real_time")
def test_tensorflow_imports_soon(imports_within: ImportsWithin) -> None:
    """The same for TensorFlow."""
    assert imports_within("tensorflow", 6)


@applies(workload="workbench")
@pytest.mark.usefixtures("real_time")
def test_jupyterlab_imports_soon(imports_within: ImportsWithin) -> None:
    """The larger part of a workbench's start."""
    assert imports_within("jupyterlab.labapp", 1)
