"""Everything that compiles is in devel and in no other flavor."""

import pytest

from slipway.image.layers import SavedImage
from slipway.matrix import Image
from tests.images import compilers

# ptxas of Triton and of TensorFlow (cuda_nvcc), and Triton's headers, do not count: these assemble their kernels with
# them while a program runs.
PARTS = compilers.PARTS | {
    "nvcc": r"(?!.*/triton/|.*/cuda_nvcc/bin/ptxas$).*/(nvcc|cicc|ptxas|nvlink|fatbinary|cudafe\+\+)",
    "CUDA headers": r".*/site-packages/nvidia/.*\.(h|hpp|cuh|inl)",
    "CUDA static libraries": r".*/site-packages/nvidia/.*\.a",
    "PyTorch headers": r".*/site-packages/torch/include/.*",
}


@pytest.mark.requirement("A2", "U7", "C6")
@pytest.mark.parametrize("part", PARTS)
def test_what_compiles_is_in_devel_only(saved: SavedImage, contract: Image, part: str) -> None:
    """Whoever wants a compiler chooses devel; nobody else carries it, not even in a lower layer."""
    found = compilers.found(saved, PARTS[part])
    assert bool(found) == (contract.flavor == "devel"), found[:10] or "nothing found"
