"""What the NVIDIA container runtime reads, and what a CUDA image says where there is no GPU."""

import json
from collections.abc import Callable

import pytest
from docker.models.containers import Container

from slipway.matrix import Image
from tests.images.conftest import Run
from tests.images.helpers.cuda_libraries import soname
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="cuda")

# A host whose default runtime is NVIDIA's then hides its GPU.
NO_GPU = {"NVIDIA_VISIBLE_DEVICES": "void"}
CODE = """
import ctypes
count = ctypes.c_int()
print(ctypes.CDLL(CUDART).cudaGetDeviceCount(ctypes.byref(count)))
"""
CUDA_ERROR_INSUFFICIENT_DRIVER = 35
CUDA_ERROR_NO_DEVICE = 100
READY = """
import time, urllib.error, urllib.request
for attempt in range(100):
    try:
        print(urllib.request.urlopen("http://127.0.0.1:8000/ready").read().decode())
        break
    except urllib.error.HTTPError as error:
        print(error.read().decode())
        break
    except OSError:
        time.sleep(0.1)
"""


@pytest.mark.requirement("U5", "T2", "V2")
def test_driver_floor_is_the_cuda_version(environment: dict[str, str], contract: Image) -> None:
    """The runtime refuses a driver that is too old for this CUDA before the container starts."""
    assert environment["NVIDIA_REQUIRE_CUDA"] == f"cuda>={contract.variant.versions['cuda']}"


@pytest.mark.requirement("U5")
def test_every_gpu_is_visible(environment: dict[str, str]) -> None:
    """`docker run` may narrow it; unset, some runtimes show none."""
    assert environment["NVIDIA_VISIBLE_DEVICES"] == "all"


@pytest.mark.requirement("U5")
def test_driver_capabilities_are_those_needed(environment: dict[str, str], contract: Image) -> None:
    """Without `compute` there is no libcuda, without `utility` no nvidia-smi; only a desktop needs more."""
    desktop = contract.workload is not None and "desktop" in contract.workload.targets
    needed = {"compute", "utility"} | ({"graphics", "display", "video"} if desktop else set())
    assert set(environment["NVIDIA_DRIVER_CAPABILITIES"].split(",")) == needed


@pytest.mark.requirement("C10")
def test_cuda_without_a_gpu_is_an_error_code(run: Run, contract: Image) -> None:
    """A program can go on without a GPU because CUDA tells it so and does not end it."""
    program = f"CUDART = {soname(contract, 'libcudart')!r}\n{CODE}"
    finished = run("python", "-c", program, environment=NO_GPU)
    assert finished.exit_code == 0, finished
    assert int(finished.output) in (CUDA_ERROR_INSUFFICIENT_DRIVER, CUDA_ERROR_NO_DEVICE)


@pytest.mark.requirement("C10")
def test_service_without_a_gpu_computes_on_the_cpu_and_says_why(start: Callable[..., Container]) -> None:
    """/ready is 200 and names the reason, so that a slow service is no riddle."""
    container = start("serve", network_mode="none", environment=NO_GPU)
    _, output = container.exec_run(["python", "-c", READY])
    answer = json.loads(output)
    assert (answer["ready"], answer["device"]) == (True, "cpu")
    assert "NVIDIA" in answer["reason"]
