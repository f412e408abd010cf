"""PyTorch for the CPU."""

import json

import pytest
from docker.models.containers import Container

from slipway.matrix import Image
from tests.images.helpers.containers import Python, Run, inside
from tests.images.helpers.online import would_install
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="cpu", flavor="runtime")

BUILD = "import json, torch; print(json.dumps([torch.version.cuda, torch.version.hip]))"
LOADER = """
import torch
from torch.utils.data import DataLoader, TensorDataset
torch.multiprocessing.set_sharing_strategy("file_system")
data = TensorDataset(torch.arange(100))
print(sum(int(numbers.sum()) for (numbers,) in DataLoader(data, batch_size=10, num_workers=2)))
"""
FRAMEWORKS = """
import json, os, platform
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow, torch
square = [[0.0, 1.0], [2.0, 3.0]]
products = [tensorflow.matmul(square, square).numpy().tolist(), (torch.tensor(square) @ torch.tensor(square)).tolist()]
print(json.dumps([platform.python_version(), *products]))
"""
OF_A_GPU = ("nvidia", "cuda", "triton", "rocm", "pytorch-triton")


@pytest.mark.requirement("V1")
def test_python_of_the_contract_computes_with_both_frameworks(python: Python, contract: Image) -> None:
    """PyTorch and TensorFlow for the CPU, under the Python that the variant is made for."""
    version, *products = json.loads(python(FRAMEWORKS).splitlines()[-1])
    assert version.startswith(f"{contract.variant.versions['python']}.")
    assert products == [[[2, 3], [6, 11]]] * 2


@pytest.mark.requirement("T4")
def test_torch_is_built_for_no_gpu(python: Python) -> None:
    """PyTorch's own build information says so."""
    assert json.loads(python(BUILD)) == [None, None]


@pytest.mark.requirement("T4", "U2")
def test_installing_torchmetrics_brings_no_other_torch(run: Run, contract: Image) -> None:
    """uv finds the installed PyTorch; otherwise it would get one from PyPI, with CUDA."""
    new = would_install(run, contract, "torchmetrics", f"torch=={contract.variant.versions['torch']}")
    assert "torchmetrics" in new
    assert [name for name in new if name == "torch" or name.startswith(OF_A_GPU)] == []


def test_data_loader_workers_share_memory(run: Run) -> None:
    """Worker processes pass tensors by shared memory, which torch_shm_manager manages."""
    output = run("python", "-c", LOADER).require_success()
    assert output.split()[-1] == str(sum(range(100)))


@pytest.mark.requirement("T4", "C4")
def test_stand_in_for_the_gpu_runtime_is_empty(idle: Container) -> None:
    """The package that satisfies Debian's dependency on AMD's runtime has its license only."""
    script = 'for path in $(dpkg-query --listfiles no-amd-gpu-runtime); do [ ! -f "$path" ] || echo "$path"; done'
    assert inside(idle, "sh", "-c", script) == "/usr/share/doc/no-amd-gpu-runtime/copyright"
