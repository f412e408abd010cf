"""What people wait for before their first line runs: imports, each within its budget."""

from collections.abc import Callable

import pytest

from tests.images.helpers.containers import Python, measure_usual
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


ImportsWithin = Callable[[str, float], bool]


@pytest.fixture
def imports_within(python: Python, record_property: Callable[[str, object], None]) -> ImportsWithin:
    """Tell whether the import of a module takes less than a number of seconds, as a rule; the evidence has them."""

    def imports_within(module: str, budget: float) -> bool:
        program = IMPORT.replace("MODULE", module)
        found = measure_usual(lambda: float(python(program).splitlines()[-1]), budget)
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
