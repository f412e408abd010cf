"""The CUDA libraries: each is there once, loads by its soname and has the version of the contract."""

import json
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import PurePosixPath

import pytest
from testinfra.host import Host

from slipway.image.layers import Kind, SavedImage
from slipway.matrix import Image
from tests.images.helpers.cuda_libraries import NVIDIA, libraries, locked, own_version, soname
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="cuda")

# Each in a process of its own, so that none profits from what another has loaded.
LOAD = """
import ctypes, json, os, sys
problems = {{}}
for path in {paths!r}:
    reader, writer = os.pipe()
    if not os.fork():
        try:
            ctypes.CDLL(os.path.basename(path))
            loaded = {{line.split()[-1] for line in open("/proc/self/maps")}}
            problem = "" if path in loaded else "another file was loaded"
        except OSError as error:
            problem = str(error)
        os.write(writer, problem.encode())
        os._exit(0)
    os.wait()
    os.close(writer)
    problem = os.fdopen(reader).read()
    if problem:
        problems[path] = problem
print(json.dumps(problems))
"""
NOT_LOADABLE = {
    "libcufile_rdma.so.1": "wants InfiniBand's libraries; libcufile opens it only where there are some",
}
SECOND_COPIES = {
    "triton/backends/nvidia/lib/cupti/": "Triton's profiler wants the CUPTI that it was built with",
    "triton/backends/nvidia/lib/cupti-blackwell/": "the same for the newest GPUs",
}


@pytest.mark.requirement("A3", "C1")
def test_every_library_loads_by_its_soname(python: Callable[[str], str], saved: SavedImage) -> None:
    """The loader finds each without LD_LIBRARY_PATH, with all that it links, and finds no other file by that name."""
    paths = [path for path in libraries(saved) if PurePosixPath(path).name not in NOT_LOADABLE]
    assert paths
    assert json.loads(python(LOAD.format(paths=paths))) == {}


@pytest.mark.requirement("U2", "A3", "A7")
def test_every_library_is_there_once(saved: SavedImage) -> None:
    """A second copy is the commonest waste of CUDA images, and which of the two is loaded is chance."""
    names = {stem(path) for path in libraries(saved)}
    copies = defaultdict(list)
    for path, (entry, _) in saved.merged().items():
        counted = entry.kind is Kind.FILE and not any(folder in path for folder in SECOND_COPIES)
        if counted and stem(path) in names:
            copies[stem(path)].append(path)
    assert {name: paths for name, paths in copies.items() if len(paths) > 1} == {}


def stem(path: str) -> str:
    """A library's name without version and without the hash that wheels add; empty for any other file."""
    found = re.match(r"(lib[\w-]+?)(-[0-9a-f]{8})?(\.alt)?\.so(\.|$)", PurePosixPath(path).name)
    return found[1] if found else ""


@pytest.mark.requirement("A3", "U2")
def test_loader_knows_no_other_cuda_library(host: Host) -> None:
    """A copy that only its owner wants, as Triton's CUPTI, must not be what every other program gets."""
    listed = re.findall(r"(?m)^\s*lib(?:cu(?!rl|ps)|nv)\S+ .* => (\S+)$", host.check_output("/sbin/ldconfig -p"))
    assert listed
    assert [path for path in listed if not NVIDIA.match(path)] == []


@pytest.mark.requirement("C1")
def test_no_library_path_is_set(environment: dict[str, str]) -> None:
    """LD_LIBRARY_PATH would overrule the driver's libraries that the host lends to a container."""
    assert "LD_LIBRARY_PATH" not in environment


@pytest.mark.requirement("T2", "V2")
def test_cuda_runtime_has_the_version_of_the_contract(python: Callable[[str], str], contract: Image) -> None:
    """The library itself is asked: this is what the version argument of the Dockerfile selected."""
    call = f"ctypes.CDLL({soname(contract, 'libcudart')!r}).cudaRuntimeGetVersion(ctypes.byref(n))"
    number = int(python(f"import ctypes; n = ctypes.c_int(); {call}; print(n.value)"))
    assert f"{number // 1000}.{number % 1000 // 10}" == contract.variant.versions["cuda"]


@pytest.mark.requirement("T2", "V2")
def test_nvrtc_has_the_version_of_the_contract(python: Callable[[str], str], contract: Image) -> None:
    """Code that NVRTC compiles runs on the CUDA runtime beside it only when both are of one version."""
    call = f"ctypes.CDLL({soname(contract, 'libnvrtc')!r}).nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))"
    program = f"import ctypes; major, minor = ctypes.c_int(), ctypes.c_int(); {call}"
    assert python(f"{program}; print(major.value, minor.value, sep='.')") == contract.variant.versions["cuda"]


@pytest.mark.requirement("A3", "T2")
def test_cudnn_has_the_version_of_the_contract(python: Callable[[str], str], contract: Image) -> None:
    """The one cuDNN is the contract's."""
    number = int(python("import ctypes; print(ctypes.CDLL('libcudnn.so.9').cudnnGetVersion())"))
    assert f"{number // 10000}.{number % 10000 // 100}.{number % 100}" == contract.variant.versions["cudnn"]


@pytest.mark.requirement("T2", "U8")
def test_cublas_has_the_version_of_the_lock(python: Callable[[str], str], contract: Image) -> None:
    """The file that is loaded is the one that the lock names."""
    version = own_version(python, soname(contract, "libcublas"), "cublasGetProperty")
    assert locked(contract, "nvidia-cublas").startswith(f"{version}.")


@pytest.mark.requirement("A3", "C1")
def test_usr_local_cuda_is_the_tree_of_the_wheels(host: Host, contract: Image) -> None:
    """Compilers, CMake and other people's programs look for CUDA there."""
    path = f"/usr/local/cuda/lib/{soname(contract, 'libcudart')}"
    assert NVIDIA.match(host.check_output("readlink --canonicalize-existing %s", path))


@pytest.mark.requirement("A3", "A7", "U2")
def test_usr_local_cuda_has_no_library_of_its_own(saved: SavedImage) -> None:
    """It is a link, or a folder of links that lead somewhere: a copy there would be a second one."""
    merged = saved.merged()
    links = {path: entry for path, (entry, _) in merged.items() if path.startswith("/usr/local/cuda")}
    assert [path for path, entry in links.items() if entry.kind in (Kind.FILE, Kind.HARDLINK)] == []
    targets = [entry.target for entry in links.values() if entry.kind is Kind.SYMLINK]
    assert targets
    assert [target for target in targets if target not in merged] == []
