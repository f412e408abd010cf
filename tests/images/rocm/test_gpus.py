"""The GPUs that the libraries of ROCm serve: what is inside, what the labels say, what is promised."""

import json

import pytest

from slipway import repository
from slipway.matrix import Image
from slipway.report import gpu_table
from tests.images.helpers.containers import Python
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="rocm", flavor="runtime")

PROBE = (repository.ROOT / "slipway" / "build" / "gpu_probe.py").read_text(encoding="utf-8")
COMPONENTS = {"gpus.rocblas", "gpus.rocrand", "gpus.rccl"}


@pytest.fixture(scope="module")
def found(python: Python) -> dict[str, str]:
    """What the image's own Python reads from its libraries."""
    return dict(json.loads(python(PROBE)))


@pytest.mark.requirement("A15")
def test_gpu_labels_of_rocm_are_what_is_inside(read_labels: dict[str, str], found: dict[str, str]) -> None:
    """One for each library with machine code."""
    labelled = {name.removeprefix("slipway."): value for name, value in read_labels.items()}
    assert {name: value for name, value in labelled.items() if name.startswith("gpus.")} == found


@pytest.mark.requirement("A15")
def test_documentation_of_rocm_has_what_is_inside(
    read_labels: dict[str, str], found: dict[str, str], contract: Image
) -> None:
    """In the table of docs/choosing.md, which `python -m slipway.report.gpu_table` renews."""
    columns = gpu_table.read_columns(gpu_table.DOCUMENT.read_text(encoding="utf-8"), "hip")
    assert columns.get(gpu_table.name_column(read_labels, contract, "hip")) == found


@pytest.mark.requirement("A15")
def test_libraries_of_rocm_serve_the_gpus_of_the_contract(found: dict[str, str], contract: Image) -> None:
    """Each has machine code for them; rocBLAS, which is cut to them, for no other."""
    promised = set(contract.variant.architectures)
    assert found.keys() == COMPONENTS
    assert {name: promised - set(gpus.split()) for name, gpus in found.items()} == {name: set() for name in COMPONENTS}
    assert set(found["gpus.rocblas"].split()) == promised
