"""PyTorch without a GPU."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from slipway.matrix import Image
from tests.images.conftest import Run
from tests.images.helpers.scope import applies

pytestmark = applies(version="torch", flavor="runtime")

PROGRAM = """
import json, torch
square = torch.arange(9.0).reshape(3, 3)
print(json.dumps({
    "version": torch.__version__,
    "gpu": torch.cuda.is_available(),
    "product": (square @ square).tolist(),
    "gradient": torch.autograd.functional.jacobian(lambda x: (x ** 2).sum(), square[0]).tolist(),
}))
"""


@pytest.fixture(scope="module")
def torch(python: Callable[[str], str]) -> dict[str, Any]:
    """What PyTorch says of itself, and what it computes."""
    return dict(json.loads(python(PROGRAM)))


@pytest.mark.requirement("T2", "V2", "V1")
def test_torch_has_the_version_of_the_contract(torch: dict[str, Any], contract: Image) -> None:
    """A build for one accelerator adds +cpu or +cu130 to the number, and Debian +debian."""
    assert torch["version"].partition("+")[0] == contract.variant.versions["torch"]


@pytest.mark.requirement("U9", "C10", "A7")
def test_torch_computes_on_the_cpu(torch: dict[str, Any]) -> None:
    """A matrix product and a gradient, by its linear algebra library and its own kernels."""
    assert torch["product"] == [[15, 18, 21], [42, 54, 66], [69, 90, 111]]
    assert torch["gradient"] == [0, 2, 4]


@pytest.mark.requirement("U9", "U10", "T12", "C10")
def test_torch_works_for_any_user_on_a_read_only_root(run: Run) -> None:
    """OpenShift gives a container a UID of its choice and GID 0; without a GPU torch says so and goes on."""
    options = {
        "user": "123456:0",
        "read_only": True,
        "tmpfs": {"/tmp": ""},  # dill, which PyTorch imports where it is, looks for a folder to write in
        "cap_drop": ["ALL"],
        "environment": {"NVIDIA_VISIBLE_DEVICES": "void"},
    }
    finished = run("python", "-c", PROGRAM, **options)
    assert finished.exit_code == 0, finished
    assert json.loads(finished.output)["gpu"] is False
