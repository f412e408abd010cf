"""PyTorch on top of any CUDA flavor uses the CUDA libraries that are there."""

import pytest

from slipway.matrix import Image
from tests.images.helpers.containers import Run
from tests.images.helpers.distributions import read_pins
from tests.images.helpers.online import would_install
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="cuda")


@pytest.mark.requirement("A7", "U2")
def test_installing_torch_brings_no_cuda_library_again(run: Run, contract: Image) -> None:
    """A base image with torch in it must not hold cuBLAS or cuDNN twice; in runtime nothing is left to install."""
    images = contract.variant.images
    torch = f"torch=={contract.variant.versions['torch']}"
    new = would_install(run, images["runtime"], torch)
    assert new & read_pins(*contract.variant_locks).keys() == set()
    assert ("torch" in new) == (contract.flavor == "base")
