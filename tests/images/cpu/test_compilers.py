"""Everything that compiles is in devel and in no other flavor."""

import pytest

from slipway.image.layers import SavedImage
from slipway.matrix import Image
from tests.images import compilers

PARTS = compilers.PARTS | {
    "PyTorch headers": r"/usr/include/torch/csrc/.*|.*/site-packages/torch/include/torch/csrc/.*",
    "TensorFlow headers": r".*/site-packages/tensorflow/include/tensorflow/core/.*\.h",
}


@pytest.mark.requirement("C6", "C4")
@pytest.mark.parametrize("part", PARTS)
def test_what_compiles_is_in_devel_only(saved: SavedImage, contract: Image, part: str) -> None:
    """Whoever wants a compiler chooses devel; nobody else carries it, not even in a lower layer."""
    found = compilers.found(saved, PARTS[part])
    assert bool(found) == (contract.flavor == "devel"), found[:10] or "nothing found"
