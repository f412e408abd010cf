"""What all tests share: the requirements that a check proves go into its evidence."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Carry each check's requirements into the JUnit file, where the summary reads them."""
    for item in items:
        for marker in item.iter_markers("requirement"):
            item.user_properties += [("requirement", identifier) for identifier in marker.args]
