"""Skips integration tests that cannot run on this machine, and lists them with the reason."""

from collections.abc import Iterator

import pytest

from slipway import tools
from slipway.tools import Tool
from tests.integration.try_images import try_image as try_image

pytest_plugins = ["tests.helpers.not_run"]


@pytest.fixture(scope="session", autouse=True)
def scanners() -> Iterator[None]:
    """Skip tests that need a missing large tool: building one takes longer than a test's time limit."""
    build = tools.build_program

    def build_what_is_small(tool: Tool) -> None:
        if tool.name in ("buildkitd", "syft", "trivy"):
            pytest.skip(f"there is no {tool.name} {tool.version}; nox -s integration builds it")
        build(tool)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tools, "build_program", build_what_is_small)
        yield
