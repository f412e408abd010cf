"""Variables that the NVIDIA container runtime reads, and CUDA without a GPU."""

import pytest

from slipway.matrix import Image
from tests.images.helpers.containers import WITHOUT_GPU, Run
from tests.images.helpers.cuda_libraries import NO_GPU_ERRORS, soname
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="cuda")

CODE = """
import ctypes
count = ctypes.c_int()
print(ctypes.CDLL(CUDART).cudaGetDeviceCount(ctypes.byref(count)))
"""


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
    """CUDA reports an error and does not end the program, which can then do without a GPU."""
    program = f"CUDART = {soname(contract, 'libcudart')!r}\n{CODE}"
    output = run("python", "-c", program, environment=WITHOUT_GPU).require_success()
    assert int(output) in NO_GPU_ERRORS
