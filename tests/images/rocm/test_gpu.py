"""With a GPU of AMD: its tools show it, and a kernel computes on it."""

import json
from typing import Any

import pytest

from slipway.matrix import Image
from tests.images.conftest import Run, Start
from tests.images.helpers.scope import applies
from tests.images.rocm.test_hip import READY

pytestmark = applies(accelerator="rocm")

# By the service's own calls: HIPRTC compiles for the GPU that is there.
KERNEL = """
from array import array
from app import hip
print(*hip.multiply(array("f", [1, 2, 3, 4]), array("f", [5, 6, 7, 8])))
"""


@pytest.mark.requirement("A12")
def test_rocminfo_lists_the_gpu(run: Run, amd_gpu: dict[str, Any]) -> None:
    """The container's user may open the devices."""
    finished = run("rocminfo", **amd_gpu)
    assert finished.exit_code == 0, finished
    assert "gfx" in finished.output


@pytest.mark.requirement("A12")
def test_kernel_computes_on_the_gpu(run: Run, amd_gpu: dict[str, Any]) -> None:
    """Compiled at run time, loaded and run."""
    finished = run("python", "-c", KERNEL, **amd_gpu)
    assert finished.exit_code == 0, finished
    assert finished.output.split() == ["19.0", "22.0", "43.0", "50.0"]


@pytest.mark.requirement("A12", "T6")
def test_service_is_ready_on_the_gpu(start: Start, amd_gpu: dict[str, Any], contract: Image) -> None:
    """/ready computes on the GPU, also where it is required to."""
    command = [] if contract.mode == "serve" else ["serve"]
    container = start(*command, network_mode="none", environment={"REQUIRE_GPU": "1"}, **amd_gpu)
    code, output = container.exec_run(["python", "-c", READY])
    assert code == 0, output.decode()
    answer = json.loads(output)
    assert (answer["ready"], answer["device"]) == (True, "rocm")
