"""The least driver and the GPUs that an image serves: what is inside, what the labels say, what is promised."""

import json
import re

import pytest

from slipway import repository
from slipway.matrix import Image
from slipway.report import gpu_table
from tests.images.helpers.containers import Python
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="cuda")

PROBE = (repository.ROOT / "slipway" / "build" / "gpu_probe.py").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def found(python: Python) -> dict[str, str]:
    """What the image's own Python reads from its libraries and its environment."""
    return dict(json.loads(python(PROBE)))


@pytest.mark.requirement("A15")
def test_gpu_labels_are_what_is_inside(read_labels: dict[str, str], found: dict[str, str]) -> None:
    """A label for the driver, and for each component with GPU code one that names its GPUs."""
    labelled = {name.removeprefix("slipway."): value for name, value in read_labels.items()}
    assert {name: value for name, value in labelled.items() if re.fullmatch(r"driver|gpus\..+", name)} == found


@pytest.mark.requirement("A15")
def test_documentation_has_what_is_inside(found: dict[str, str], contract: Image) -> None:
    """In the table of docs/choosing.md, which `python -m slipway.report.gpu_table` renews."""
    columns = gpu_table.read_columns(gpu_table.DOCUMENT.read_text(encoding="utf-8"), "cuda")
    documented = columns.get(contract.variant.versions["cuda"], {})
    assert {name: documented.get(name) for name in found} == found


@pytest.mark.requirement("A15")
def test_libraries_serve_the_gpus_of_the_contract(found: dict[str, str], contract: Image) -> None:
    """CUDA's libraries and PyTorch have machine code for each GPU that nvcc compiles for."""
    promised = {re.sub(r"sm_(\d+)(\d)", r"\1.\2", name) for name in contract.variant.architectures}
    assert promised
    components = ["cuda", "cudnn", *(["torch"] if "runtime" in contract.flavors else [])]
    missing = {name: promised - set(found[f"gpus.{name}"].removesuffix("+PTX").split()) for name in components}
    assert {name: gpus for name, gpus in missing.items() if gpus} == {}


@pytest.mark.requirement("A15", "U5")
def test_driver_is_the_oldest_that_serves(found: dict[str, str], environment: dict[str, str], contract: Image) -> None:
    """Any version of a CUDA runs on the driver of its first: a container is refused by no driver that serves it."""
    major = contract.variant.versions["cuda"].partition(".")[0]
    assert environment["NVIDIA_REQUIRE_CUDA"] == f"cuda>={major}.0"
    assert re.fullmatch(r"\d+\.\d+\.\d+", found["driver"])
