"""PyTorch's extension builder with nvcc."""

import pytest
from testinfra.host import Host

from tests.images.workshop import SOURCES
from tests.images.workshop import workshop as workshop

EXTENSION = f"""
import torch
from torch.utils.cpp_extension import load
load("slipway", ["{SOURCES}/extension.cu"], is_python_module=False, build_directory="/tmp")
print(torch.ops.slipway.launch())
"""
CUDA_ERROR_INSUFFICIENT_DRIVER = 35
CUDA_ERROR_NO_DEVICE = 100


@pytest.mark.requirement("A2", "C1", "C10")
def test_torch_cuda_extension_builds(workshop: Host) -> None:
    """It finds nvcc and CUDA's headers; the kernel is called and CUDA answers that there is no GPU."""
    code = workshop.check_output("TORCH_CUDA_ARCH_LIST=9.0 python -c %s", EXTENSION)
    assert int(code) in (CUDA_ERROR_INSUFFICIENT_DRIVER, CUDA_ERROR_NO_DEVICE)
