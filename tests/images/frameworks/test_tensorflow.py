"""TensorFlow beside PyTorch, in one process and with the same libraries."""

import json
from collections import defaultdict
from pathlib import PurePosixPath
from typing import Any

import pytest

from slipway.matrix import Image
from tests.images.helpers.containers import Python
from tests.images.helpers.scope import applies

pytestmark = applies(version="tensorflow", flavor="runtime")

BOTH = """
import json, os, re
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow, torch
square = [[0.0, 1.0], [2.0, 3.0]]
print(json.dumps({
    "tensorflow": tensorflow.__version__,
    "build": {name: str(value) for name, value in tensorflow.sysconfig.get_build_info().items()},
    "gpus": len(tensorflow.config.list_physical_devices("GPU")),
    "by_tensorflow": tensorflow.matmul(square, square).numpy().tolist(),
    "by_torch": (torch.tensor(square) @ torch.tensor(square)).tolist(),
    "libraries": sorted({line.split()[-1] for line in open("/proc/self/maps") if re.search(r"/lib[^/]+[.]so", line)}),
}))
"""
CUDA = ("cuda", "cudnn")


@pytest.fixture(scope="module")
def both(python: Python) -> dict[str, Any]:
    """Versions and results of TensorFlow and PyTorch in one process, and the libraries that it has mapped."""
    return dict(json.loads(python(BOTH)))


@pytest.mark.requirement("A7")
def test_tensorflow_and_torch_compute_in_one_process(both: dict[str, Any]) -> None:
    """Two copies of a library that both use would collide here."""
    assert both["by_tensorflow"] == both["by_torch"] == [[2, 3], [6, 11]]


@pytest.mark.requirement("A7", "C10")
def test_tensorflow_without_a_gpu_goes_on(both: dict[str, Any]) -> None:
    """It lists no GPU; the matrix product above is computed on the CPU."""
    assert both["gpus"] == 0


@pytest.mark.requirement("T2")
def test_tensorflow_has_the_version_of_the_contract(both: dict[str, Any], contract: Image) -> None:
    """TensorFlow tells it itself."""
    assert both["tensorflow"] == contract.variant.versions["tensorflow"]


@pytest.mark.requirement("A7", "T4")
@pytest.mark.parametrize("name", CUDA)
def test_tensorflow_is_built_for_the_cuda_that_is_there(both: dict[str, Any], contract: Image, name: str) -> None:
    """It opens CUDA's libraries by their major version: PyTorch's in a CUDA image, none in a CPU image."""
    promised = contract.variant.versions.get(name, "")
    assert both["build"].get(f"{name}_version", "").partition(".")[0] == promised.partition(".")[0]


@pytest.mark.requirement("A7", "U2")
def test_no_library_is_loaded_from_two_places(both: dict[str, Any]) -> None:
    """Two files of one library would each have their own state. Python's extension modules do not count."""
    places = defaultdict(list)
    for path in (path for path in both["libraries"] if ".cpython-" not in path):
        places[PurePosixPath(path).name.partition(".so")[0]].append(path)
    assert len(places) > 10
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
