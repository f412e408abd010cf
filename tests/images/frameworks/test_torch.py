"""PyTorch without a GPU."""

import json
from typing import Any

import pytest

from slipway.matrix import Image
from tests.images.helpers.containers import STRICT, VOLUMES, WITHOUT_GPU, Python, Run
from tests.images.helpers.programs import SHORTEST
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
# Prints the seconds of a product of matrices by PyTorch and by NumPy.
SPEED = f"""
import json, os
os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
import numpy, torch
{SHORTEST}
a = numpy.random.default_rng(0).random((600, 600), numpy.float32)
b = torch.from_numpy(a)
print(json.dumps([shortest(lambda: b @ b), shortest(lambda: a @ a)]))
"""
COMPILED = "import torch; print(round(float(torch.compile(lambda x: x.sin() + x.cos())(torch.ones(8)).sum()), 2))"


@pytest.fixture(scope="module")
def torch(python: Python) -> dict[str, Any]:
    """PyTorch's version and results."""
    return dict(json.loads(python(PROGRAM)))


@pytest.mark.requirement("T2", "V2")
def test_torch_has_the_version_of_the_contract(torch: dict[str, Any], contract: Image) -> None:
    """A build for one accelerator adds +cpu or +cu130 to the version, and Debian +debian."""
    assert torch["version"].partition("+")[0] == contract.variant.versions["torch"]


@pytest.mark.requirement("U9", "C10", "A7")
def test_torch_computes_on_the_cpu(torch: dict[str, Any]) -> None:
    """A matrix product by its linear algebra library, and a gradient by its own kernels."""
    assert torch["product"] == [[15, 18, 21], [42, 54, 66], [69, 90, 111]]
    assert torch["gradient"] == [0, 2, 4]


@pytest.mark.requirement("A7")
def test_torch_multiplies_as_fast_as_numpy(python: Python) -> None:
    """By a fast BLAS: Debian's reference, which also satisfies its package, takes ten times as long."""
    by_torch, by_numpy = json.loads(python(SPEED))
    assert by_torch < 5 * by_numpy, (by_torch, by_numpy)


@pytest.mark.requirement("U9", "U10", "T12", "C10")
def test_torch_works_for_any_user_on_a_read_only_root(run: Run) -> None:
    """OpenShift chooses the UID of a container; without a GPU torch says so and goes on."""
    # PyTorch imports dill where it is installed, and dill needs a folder to write to.
    options = STRICT | {"tmpfs": {"/tmp": ""}, "environment": WITHOUT_GPU}
    output = run("python", "-c", PROGRAM, **options).require_success()
    assert json.loads(output.splitlines()[-1])["gpu"] is False


@pytest.mark.timeout(240)  # a compiler, beside others
@pytest.mark.requirement("N12")
def test_torch_compile_works_in_devel_and_names_it_elsewhere(run: Run, contract: Image) -> None:
    """It needs a C++ compiler, and loads what that made; docker mounts the hardened /tmp noexec.

    Reports: pytorch/pytorch#91005, #123054, #116696.
    """
    options = STRICT | {"tmpfs": {"/tmp": ""}, "mounts": VOLUMES, "environment": WITHOUT_GPU}
    finished = run("python", "-c", COMPILED, **options)
    if contract.flavor == "devel":
        assert "11.05" in finished.require_success().splitlines()
        return
    assert finished.exit_code == 1
    if contract.variant.versions["torch"].startswith("1."):
        assert "module 'torch' has no attribute 'compile'" in finished.output
    else:
        assert "error: g++: this image has no compiler: take the flavor devel" in finished.output
