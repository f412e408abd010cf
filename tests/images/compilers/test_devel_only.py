"""Everything that compiles is in devel and in no other flavor."""

import re

import pytest

from slipway.image.layers import SavedImage
from slipway.matrix import Image
from tests.images.helpers.cuda_libraries import all_files
from tests.images.helpers.scope import applies, read_contract

pytestmark = applies()

HOST = {
    "Python headers": r"/usr/include/python3.*/Python\.h",
    "C library headers": r"/usr/include/(.*/)?(stdio|stdlib)\.h",
    "host compiler": r"(/usr)?/bin/([\w-]+-)?(gcc|g\+\+|cc|c\+\+|cpp|clang)(-\d+)?",
    "linker and assembler": r"(/usr)?/bin/([\w-]+-)?(ld|as|ar)(\.bfd|\.gold)?",
    "make": r"(/usr)?/bin/make",
    "CMake": r".*/bin/cmake",  # not Ninja: deepspeed needs it in other flavors
}
CPU = {
    "PyTorch headers": r"/usr/include/torch/csrc/.*|.*/site-packages/torch/include/torch/csrc/.*",
    "TensorFlow headers": r".*/site-packages/tensorflow/include/tensorflow/core/.*\.h",
}
# Not ptxas of Triton and of TensorFlow (cuda_nvcc), and not Triton's headers: both assemble kernels at run time.
CUDA = {
    "nvcc": r"(?!.*/triton/|.*/cuda_nvcc/bin/ptxas$).*/(nvcc|cicc|ptxas|nvlink|fatbinary|cudafe\+\+)",
    "CUDA headers": r".*/site-packages/nvidia/.*\.(h|hpp|cuh|inl)",
    "CUDA static libraries": r".*/site-packages/nvidia/.*\.a",
    "PyTorch headers": r".*/site-packages/torch/include/.*",
}
ROCM = {
    "hipcc": r"/usr/bin/hip(cc|config)(\.pl)?",
    "LLVM's programs": r"/usr/(bin/[\w+-]+-17|lib/llvm-17/bin/.+)",
    "ROCm headers": r"/usr/include/(hip|hipcub|hipfft|hiprand|hsa|rccl|rocblas|rocprim|thrust)/.+",
    "device libraries": r".*/amdgcn/bitcode/.+\.bc",
}
PARTS = {"cpu": HOST | CPU, "cuda": HOST | CUDA, "rocm": HOST | ROCM}
REQUIREMENTS = {"cpu": ("C6", "C4"), "cuda": ("A2", "U7", "C6"), "rocm": ("A2", "C6")}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a check of each part that a devel flavor of the contract's accelerator has."""
    accelerator = read_contract(metafunc.config).variant.accelerator
    proves = pytest.mark.requirement(*REQUIREMENTS[accelerator])
    parts = [pytest.param(pattern, id=part, marks=proves) for part, pattern in PARTS[accelerator].items()]
    metafunc.parametrize("pattern", parts)


def test_what_compiles_is_in_devel_only(saved: SavedImage, contract: Image, pattern: str) -> None:
    """Other flavors do not have it in any layer: a deleted compiler is still downloaded."""
    found = [path for path in all_files(saved) if re.fullmatch(pattern, path)]
    assert bool(found) == (contract.flavor == "devel"), found[:10] or "nothing found"
