"""What every test of Slipway itself needs."""

import signal
from collections.abc import Iterator

import pytest

from slipway import tools
from slipway.tools import Tool
from tests.slipway.try_images import try_image as try_image


def pytest_configure() -> None:
    """Take Ctrl-C again: a run that a shell started in the background ignores it, and so would what the tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run say that it may take as long as the scanners take to build."""
    parser.addoption(
        "--build-tools", action="store_true", help="build Syft and Trivy where they are missing: 10 minutes"
    )


@pytest.fixture(scope="session", autouse=True)
def scanners(request: pytest.FixtureRequest) -> Iterator[None]:
    """Without --build-tools, what needs a Syft or a Trivy that nobody has built is not run."""
    build = tools.build

    def build_if_wanted(tool: Tool) -> None:
        if tool.name in ("syft", "trivy", "trivydb") and not request.config.getoption("--build-tools"):
            pytest.skip(f"{tool.name} is not built here: nox -s test-slipway -- -- --build-tools")
        build(tool)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tools, "build", build_if_wanted)
        yield
