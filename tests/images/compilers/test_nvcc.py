"""nvcc compiles and links for every architecture: by itself, from CMake and for PyTorch extensions."""

import re
from pathlib import Path

import pytest
from docker.types import DeviceRequest
from testinfra.host import Host

from slipway.matrix import Image
from tests.images.conftest import Run
from tests.images.helpers.build_sources import SOURCES
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="cuda", flavor="devel")

CUDA = f"{SOURCES}/cuda"

NO_DRIVER = "CUDA driver version is insufficient for CUDA runtime version"
NO_DEVICE = "no CUDA-capable device is detected"
# The second byte of the flags in a cubin's ELF header is the architecture's number.
ARCHITECTURE = """
import struct, sys
header = open("/tmp/twice.cubin", "rb").read(64)
assert header.startswith(b"\\x7fELF")
print(struct.unpack_from("<I", header, 48)[0] >> 8 & 0xFF)
"""


def assert_no_gpu(builder: Host, program: str) -> None:
    """A program built here starts, calls CUDA, and is told by it that there is no GPU."""
    finished = builder.run(program)
    assert finished.rc == 1, finished
    assert finished.stdout.strip() in (NO_DRIVER, NO_DEVICE)


@pytest.mark.requirement("A2", "T2", "V2")
def test_nvcc_has_the_version_of_the_contract(builder: Host, contract: Image) -> None:
    """A newer nvcc than the CUDA runtime builds programs that an older driver refuses."""
    assert f"release {contract.variant.versions['cuda']}," in builder.check_output("nvcc --version")


@pytest.mark.requirement("A2", "U7")
def test_nvcc_compiles_for_the_architecture(builder: Host, architecture: str) -> None:
    """The finished machine code names the GPU that it is for."""
    builder.check_output("nvcc -cubin -arch=%s -o /tmp/twice.cubin %s/twice.cu", architecture, CUDA)
    assert builder.check_output("python -c %s", ARCHITECTURE) == re.sub(r"\D", "", architecture)


@pytest.mark.requirement("A2", "C10")
@pytest.mark.parametrize("cudart", ["shared", "static"])
def test_nvcc_links_a_program(builder: Host, cudart: str) -> None:
    """The linker finds the CUDA runtime in either form; without a GPU the program says why it fails."""
    builder.check_output("nvcc -arch=sm_90 -cudart=%s -o /tmp/twice %s/twice.cu", cudart, CUDA)
    assert ("libcudart.so" in builder.check_output("ldd /tmp/twice")) == (cudart == "shared")
    assert_no_gpu(builder, "/tmp/twice")


@pytest.mark.requirement("A2")
@pytest.mark.timeout(240)
def test_cccl_compiles(builder: Host) -> None:
    """Thrust and CUB, the C++ libraries that most CUDA programs include."""
    builder.check_output("nvcc -cubin -arch=sm_90 -o /tmp/sort.cubin %s/sort.cu", CUDA)


@pytest.fixture(scope="module")
def cmake(builder: Host) -> str:
    """The folder with what CMake has built: a CUDA program, and a C++ program that links CUDA's libraries."""
    builder.check_output("cmake -G Ninja -DCMAKE_CUDA_ARCHITECTURES=90 -S %s -B /tmp/build", CUDA)
    builder.check_output("cmake --build /tmp/build")
    return "/tmp/build"


@pytest.mark.requirement("A2", "C1")
def test_cmake_builds_a_cuda_program(builder: Host, cmake: str) -> None:
    """project(... LANGUAGES CUDA) finds nvcc without being told where it is."""
    assert_no_gpu(builder, f"{cmake}/twice")


@pytest.mark.requirement("A2", "C1")
def test_cmake_links_the_cuda_libraries(builder: Host, cmake: str, contract: Image) -> None:
    """find_package(CUDAToolkit) has targets for headers and libraries of one version."""
    version = contract.variant.versions["cuda"]
    assert builder.check_output(f"{cmake}/versions") == f"{version} {version} 1 1"


SOURCE = Path(__file__).parent / "sources" / "cuda" / "twice.cu"
SCRIPT = 'printf %s "$SOURCE" >/tmp/twice.cu && nvcc -arch=native -o /tmp/twice /tmp/twice.cu && exec /tmp/twice'


@pytest.mark.requirement("A2", "A12")
def test_program_of_nvcc_computes_on_the_gpu(run: Run, gpu: list[DeviceRequest]) -> None:
    """Compiled for the GPU that is there."""
    environment = {"SOURCE": SOURCE.read_text(encoding="utf-8")}
    finished = run("sh", "-c", SCRIPT, environment=environment, device_requests=gpu)
    assert finished.exit_code == 0, finished
    assert finished.output.split() == ["2", "4", "6", "8"]


EXTENSION = f"""
import torch
from torch.utils.cpp_extension import load
load("slipway", ["{CUDA}/extension.cu"], is_python_module=False, build_directory="/tmp")
print(torch.ops.slipway.launch())
"""
CUDA_ERROR_INSUFFICIENT_DRIVER = 35
CUDA_ERROR_NO_DEVICE = 100


@pytest.mark.requirement("A2", "C1", "C10")
def test_torch_cuda_extension_builds(builder: Host) -> None:
    """It finds nvcc and CUDA's headers; the kernel is called and CUDA answers that there is no GPU."""
    code = builder.check_output("TORCH_CUDA_ARCH_LIST=9.0 python -c %s", EXTENSION)
    assert int(code) in (CUDA_ERROR_INSUFFICIENT_DRIVER, CUDA_ERROR_NO_DEVICE)
