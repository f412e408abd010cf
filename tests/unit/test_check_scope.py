"""The scope of a check of images: which images `pytestmark = applies(...)` means."""

import pytest

from slipway import matrix
from tests.images.helpers import scope

pytest_plugins = "pytester"


def meets(name: str, mark: pytest.MarkDecorator) -> bool:
    """Tell whether an image of images.toml meets a mark."""
    return scope.meets(matrix.load_matrix().find_image(name), mark.mark)


def test_a_flavor_has_the_checks_of_the_flavors_below() -> None:
    """What base promises, runtime must keep; what runtime promises, base need not."""
    assert meets("cuda-runtime", scope.applies(flavor="base"))
    assert meets("cuda-runtime", scope.applies(accelerator="cuda", flavor="runtime"))
    assert not meets("cuda-base", scope.applies(accelerator="cuda", flavor="runtime"))
    assert not meets("cpu-runtime", scope.applies(accelerator="cuda", flavor="runtime"))


@pytest.mark.requirement("C1")
def test_a_workload_has_the_checks_of_its_variant_and_of_the_workloads_below() -> None:
    """What a variant promises, every image on it must keep."""
    assert meets("cuda-runtime-desktop-full", scope.applies(accelerator="cuda", flavor="runtime"))
    assert meets("cpu-base-tools", scope.applies(workload="workbench"))
    assert not meets("cuda-runtime-desktop-full", scope.applies(workload="training"))
    assert not meets("cuda-runtime", scope.applies(workload="workbench"))


def test_a_version_means_the_images_that_promise_it() -> None:
    """Debian has no PyTorch for ROCm, so no ROCm image promises one."""
    assert meets("cpu-runtime", scope.applies(version="torch"))
    assert not meets("rocm-runtime", scope.applies(version="torch"))
    assert meets("rocm-runtime", scope.applies())


def test_a_module_without_scope_is_an_error(pytester: pytest.Pytester) -> None:
    """A forgotten mark must not mean that a check runs nowhere, or everywhere."""
    pytester.makeconftest("pytest_plugins = ['tests.images.helpers.scope']")
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
    pytester.makeconftest("pytest_plugins = ['tests.images.helpers.scope']")
    pytester.makepyfile(CHECKS)
    derived = pytester.runpytest("--contract=cpu-base", "--derived")
    derived.assert_outcomes(passed=1, deselected=2)
    derived.stdout.fnmatch_lines(["derived: 2 checks left out*"])
    own = pytester.runpytest("--contract=cpu-base")
    own.assert_outcomes(passed=1, failed=2)
    own.stdout.no_fnmatch_line("derived:*")
