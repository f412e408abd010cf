"""A CPU image has nothing that only a GPU could use."""

import re

import pytest

from slipway.image.layers import SavedImage
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="cpu")

LIBRARY = re.compile(
    r".*/lib(?!icudata)([\w-]*cuda[\w-]*|cu(blas|dnn|fft|rand|solver|sparse|pti|file|tensor)\w*|nv(rtc|JitLink|ToolsExt|shmem|idia)[\w-]*"
    r"|nccl|rccl|amdhip64|hsa-runtime64|amd_comgr|hip\w+|roc(blas|fft|rand|solver|sparse|m_\w+))(\.so[\w.]*|\.a)"
)
DISTRIBUTION = re.compile(r".*/((nvidia|cuda|cupy|rocm|hip|triton|jax_cuda)\w*|\w+_gpu)-[^/]+\.dist-info/METADATA")
PACKAGE = re.compile(r"(lib)?(amdhip|hsa-|hsakmt|amd-comgr|roc(m|blas|fft|rand)|hip|nvidia|cuda|cudnn|nccl)[\w.+-]*")


@pytest.mark.requirement("T4", "C4")
@pytest.mark.parametrize("pattern", [LIBRARY, DISTRIBUTION], ids=["library", "distribution"])
def test_no_file_is_of_a_gpu(saved: SavedImage, pattern: re.Pattern[str]) -> None:
    """In any layer: plain `pip install torch` alone brings 2.7 GB of CUDA."""
    entries = [entry for layer in saved.layers for entry in layer.entries if entry.size]
    assert [entry.path for entry in entries if pattern.fullmatch(entry.path)] == []


@pytest.mark.requirement("T4", "C4")
def test_no_debian_package_is_of_a_gpu(packages: dict[str, str]) -> None:
    """PyTorch depends, over three steps, on AMD's GPU runtime of 240 MB."""
    assert "tini" in packages
    assert [name for name in packages if PACKAGE.fullmatch(name)] == []
