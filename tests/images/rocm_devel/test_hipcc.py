"""hipcc compiles and links for every architecture, by itself and from CMake."""

import pytest
from testinfra.host import Host

from slipway.matrix import Image
from tests.images.amd import architecture_of
from tests.images.architectures import pytest_generate_tests as pytest_generate_tests
from tests.images.workshop import SOURCES
from tests.images.workshop import workshop as workshop

NO_DEVICE = "no ROCm-capable device is detected"


def assert_no_gpu(workshop: Host, program: str) -> None:
    """A program built here starts, calls HIP, and is told by it that there is no GPU."""
    finished = workshop.run(program)
    assert (finished.rc, finished.stdout.strip()) == (1, NO_DEVICE), finished


@pytest.mark.requirement("A2", "T2")
def test_hipcc_has_the_version_of_the_contract(workshop: Host, contract: Image) -> None:
    """Compiler and runtime are of one version."""
    assert workshop.check_output("hipconfig --version").startswith(f"{contract.variant.versions['hip']}.")


@pytest.mark.requirement("A2", "U7")
def test_hipcc_compiles_for_the_architecture(workshop: Host, architecture: str) -> None:
    """The finished machine code names the GPU that it is for."""
    options = "--cuda-device-only --no-gpu-bundle-output -c -o /tmp/twice.co"
    workshop.check_output(f"hipcc --offload-arch=%s {options} %s/twice.hip", architecture, SOURCES)
    header = bytes.fromhex(workshop.check_output("head --bytes=64 /tmp/twice.co | od -An -v -tx1 | tr -d ' \\n'"))
    assert architecture_of(header) == architecture


@pytest.mark.requirement("A2", "C10")
def test_hipcc_links_a_program(workshop: Host, contract: Image) -> None:
    """It carries the machine code of each architecture; without a GPU it says why it fails."""
    names = contract.variant.architectures
    options = " ".join(f"--offload-arch={name}" for name in names)
    workshop.check_output(f"hipcc {options} -o /tmp/twice %s/twice.hip", SOURCES)
    listed = workshop.check_output("roc-obj-ls /tmp/twice")
    assert [name for name in names if f"amdgcn-amd-amdhsa--{name}" not in listed] == [], listed
    assert_no_gpu(workshop, "/tmp/twice")


@pytest.mark.requirement("A2")
@pytest.mark.timeout(240)
def test_header_libraries_compile(workshop: Host, contract: Image) -> None:
    """rocPRIM, hipCUB and rocThrust, which most HIP programs include."""
    architecture = contract.variant.architectures[0]
    workshop.check_output("hipcc --offload-arch=%s -c -o /tmp/sort.o %s/sort.hip", architecture, SOURCES)


@pytest.fixture(scope="module")
def cmake(workshop: Host, contract: Image) -> str:
    """The folder with what CMake has built: a HIP program, and a C++ program that links ROCm's libraries."""
    names = ";".join(contract.variant.architectures)
    workshop.check_output("cmake -G Ninja -DCMAKE_HIP_ARCHITECTURES=%s -S %s -B /tmp/build", names, SOURCES)
    workshop.check_output("cmake --build /tmp/build")
    return "/tmp/build"


@pytest.mark.requirement("A2", "C1")
def test_cmake_builds_a_hip_program(workshop: Host, cmake: str) -> None:
    """project(... LANGUAGES HIP) finds the compiler without being told where it is."""
    assert_no_gpu(workshop, f"{cmake}/twice")


@pytest.mark.requirement("A2", "C1")
def test_cmake_links_rocms_libraries(workshop: Host, cmake: str) -> None:
    """Each library has a package for CMake, and is of the same version as its headers."""
    lines = [line.split() for line in workshop.check_output(f"{cmake}/versions").splitlines()]
    assert [name for name, _, _ in lines] == ["hip", "hiprand", "rccl", "rocblas"]
    assert [name for name, header, library in lines if header != library] == []
