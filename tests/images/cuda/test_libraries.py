"""CUDA libraries: each is there once, loads by its soname and has the version of the contract."""

import re
from collections import defaultdict
from pathlib import PurePosixPath

import pytest
from testinfra.host import Host

from slipway.image.layers import Kind, SavedImage
from slipway.matrix import Image
from tests.images.helpers.containers import Python, Run
from tests.images.helpers.cuda_libraries import NVIDIA, dotted, libraries, locked, soname
from tests.images.helpers.gpu_libraries import ask_versions, load_problems
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="cuda")

NOT_LOADABLE = {
    "libcufile_rdma.so.1": "needs InfiniBand's libraries; libcufile opens it only where they are",
}
SECOND_COPIES = {
    "triton/backends/nvidia/lib/cupti/": "Triton's profiler needs the CUPTI that it was built with",
    "triton/backends/nvidia/lib/cupti-blackwell/": "the same for the newest GPUs",
}


@pytest.mark.requirement("A3", "C1")
def test_every_library_loads_by_its_soname(python: Python, saved: SavedImage) -> None:
    """The loader finds each with its dependencies, without LD_LIBRARY_PATH, and no other file of that name."""
    paths = [path for path in libraries(saved) if PurePosixPath(path).name not in NOT_LOADABLE]
    assert paths
    assert load_problems(python, paths) == {}


@pytest.mark.requirement("U2", "A3", "A7")
def test_every_library_is_there_once(saved: SavedImage) -> None:
    """A second copy is the most common waste in CUDA images, and either of the two may be loaded."""
    names = {stem(path) for path in libraries(saved)}
    copies = defaultdict(list)
    for path, (entry, _) in saved.merged().items():
        counted = entry.kind is Kind.FILE and not any(folder in path for folder in SECOND_COPIES)
        if counted and stem(path) in names:
            copies[stem(path)].append(path)
    assert copies
    assert {name: paths for name, paths in copies.items() if len(paths) > 1} == {}


def stem(path: str) -> str:
    """Return a library's name without version and without the hash that wheels add; empty for any other file."""
    found = re.match(r"(lib[\w-]+?)(-[0-9a-f]{8})?(\.alt)?\.so(\.|$)", PurePosixPath(path).name)
    return found[1] if found else ""


@pytest.mark.requirement("A3", "U2")
def test_loader_knows_no_other_cuda_library(host: Host) -> None:
    """A copy for one package only, such as Triton's CUPTI, must not be what every other program gets."""
    listed = re.findall(r"(?m)^\s*lib(?:cu(?!rl|ps)|nv)\S+ .* => (\S+)$", host.check_output("/sbin/ldconfig -p"))
    assert listed
    assert [path for path in listed if not NVIDIA.match(path)] == []


@pytest.mark.requirement("C1")
def test_no_library_path_is_set(environment: dict[str, str]) -> None:
    """LD_LIBRARY_PATH would take precedence over the driver's libraries, which the host mounts."""
    assert "LD_LIBRARY_PATH" not in environment


@pytest.mark.requirement("C1")
def test_driver_of_googles_clusters_is_found(run: Run) -> None:
    """They mount it in a folder of their own, unless NVIDIA's operator is there. Report: antflydb/antfly#707."""
    found = run("printenv", "LD_LIBRARY_PATH", "PATH", tmpfs={"/usr/local/nvidia/lib64": ""}).require_success()
    libraries, programs = found.splitlines()
    assert libraries == "/usr/local/nvidia/lib64"
    assert programs.endswith(":/usr/local/nvidia/bin")


@pytest.fixture(scope="module")
def versions(python: Python, contract: Image) -> dict[str, str]:
    """Return what the libraries answer, by the name without the soname's version."""
    functions = [
        (soname(contract, "libcudart"), "cudaRuntimeGetVersion", "number"),
        (soname(contract, "libnvrtc"), "nvrtcVersion", "pair"),
        (soname(contract, "libcublas"), "cublasGetProperty", "parts"),
        ("libcudnn.so.9", "cudnnGetVersion", "returned"),
    ]
    return {name.partition(".")[0]: version for name, version in ask_versions(python, functions).items()}


@pytest.mark.requirement("T2", "V2")
def test_cuda_runtime_has_the_version_of_the_contract(versions: dict[str, str], contract: Image) -> None:
    """The library itself is asked: this is what the version argument of the Dockerfile selected."""
    number = int(versions["libcudart"])
    assert f"{number // 1000}.{number % 1000 // 10}" == contract.variant.versions["cuda"]


@pytest.mark.requirement("T2", "V2")
def test_nvrtc_has_the_version_of_the_contract(versions: dict[str, str], contract: Image) -> None:
    """Code that NVRTC compiles runs on the CUDA runtime beside it only when both are of one version."""
    assert versions["libnvrtc"] == contract.variant.versions["cuda"]


@pytest.mark.requirement("A3", "T2")
def test_cudnn_has_the_version_of_the_contract(versions: dict[str, str], contract: Image) -> None:
    """The one cuDNN is the contract's."""
    assert dotted(versions["libcudnn"]) == contract.variant.versions["cudnn"]


@pytest.mark.requirement("T2", "U8")
def test_cublas_has_the_version_of_the_lock(versions: dict[str, str], contract: Image) -> None:
    """The loader takes the file that the lock names."""
    assert locked(contract, "nvidia-cublas").startswith(f"{versions['libcublas']}.")


@pytest.mark.requirement("A3", "C1")
def test_usr_local_cuda_is_the_tree_of_the_wheels(host: Host, contract: Image) -> None:
    """Compilers, CMake and other programs look for CUDA there."""
    path = f"/usr/local/cuda/lib/{soname(contract, 'libcudart')}"
    assert NVIDIA.match(host.check_output("readlink --canonicalize-existing %s", path))


@pytest.mark.requirement("A3", "A7", "U2")
def test_usr_local_cuda_has_no_library_of_its_own(saved: SavedImage) -> None:
    """It is a link or a folder of links, none of them broken: a file there would be a second copy."""
    merged = saved.merged()
    links = {path: entry for path, (entry, _) in merged.items() if path.startswith("/usr/local/cuda")}
    assert [path for path, entry in links.items() if entry.kind in (Kind.FILE, Kind.HARDLINK)] == []
    targets = [entry.target for entry in links.values() if entry.kind is Kind.SYMLINK]
    assert targets
    assert [target for target in targets if target not in merged] == []
