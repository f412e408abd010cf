"""PyTorch extensions in C++."""

import pytest
from testinfra.host import Host

from tests.images.workshop import SOURCES
from tests.images.workshop import workshop as workshop

EXTENSION = f"""
import torch
from torch.utils.cpp_extension import load
load("slipway", ["{SOURCES}/extension.cpp"], is_python_module=False, build_directory="/tmp")
print(torch.ops.slipway.twice(21))
"""


@pytest.mark.requirement("A2", "C1")
def test_torch_extension_builds(workshop: Host) -> None:
    """PyTorch's own builder finds its headers, the compiler and Ninja; PyTorch loads and calls the result."""
    assert workshop.check_output("python -c %s", EXTENSION) == "42"
