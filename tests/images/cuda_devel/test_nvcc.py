"""nvcc compiles and links for every architecture, by itself and from CMake."""

import re

import pytest
from testinfra.host import Host

from slipway.matrix import Image
from tests.images.architectures import pytest_generate_tests as pytest_generate_tests
from tests.images.workshop import SOURCES
from tests.images.workshop import workshop as workshop

NO_DRIVER = "CUDA driver version is insufficient for CUDA runtime version"
NO_DEVICE = "no CUDA-capable device is detected"
# The second byte of the flags in a cubin's ELF header is the architecture's number.
ARCHITECTURE = """
import struct, sys
header = open("/tmp/twice.cubin", "rb").read(64)
assert header.startswith(b"\\x7fELF")
print(struct.unpack_from("<I", header, 48)[0] >> 8 & 0xFF)
"""


def assert_no_gpu(workshop: Host, program: str) -> None:
    """A program built here starts, calls CUDA, and is told by it that there is no GPU."""
    finished = workshop.run(program)
    assert finished.rc == 1, finished
    assert finished.stdout.strip() in (NO_DRIVER, NO_DEVICE)


@pytest.mark.requirement("A2", "T2", "V2")
def test_nvcc_has_the_version_of_the_contract(workshop: Host, contract: Image) -> None:
    """A newer nvcc than the CUDA runtime builds programs that an older driver refuses."""
    assert f"release {contract.variant.versions['cuda']}," in workshop.check_output("nvcc --version")


@pytest.mark.requirement("A2", "U7")
def test_nvcc_compiles_for_the_architecture(workshop: Host, architecture: str) -> None:
    """The finished machine code names the GPU that it is for."""
    workshop.check_output("nvcc -cubin -arch=%s -o /tmp/twice.cubin %s/twice.cu", architecture, SOURCES)
    assert workshop.check_output("python -c %s", ARCHITECTURE) == re.sub(r"\D", "", architecture)


@pytest.mark.requirement("A2", "C10")
@pytest.mark.parametrize("cudart", ["shared", "static"])
def test_nvcc_links_a_program(workshop: Host, cudart: str) -> None:
    """The linker finds the CUDA runtime in either form; without a GPU the program says why it fails."""
    workshop.check_output("nvcc -arch=sm_90 -cudart=%s -o /tmp/twice %s/twice.cu", cudart, SOURCES)
    assert ("libcudart.so" in workshop.check_output("ldd /tmp/twice")) == (cudart == "shared")
    assert_no_gpu(workshop, "/tmp/twice")


@pytest.mark.requirement("A2")
@pytest.mark.timeout(240)
def test_cccl_compiles(workshop: Host) -> None:
    """Thrust and CUB, the C++ libraries that most CUDA programs include."""
    workshop.check_output("nvcc -cubin -arch=sm_90 -o /tmp/sort.cubin %s/sort.cu", SOURCES)


@pytest.fixture(scope="module")
def cmake(workshop: Host) -> str:
    """The folder with what CMake has built: a CUDA program, and a C++ program that links CUDA's libraries."""
    workshop.check_output("cmake -G Ninja -DCMAKE_CUDA_ARCHITECTURES=90 -S %s -B /tmp/build", SOURCES)
    workshop.check_output("cmake --build /tmp/build")
    return "/tmp/build"


@pytest.mark.requirement("A2", "C1")
def test_cmake_builds_a_cuda_program(workshop: Host, cmake: str) -> None:
    """project(... LANGUAGES CUDA) finds nvcc without being told where it is."""
    assert_no_gpu(workshop, f"{cmake}/twice")


@pytest.mark.requirement("A2", "C1")
def test_cmake_links_the_cuda_libraries(workshop: Host, cmake: str, contract: Image) -> None:
    """find_package(CUDAToolkit) has targets for headers and libraries of one version."""
    version = contract.variant.versions["cuda"]
    assert workshop.check_output(f"{cmake}/versions") == f"{version} {version} 1 1"
