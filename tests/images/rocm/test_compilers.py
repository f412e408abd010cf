"""Everything that compiles is in devel and in no other flavor."""

import pytest

from slipway.image.layers import SavedImage
from slipway.matrix import Image
from tests.images import compilers

PARTS = compilers.PARTS | {
    "hipcc": r"/usr/bin/hip(cc|config)(\.pl)?",
    "LLVM's programs": r"/usr/(bin/[\w+-]+-17|lib/llvm-17/bin/.+)",
    "ROCm headers": r"/usr/include/(hip|hipcub|hipfft|hiprand|hsa|rccl|rocblas|rocprim|thrust)/.+",
    "device libraries": r".*/amdgcn/bitcode/.+\.bc",
}


@pytest.mark.requirement("A2", "C6")
@pytest.mark.parametrize("part", PARTS)
def test_what_compiles_is_in_devel_only(saved: SavedImage, contract: Image, part: str) -> None:
    """Whoever wants a compiler chooses devel; nobody else carries it, not even in a lower layer."""
    found = compilers.found(saved, PARTS[part])
    assert bool(found) == (contract.flavor == "devel"), found[:10] or "nothing found"
