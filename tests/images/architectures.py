"""Checks that are made for each GPU architecture of the contract."""

import pytest

from slipway import matrix


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a check that asks for an `architecture` once for each; a test module imports this name."""
    if "architecture" in metafunc.fixturenames:
        contract = matrix.load_matrix().find_image(metafunc.config.getoption("--contract"))
        metafunc.parametrize("architecture", contract.variant.architectures)
