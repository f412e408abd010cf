"""nvcc compiles and links for every architecture of the contract, by itself and from CMake."""

from typing import Any

import pytest
from testinfra.host import Host

from slipway import repository
from slipway.matrix import Image
from tests.images.helpers.build_sources import FOLDER, SOURCES, read_header
from tests.images.helpers.containers import Run
from tests.images.helpers.cuda_libraries import read_versions
from tests.images.helpers.gpu_code import nvidia_architecture
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="cuda", flavor="devel")

CUDA = f"{SOURCES}/cuda"
PROBE = (repository.ROOT / "slipway" / "build" / "gpu_probe.py").read_text(encoding="utf-8")

NO_DRIVER = "CUDA driver version is insufficient for CUDA runtime version"
NO_DEVICE = "no CUDA-capable device is detected"
SOURCE = FOLDER / "cuda" / "twice.cu"
SCRIPT = 'printf %s "$SOURCE" >/tmp/twice.cu && nvcc -arch=native -o /tmp/twice /tmp/twice.cu && exec /tmp/twice'


def assert_no_gpu(builder: Host, program: str) -> None:
    """Run a program, which calls CUDA and prints its error: there is no GPU."""
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
    assert nvidia_architecture(read_header(builder, "/tmp/twice.cubin")) == architecture.rstrip("af")


@pytest.mark.requirement("A15")
def test_gpu_labels_are_read_as_nvcc_writes(builder: Host) -> None:
    """Architectures, machine code for one GPU alone, and PTX are read from a library that nvcc builds."""
    targets = ["75,code=sm_75", "90a,code=sm_90a", "100f,code=sm_100f", "120,code=[sm_120,compute_120]"]
    options = " ".join(f"-gencode=arch=compute_{target}" for target in targets)
    builder.check_output(f"nvcc -shared -Xcompiler=-fPIC -cudart=none {options} -o /tmp/twice.so {CUDA}/twice.cu")
    read = "\nfrom pathlib import Path\nprint(*sorted(read_library(Path('/tmp/twice.so'))))"
    program = PROBE.replace('if __name__ == "__main__":', "if False:") + read
    code = [(1, 120, False), (2, 75, False), (2, 90, True), (2, 100, False), (2, 120, False)]
    assert builder.check_output("python -c %s", program) == " ".join(map(str, code))


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


@pytest.mark.requirement("A2")
def test_program_is_optimized_as_it_is_linked(builder: Host) -> None:
    """nvlink compiles once more, by a library of nvcc's. Report: conda-forge/staged-recipes#22802."""
    builder.check_output("nvcc -arch=sm_90 -rdc=true -dlto -o /tmp/linked %s/twice.cu", CUDA)


@pytest.mark.requirement("A2")
def test_host_compiler_finds_cccl(builder: Host) -> None:
    """NVIDIA's own headers, such as nvshmem.h, include it. Report: Cytnx-dev/Cytnx#754."""
    lines = "#include <thrust/complex.h>\n#include <cuda/std/tuple>\n"
    builder.check_output("printf %s | g++ -fsyntax-only -xc++ -", lines)


@pytest.fixture(scope="module")
def cmake(builder: Host) -> str:
    """Build a CUDA program, and a C++ program with CUDA's libraries, by CMake; return the folder."""
    builder.check_output("cmake -G Ninja -DCMAKE_CUDA_ARCHITECTURES=90 -S %s -B /tmp/build", CUDA)
    builder.check_output("cmake --build /tmp/build")
    return "/tmp/build"


@pytest.mark.requirement("A2", "C1")
def test_cmake_builds_a_cuda_program(builder: Host, cmake: str) -> None:
    """project(... LANGUAGES CUDA) finds nvcc by itself."""
    assert_no_gpu(builder, f"{cmake}/twice")


@pytest.mark.requirement("A2", "C1")
def test_cmake_links_the_cuda_libraries(builder: Host, cmake: str, contract: Image) -> None:
    """find_package(CUDAToolkit) has targets for headers and libraries of one version."""
    versions = read_versions(builder.check_output(f"{cmake}/versions"))
    assert {name: both for name, both in versions.items() if both[0] != both[1]} == {}
    major, _, minor = contract.variant.versions["cuda"].partition(".")
    assert versions["cudart"][1] == f"{major}0{minor}0"


def test_cmake_links_the_driver(builder: Host, cmake: str) -> None:
    """It has targets for the driver's libraries, too, and leaves no path to their stubs in the program."""
    assert "libcuda.so.1: cannot open shared object file" in builder.run(f"{cmake}/driver").stderr


@pytest.mark.requirement("A2", "A12")
def test_program_of_nvcc_computes_on_the_gpu(run: Run, gpu: dict[str, Any]) -> None:
    """Compiled for the GPU that is there."""
    environment = {"SOURCE": SOURCE.read_text(encoding="utf-8")}
    output = run("sh", "-c", SCRIPT, environment=environment, **gpu).require_success()
    assert output.split() == ["2", "4", "6", "8"]
