"""PyTorch on top of any CUDA flavor uses the CUDA libraries that are there."""

import re

import pytest

from slipway.matrix import FLAVORS, Image
from tests.images.conftest import Run
from tests.images.resolver import would_install


@pytest.mark.requirement("A7", "U2")
def test_installing_torch_brings_no_cuda_library_again(run: Run, contract: Image) -> None:
    """A base image with torch in it must not hold cuBLAS or cuDNN twice; in runtime nothing is left to install."""
    images = contract.family.images
    torch = f"torch=={contract.family.versions['torch']}"
    new = would_install(run, images["runtime"], torch)
    present = set(re.findall(r"(?m)^([\w.-]+)==", contract.lock_text))
    assert new & present == set()
    assert ("torch" in new) == (contract.flavor == FLAVORS[0])
