"""Scope of a check: `pytestmark = applies(...)` names the images of its module, `exact` those built here alone.

With --derived an image that somebody derived by `FROM slipway:NAME` is checked: `exact` checks are left out.
"""

import pytest

from slipway import matrix
from slipway.errors import SlipwayError
from slipway.images_toml import Accelerator, Flavor, Target, Version
from slipway.matrix import Image

LEFT_OUT = pytest.StashKey[int]()
SERVICE = "/opt/app/"


def applies(
    *,
    accelerator: Accelerator | None = None,
    flavor: Flavor | None = None,
    version: Version | None = None,
    workload: Target | None = None,
) -> pytest.MarkDecorator:
    """Mark a module's checks for the images that meet each condition; without conditions, for every image.

    An image has the flavors and the workloads below it, too: `flavor="runtime"` includes devel. `version` is one that
    images.toml promises. In a list of marks one that fits is enough.
    """
    conditions = {"accelerator": accelerator, "flavor": flavor, "version": version, "workload": workload}
    return pytest.mark.applies(**{name: value for name, value in conditions.items() if value})


def meets(contract: Image, mark: pytest.Mark) -> bool:
    """Tell whether an image meets each condition of a mark."""
    has = {
        "accelerator": (contract.variant.accelerator,),
        "flavor": contract.flavors,
        "version": contract.variant.versions,
        "workload": contract.workload.targets if contract.workload else (),
    }
    return all(value in has[name] for name, value in mark.kwargs.items())


def is_in_scope(contract: Image, item: pytest.Item) -> bool:
    """Tell whether a check is for an image, derived or not; pytest.UsageError for a module without a mark."""
    return is_for(contract, item) and not is_left_out(item)


def is_left_out(item: pytest.Item) -> bool:
    """Tell whether a check can hold only for an image as it is built here, and the image is a derived one."""
    return bool(item.config.getoption("--derived")) and item.get_closest_marker("exact") is not None


def is_for(contract: Image, item: pytest.Item) -> bool:
    """Tell whether a check is for an image; pytest.UsageError for a module without a mark."""
    marks = list(item.iter_markers("applies"))
    if not marks:
        raise pytest.UsageError(f"{item.nodeid}: the module does not say `pytestmark = applies(...)`")
    return any(meets(contract, mark) for mark in marks)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that name the contract and leave out checks."""
    group = parser.getgroup("slipway")
    group.addoption("--contract", required=True, help="the image of images.toml whose contract it must keep")
    group.addoption("--derived", action="store_true", help="leave out the checks that a derived image cannot pass")


def read_contract(config: pytest.Config) -> Image:
    """Return the image of images.toml that --contract names; pytest.UsageError lists the names there are."""
    try:
        return matrix.load_matrix().find_image(config.getoption("--contract"))
    except SlipwayError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.fixture(scope="session")
def contract(pytestconfig: pytest.Config) -> Image:
    """The image in images.toml: versions, budget, lock, flavors."""
    return read_contract(pytestconfig)


@pytest.fixture(scope="session")
def replaceable(pytestconfig: pytest.Config) -> tuple[str, ...]:
    """The folders whose files a later layer may replace: a derived image has a service of its own."""
    return (SERVICE,) if pytestconfig.getoption("--derived") else ()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a check that takes an `architecture` once for each GPU architecture of the contract."""
    if "architecture" in metafunc.fixturenames:
        metafunc.parametrize("architecture", read_contract(metafunc.config).variant.architectures)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the checks that are for other images."""
    contract = read_contract(config)
    selected = [item for item in items if is_in_scope(contract, item)]
    config.stash[LEFT_OUT] = sum(is_for(contract, item) and is_left_out(item) for item in items)
    config.hook.pytest_deselected(items=[item for item in items if item not in selected])
    items[:] = selected


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many checks of the image were left out."""
    if left_out := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(f"derived: {left_out} checks left out, which hold for an image as built here alone")
