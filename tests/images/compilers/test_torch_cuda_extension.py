"""PyTorch extensions with CUDA code."""

import pytest
from testinfra.host import Host

from tests.images.helpers.build_sources import SOURCES
from tests.images.helpers.cuda_libraries import NO_GPU_ERRORS
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="cuda", flavor="devel")

EXTENSION = f"""
import torch
from torch.utils.cpp_extension import load
load("slipway", ["{SOURCES}/cuda/extension.cu"], is_python_module=False, build_directory="/tmp")
print(torch.ops.slipway.launch())
"""


@pytest.mark.requirement("A2", "C1", "C10")
def test_torch_cuda_extension_builds(builder: Host) -> None:
    """PyTorch's builder finds nvcc and CUDA's headers; the kernel is called, and CUDA reports that there is no GPU."""
    code = builder.check_output("TORCH_CUDA_ARCH_LIST=9.0 python -c %s", EXTENSION)
    assert int(code) in NO_GPU_ERRORS
