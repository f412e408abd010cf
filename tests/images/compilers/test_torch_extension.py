"""PyTorch extensions and programs in C++."""

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


@pytest.mark.timeout(240)
def test_cmake_builds_a_program_with_torch(builder: Host) -> None:
    """find_package(Torch) needs no option, not even the path that PyTorch's documentation gives it."""
    builder.check_output("cmake -G Ninja -S %s -B /tmp/torch", TORCH)
    builder.check_output("cmake --build /tmp/torch")
    assert builder.check_output("/tmp/torch/sum") == "6"
