"""PyTorch for the CPU."""

import json
from collections.abc import Callable

import pytest
from testinfra.host import Host

from slipway.matrix import Image
from tests.images.conftest import Run
from tests.images.helpers.scope import applies
from tests.images.helpers.uv_dry_run import would_install

pytestmark = applies(accelerator="cpu", flavor="runtime")

BUILD = "import json, torch; print(json.dumps([torch.version.cuda, torch.version.hip]))"
LOADER = """
import torch
from torch.utils.data import DataLoader, TensorDataset
torch.multiprocessing.set_sharing_strategy("file_system")
data = TensorDataset(torch.arange(100))
print(sum(int(numbers.sum()) for (numbers,) in DataLoader(data, batch_size=10, num_workers=2)))
"""
OF_A_GPU = ("nvidia", "cuda", "triton", "rocm", "pytorch-triton")


@pytest.mark.requirement("T4", "V1")
def test_torch_is_built_for_no_gpu(python: Callable[[str], str]) -> None:
    """PyTorch's own build information says so."""
    assert json.loads(python(BUILD)) == [None, None]


@pytest.mark.requirement("T4", "U2")
def test_installing_torchmetrics_brings_no_other_torch(run: Run, contract: Image) -> None:
    """uv sees the PyTorch that is there; one that it does not see it fetches from PyPI, with CUDA."""
    new = would_install(run, contract, "torchmetrics", f"torch=={contract.variant.versions['torch']}")
    assert "torchmetrics" in new
    assert [name for name in new if name == "torch" or name.startswith(OF_A_GPU)] == []


@pytest.mark.requirement("V1")
def test_data_loader_workers_share_memory(run: Run) -> None:
    """Worker processes hand tensors over by shared memory, which torch_shm_manager looks after."""
    finished = run("python", "-c", LOADER)
    assert finished.exit_code == 0, finished
    assert finished.output.split()[-1] == str(sum(range(100)))


@pytest.mark.requirement("T4", "C4")
def test_stand_in_for_the_gpu_runtime_is_empty(host: Host, run: Run) -> None:
    """What satisfies Debian's dependency on AMD's runtime holds its licence alone, and apt is content with it."""
    listed = host.run("dpkg-query --listfiles no-amd-gpu-runtime")
    files = [path for path in listed.stdout.split() if host.file(path).is_file]
    assert files == ["/usr/share/doc/no-amd-gpu-runtime/copyright"]
    finished = run("apt-get", "check", user="0")
    assert finished.exit_code == 0, finished
