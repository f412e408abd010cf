"""ROCm's libraries: Debian's, each there once, and nothing for NVIDIA's GPUs."""

import re
from collections import defaultdict
from pathlib import PurePosixPath

import pytest
from testinfra.host import Host

from slipway.image.layers import Kind, SavedImage
from slipway.matrix import Image
from tests.images.helpers.containers import Python
from tests.images.helpers.gpu_libraries import ask_versions, load_problems
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="rocm")

ROCM = re.compile(r"lib(amd_comgr|amdhip64|hip\w+|hsa-runtime64|hsakmt|rccl|roc\w+)\.so\.\d[\d.]*")
NVIDIA = re.compile(
    r".*/lib(cuda\w*|cu(blas|dnn|fft|rand|solver|sparse|pti|file)\w*|nv(rtc|JitLink|shmem|idia)[\w-]*|nccl)(\.so[\w.]*|\.a)"
    r"|.*/(nvidia|cuda|cupy)\w*-[^/]+\.dist-info/METADATA"
)


def libraries(saved: SavedImage) -> list[str]:
    """Return the files of ROCm's shared libraries."""
    files = (path for path, (entry, _) in saved.merged().items() if entry.kind is Kind.FILE)
    return sorted(path for path in files if ROCM.fullmatch(PurePosixPath(path).name))


@pytest.mark.requirement("C1")
def test_every_library_loads(python: Python, saved: SavedImage) -> None:
    """The loader finds each with its dependencies, and no other file of that name."""
    paths = libraries(saved)
    assert paths
    assert load_problems(python, paths) == {}


@pytest.mark.requirement("U2")
def test_every_library_is_there_once(saved: SavedImage) -> None:
    """A second ROCm, as each wheel of PyTorch for ROCm brings it, would be carried beside Debian's."""
    copies = defaultdict(list)
    for path in libraries(saved):
        copies[PurePosixPath(path).name.partition(".so")[0]].append(path)
    assert copies
    assert {name: paths for name, paths in copies.items() if len(paths) > 1} == {}


@pytest.mark.requirement("C1")
def test_every_library_is_a_packages(host: Host, saved: SavedImage) -> None:
    """What Debian's packages own gets Debian's security fixes."""
    paths = libraries(saved)
    assert paths
    found = host.run("dpkg-query --search " + " ".join(["%s"] * len(paths)), *paths)
    assert found.rc == 0, found.stderr


@pytest.mark.requirement("T2")
def test_hip_has_the_version_of_the_contract(python: Python, contract: Image) -> None:
    """The library itself is asked."""
    number = int(*ask_versions(python, [("libamdhip64.so.5", "hipRuntimeGetVersion", "number")]).values())
    assert f"{number // 10_000_000}.{number // 100_000 % 100}" == contract.variant.versions["hip"]


@pytest.mark.requirement("C1", "U2")
def test_nothing_is_of_an_nvidia_gpu(saved: SavedImage) -> None:
    """In any layer: plain `pip install torch` alone brings 2.7 GB of CUDA."""
    entries = [entry for layer in saved.layers for entry in layer.entries if entry.size]
    assert [entry.path for entry in entries if NVIDIA.fullmatch(entry.path)] == []
