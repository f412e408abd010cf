"""hipcc compiles and links for every architecture of the contract, by itself and from CMake."""

import re
from typing import Any

import pytest
from testinfra.host import Host

from slipway.matrix import Image
from tests.images.helpers.build_sources import FOLDER, SOURCES, read_header
from tests.images.helpers.containers import Run
from tests.images.helpers.gpu_code import amd_architecture
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="rocm", flavor="devel")

ROCM = f"{SOURCES}/rocm"

LIBRARY = re.compile(r"(?m)^lib((?:amd|hip|hsa|oam|rccl|roc)[\w-]+)\.so\.")
NO_DEVICE = "no ROCm-capable device is detected"
SOURCE = FOLDER / "rocm" / "twice.hip"
SCRIPT = (
    'printf %s "$SOURCE" >/tmp/twice.hip && hipcc --offload-arch=native -o /tmp/twice /tmp/twice.hip && exec /tmp/twice'
)


def assert_no_gpu(builder: Host, program: str) -> None:
    """Run a program, which calls HIP and prints its error: there is no GPU."""
    finished = builder.run(program)
    assert (finished.rc, finished.stdout.strip()) == (1, NO_DEVICE), finished


@pytest.mark.requirement("A2", "T2")
def test_hipcc_has_the_version_of_the_contract(builder: Host, contract: Image) -> None:
    """Compiler and runtime are of one version."""
    assert builder.check_output("hipconfig --version").startswith(f"{contract.variant.versions['hip']}.")


@pytest.mark.requirement("A2", "U7")
def test_hipcc_compiles_for_the_architecture(builder: Host, architecture: str) -> None:
    """The finished machine code names the GPU that it is for."""
    options = "--cuda-device-only --no-gpu-bundle-output -c -o /tmp/twice.co"
    builder.check_output(f"hipcc --offload-arch=%s {options} %s/twice.hip", architecture, ROCM)
    assert amd_architecture(read_header(builder, "/tmp/twice.co")) == architecture


@pytest.mark.requirement("A2", "C10")
def test_hipcc_links_a_program(builder: Host, contract: Image) -> None:
    """It has machine code for each architecture; without a GPU it says why it fails."""
    names = contract.variant.architectures
    options = " ".join(f"--offload-arch={name}" for name in names)
    builder.check_output(f"hipcc {options} -o /tmp/twice %s/twice.hip", ROCM)
    listed = builder.check_output("roc-obj-ls /tmp/twice")
    assert [name for name in names if f"amdgcn-amd-amdhsa--{name}" not in listed] == [], listed
    assert_no_gpu(builder, "/tmp/twice")


@pytest.mark.requirement("A2")
@pytest.mark.timeout(240)
def test_header_libraries_compile(builder: Host, contract: Image) -> None:
    """rocPRIM, hipCUB and rocThrust, which most HIP programs include."""
    architecture = contract.variant.architectures[0]
    builder.check_output("hipcc --offload-arch=%s -c -o /tmp/sort.o %s/sort.hip", architecture, ROCM)


def test_every_library_has_a_name_for_linkers(builder: Host) -> None:
    """-lNAME needs no folder; nor do their headers, which CMake's program below includes."""
    names = set(LIBRARY.findall(builder.check_output("ls /usr/lib/x86_64-linux-gnu")))
    options = " ".join(f"-l{name}" for name in sorted(names))
    builder.check_output(f"g++ -shared -Wl,--no-as-needed {options} -o /tmp/all.so")
    needed = re.findall(r"NEEDED.*\[lib(.+)\.so", builder.check_output("readelf --dynamic /tmp/all.so"))
    assert names
    assert sorted(names - set(needed)) == []


@pytest.fixture(scope="module")
def cmake(builder: Host, contract: Image) -> str:
    """Build a HIP program, and a C++ program with ROCm's libraries, by CMake; return the folder."""
    names = ";".join(contract.variant.architectures)
    builder.check_output("cmake -G Ninja -DCMAKE_HIP_ARCHITECTURES=%s -S %s -B /tmp/build", names, ROCM)
    builder.check_output("cmake --build /tmp/build")
    return "/tmp/build"


@pytest.mark.requirement("A2", "C1")
def test_cmake_builds_a_hip_program(builder: Host, cmake: str) -> None:
    """project(... LANGUAGES HIP) finds the compiler by itself."""
    assert_no_gpu(builder, f"{cmake}/twice")


@pytest.mark.requirement("A2", "C1")
def test_cmake_links_rocms_libraries(builder: Host, cmake: str) -> None:
    """Each library has a CMake package, and the version of its headers."""
    lines = [line.split() for line in builder.check_output(f"{cmake}/versions").splitlines()]
    assert [name for name, _, _ in lines] == ["amd_comgr", "hip", "hiprand", "rccl", "rocblas", "rocfft", "rocrand"]
    assert [name for name, header, library in lines if header != library] == []


@pytest.mark.requirement("A2", "A12")
def test_program_of_hipcc_computes_on_the_gpu(run: Run, gpu: dict[str, Any]) -> None:
    """Compiled for the GPU that is there."""
    environment = {"SOURCE": SOURCE.read_text(encoding="utf-8")}
    output = run("sh", "-c", SCRIPT, environment=environment, **gpu).require_success()
    assert output.split() == ["2", "4", "6", "8"]
