"""What every test of Slipway itself needs."""

import signal
from collections.abc import Iterator

import pytest

from slipway import tools
from slipway.tools import Tool
from tests.integration.try_images import try_image as try_image


def pytest_configure() -> None:
    """Take Ctrl-C again: a run that a shell started in the background ignores it, and so would what the tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def scanners() -> Iterator[None]:
    """What needs a Syft or a Trivy is not run where there is none: building one takes longer than any test may."""
    build = tools.build

    def build_what_is_small(tool: Tool) -> None:
        if tool.name in ("syft", "trivy"):
            pytest.skip(f"there is no {tool.name} {tool.version}; nox -s test-slipway builds it")
        build(tool)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tools, "build", build_what_is_small)
        yield
