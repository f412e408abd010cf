"""PyTorch for CUDA: its version, the libraries that it loads, Triton, and computing on a GPU."""

import json
from typing import Any

import pytest

from slipway.matrix import Image
from tests.images.helpers.containers import STRICT, VOLUMES, Python, Run
from tests.images.helpers.cuda_libraries import NVIDIA, dotted, locked
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="cuda", flavor="runtime")

TORCH = """
import json, os, re, torch
libraries = {line.split()[-1] for line in open("/proc/self/maps") if re.search(r"/lib(cu|nv|nccl)[^/]*[.]so", line)}
in_cuda = {os.path.realpath(f"/usr/local/cuda/lib/{name}") for name in os.listdir("/usr/local/cuda/lib")}
print(json.dumps({
    "cuda": torch.version.cuda,
    "cudnn": torch.backends.cudnn.version(),
    "nccl": ".".join(map(str, torch.cuda.nccl.version())),
    "libraries": sorted(libraries),
    "in_cuda": sorted(libraries & in_cuda),
}))
"""
# Triton reads a kernel's source, so it must be a file.
TRITON = """
import triton, triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

@triton.jit
def twice(x, size: tl.constexpr):
    place = x + tl.arange(0, size)
    tl.store(place, tl.load(place) * 2)

source = ASTSource(fn=twice, signature={"x": "*fp32", "size": "constexpr"}, constexprs={"size": 128})
compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32))
assert compiled.asm["cubin"].startswith(b"\\x7fELF")
print(compiled.asm["ptx"])
"""
ON_GPU = """
import torch
assert torch.cuda.is_available()
a = torch.arange(64 * 64).reshape(64, 64) % 7
b = torch.eye(64) * 2
product = a.float().cuda() @ b.cuda()
assert (product.cpu() == a * 2).all()
image = torch.ones(1, 1, 8, 8, device="cuda")
assert (torch.nn.functional.conv2d(image, torch.ones(1, 1, 3, 3, device="cuda")) == 9).all()
print("computed")
"""
NCCL = """
import torch, torch.distributed as distributed
distributed.init_process_group("nccl", init_method="tcp://127.0.0.1:29500", rank=0, world_size=1)
numbers = torch.ones(4, device="cuda:0")
distributed.all_reduce(numbers)
torch.cuda.synchronize()
assert numbers.tolist() == [1, 1, 1, 1]
distributed.destroy_process_group()
print("reduced")
"""


@pytest.fixture(scope="module")
def torch(python: Python) -> dict[str, Any]:
    """PyTorch's versions of CUDA's libraries, and the libraries that its import has mapped."""
    return dict(json.loads(python(TORCH)))


@pytest.mark.requirement("V2", "T2")
def test_torch_is_built_for_the_cuda_version(torch: dict[str, Any], contract: Image) -> None:
    """Its kernels were compiled by the CUDA of the contract."""
    assert torch["cuda"] == contract.variant.versions["cuda"]


@pytest.mark.requirement("A3", "V2")
def test_torch_uses_the_one_cudnn(torch: dict[str, Any], contract: Image) -> None:
    """The cuDNN that PyTorch has loaded is the contract's."""
    assert dotted(str(torch["cudnn"])) == contract.variant.versions["cudnn"]


@pytest.mark.requirement("U9")
def test_torch_uses_the_one_nccl(torch: dict[str, Any], contract: Image) -> None:
    """The NCCL that PyTorch has loaded is the lock's."""
    assert torch["nccl"] == locked(contract, "nvidia-nccl")


@pytest.mark.requirement("A7", "U2")
def test_torch_loads_nvidia_s_wheels(torch: dict[str, Any]) -> None:
    """Every CUDA library of its process is a file of NVIDIA's wheels."""
    assert torch["libraries"]
    assert [path for path in torch["libraries"] if not NVIDIA.match(path)] == []


@pytest.mark.requirement("A7", "U2")
@pytest.mark.parametrize("name", ["libcudart", "libcublas", "libcublasLt", "libcufft", "libcusparse", "libnvrtc"])
def test_torch_loads_what_usr_local_cuda_has(torch: dict[str, Any], name: str) -> None:
    """C++ code that uses CUDA in a PyTorch process gets the same library."""
    assert [path for path in torch["in_cuda"] if f"/{name}.so" in path]


@pytest.mark.requirement("C10", "V2", "N12")
def test_triton_compiles_a_kernel(run: Run) -> None:
    """torch.compile writes such kernels; Triton has its own assembler, and needs neither nvcc nor a GPU.

    Hardened, without a home to write to: foundation-model-stack/fms-hf-tuning#367, dphnAI/sonar#458.
    """
    script = 'printf %s "$KERNEL" >/tmp/kernel.py && exec python /tmp/kernel.py'
    options = STRICT | {"tmpfs": {"/tmp": ""}, "mounts": VOLUMES, "environment": {"KERNEL": TRITON}}
    output = run("sh", "-c", script, **options).require_success()
    assert ".target sm_90" in output


@pytest.mark.requirement("A12", "U9")
def test_torch_computes_on_the_gpu(run: Run, gpu: dict[str, Any]) -> None:
    """A matrix product by cuBLAS and a convolution by cuDNN."""
    output = run("python", "-c", ON_GPU, **gpu).require_success()
    assert "computed" in output


@pytest.mark.requirement("A12", "U9")
def test_nccl_reduces_on_one_gpu(run: Run, gpu: dict[str, Any]) -> None:
    """One GPU is enough to load, start and call NCCL."""
    output = run("python", "-c", NCCL, **gpu, shm_size="1g").require_success()
    assert "reduced" in output
