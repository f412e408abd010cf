"""ROCm's libraries: Debian's, each there once, and nothing of another maker's GPU."""

import json
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import PurePosixPath

import pytest
from testinfra.host import Host

from slipway.image.layers import Kind, SavedImage
from slipway.matrix import Image
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="rocm")

ROCM = re.compile(r"lib(amd_comgr|amdhip64|hip\w+|hsa-runtime64|hsakmt|rccl|roc\w+)\.so\.\d[\d.]*")
NVIDIA = re.compile(
    r".*/lib(cuda\w*|cu(blas|dnn|fft|rand|solver|sparse|pti|file)\w*|nv(rtc|JitLink|shmem|idia)[\w-]*|nccl)(\.so[\w.]*|\.a)"
    r"|.*/(nvidia|cuda|cupy)\w*-[^/]+\.dist-info/METADATA"
)
# Each in a process of its own, so that none profits from what another has loaded.
LOAD = """
import json, subprocess, sys
problems = {{}}
for name in {names!r}:
    load = [sys.executable, "-c", f"import ctypes; ctypes.CDLL({{name!r}})"]
    finished = subprocess.run(load, capture_output=True, text=True)
    if finished.returncode:
        problems[name] = finished.stderr
print(json.dumps(problems))
"""


def libraries(saved: SavedImage) -> list[str]:
    """The files of ROCm's shared libraries."""
    files = (path for path, (entry, _) in saved.merged().items() if entry.kind is Kind.FILE)
    return sorted(path for path in files if ROCM.fullmatch(PurePosixPath(path).name))


@pytest.mark.requirement("C1")
def test_every_library_loads(python: Callable[[str], str], saved: SavedImage) -> None:
    """The loader finds each by its name, with all that it links."""
    names = [PurePosixPath(path).name for path in libraries(saved)]
    assert names
    assert json.loads(python(LOAD.format(names=names))) == {}


@pytest.mark.requirement("U2")
def test_every_library_is_there_once(saved: SavedImage) -> None:
    """A second ROCm, as each wheel of PyTorch for ROCm brings it, would be carried beside Debian's."""
    copies = defaultdict(list)
    for path in libraries(saved):
        copies[PurePosixPath(path).name.partition(".so")[0]].append(path)
    assert {name: paths for name, paths in copies.items() if len(paths) > 1} == {}


@pytest.mark.requirement("C1")
def test_every_library_is_a_packages(host: Host, saved: SavedImage) -> None:
    """What Debian's packages own gets Debian's security fixes."""
    for path in libraries(saved):
        assert host.run("dpkg-query --search %s", path).rc == 0, path


@pytest.mark.requirement("T2")
def test_hip_has_the_version_of_the_contract(python: Callable[[str], str], contract: Image) -> None:
    """The library itself is asked."""
    call = "import ctypes; n = ctypes.c_int(); ctypes.CDLL('libamdhip64.so.5').hipRuntimeGetVersion(ctypes.byref(n))"
    number = int(python(f"{call}; print(n.value)"))
    assert f"{number // 10_000_000}.{number // 100_000 % 100}" == contract.variant.versions["hip"]


@pytest.mark.requirement("C1", "U2")
def test_nothing_is_of_an_nvidia_gpu(saved: SavedImage) -> None:
    """In any layer: plain `pip install torch` alone brings 2.7 GB of CUDA."""
    entries = [entry for layer in saved.layers for entry in layer.entries if entry.size]
    assert [entry.path for entry in entries if NVIDIA.fullmatch(entry.path)] == []
