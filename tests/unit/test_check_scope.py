"""The scope of a check of images: which images `pytestmark = applies(...)` means."""

import pytest

from slipway import matrix
from tests.images.helpers import scope

pytest_plugins = "pytester"

CONFTEST = "pytest_plugins = ['tests.images.helpers.scope']"


@pytest.mark.requirement("C1")
@pytest.mark.parametrize(
    ("mark", "having", "lacking"),
    [
        # What a flavor promises, those above must keep.
        (scope.applies(flavor="base"), ["cuda-base", "cuda-runtime"], []),
        (scope.applies(accelerator="cuda", flavor="runtime"), ["cuda-runtime"], ["cuda-base", "cpu-runtime"]),
        # What a variant or a workload promises, every image on it must keep.
        (scope.applies(accelerator="cuda", flavor="runtime"), ["cuda-runtime-desktop-full"], ["cpu-base-tools"]),
        (scope.applies(workload="workbench"), ["cpu-base-tools"], ["cuda-runtime"]),
        (scope.applies(workload="training"), [], ["cuda-runtime-desktop-full"]),
        # Debian has no PyTorch for ROCm, so no ROCm image promises one.
        (scope.applies(version="torch"), ["cpu-runtime"], ["rocm-runtime"]),
        (scope.applies(), ["rocm-runtime"], []),
    ],
)
def test_an_image_has_the_checks_of_all_that_it_is_built_on(
    mark: pytest.MarkDecorator, having: list[str], lacking: list[str]
) -> None:
    find_image = matrix.load_matrix().find_image
    assert [name for name in having + lacking if scope.meets(find_image(name), mark.mark)] == having


def test_a_module_without_scope_is_an_error(pytester: pytest.Pytester) -> None:
    """A forgotten mark must not mean that a check runs nowhere, or everywhere."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("def test_nothing(): pass")
    result = pytester.runpytest("--contract=cpu-base")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*pytestmark = applies*"])


CHECKS = """
import pytest
from tests.images.helpers.scope import applies
pytestmark = applies()

def test_contract():
    pass

@pytest.mark.exact
@pytest.mark.parametrize("number", [1, 2])
def test_lock(number):
    assert False
"""


@pytest.mark.requirement("C1")
def test_a_derived_image_has_the_checks_that_it_can_pass(pytester: pytest.Pytester) -> None:
    """The others are left out and counted; without --derived they run."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(CHECKS)
    derived = pytester.runpytest("--contract=cpu-base", "--derived")
    derived.assert_outcomes(passed=1, deselected=2)
    derived.stdout.fnmatch_lines(["derived: 2 checks left out*"])
    own = pytester.runpytest("--contract=cpu-base")
    own.assert_outcomes(passed=1, failed=2)
    own.stdout.no_fnmatch_line("derived:*")
