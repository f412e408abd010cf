"""With a GPU: PyTorch computes on it, and NCCL starts."""

import pytest
from docker.types import DeviceRequest

from tests.images.conftest import Run

TORCH = """
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


@pytest.mark.requirement("A12", "U9")
def test_torch_computes_on_the_gpu(run: Run, gpu: list[DeviceRequest]) -> None:
    """A matrix product by cuBLAS and a convolution by cuDNN."""
    finished = run("python", "-c", TORCH, device_requests=gpu)
    assert finished.exit_code == 0, finished
    assert "computed" in finished.output


@pytest.mark.requirement("A12", "U9")
def test_nccl_reduces_on_one_gpu(run: Run, gpu: list[DeviceRequest]) -> None:
    """One GPU is enough to load NCCL, to start it and to call it."""
    finished = run("python", "-c", NCCL, device_requests=gpu, shm_size="1g")
    assert finished.exit_code == 0, finished
    assert "reduced" in finished.output
