"""PyTorch for ROCm, in an image that was built with it."""

import json

import pytest

from slipway.build import locks
from tests.helpers.reasons import NO_TORCH_INDEX
from tests.images.helpers.containers import Python
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="rocm", flavor="runtime")

PROGRAM = """
import importlib.util, json
if importlib.util.find_spec("torch") is None:
    print("null")
else:
    import torch
    square = torch.arange(4.0).reshape(2, 2)
    print(json.dumps([torch.version.hip, torch.cuda.is_available(), (square @ square).tolist()]))
"""


@pytest.mark.requirement("T2", "U9", "C10")
def test_torch_is_built_for_rocm_and_computes_on_the_cpu(python: Python) -> None:
    """It is built for the ROCm of its index; without a GPU it says so and goes on."""
    found = json.loads(python(PROGRAM))
    if found is None:
        pytest.skip(NO_TORCH_INDEX)
    version, gpu, product = found
    assert f"rocm{version}".startswith(locks.TORCH_BACKENDS["rocm"])
    assert (gpu, product) == (False, [[2, 3], [6, 11]])
