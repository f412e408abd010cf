"""PyTorch extensions in C++."""

import pytest
from testinfra.host import Host

from tests.images.helpers.build_sources import SOURCES
from tests.images.helpers.scope import applies

pytestmark = applies(version="torch", flavor="devel")

TORCH = f"{SOURCES}/torch"

EXTENSION = f"""
import torch
from torch.utils.cpp_extension import load
load("slipway", ["{TORCH}/extension.cpp"], is_python_module=False, build_directory="/tmp")
print(torch.ops.slipway.twice(21))
"""


@pytest.mark.requirement("A2", "C1")
def test_torch_extension_builds(builder: Host) -> None:
    """PyTorch's own builder finds its headers, the compiler and Ninja; PyTorch loads and calls the result."""
    assert builder.check_output("python -c %s", EXTENSION) == "42"
