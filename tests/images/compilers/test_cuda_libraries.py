"""Each CUDA library of the image can be compiled and linked against without flags of one's own."""

import re

import pytest
from testinfra.host import Host

from slipway.matrix import Image
from tests.images.helpers.build_sources import SOURCES
from tests.images.helpers.cuda_libraries import find_locked, read_versions
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="cuda", flavor="devel")

CUDA = f"{SOURCES}/cuda"
LIBRARIES = (
    *("cublasLt", "cudart", "cudnn", "cufft", "cufile", "cupti", "cusolver", "cusparse", "cusparseLt"),
    *("nccl", "nvJitLink", "nvrtc", "nvshmem_host"),
)
# nvcc and pkg-config need no variables.
BUILDS = {
    "g++": "g++ {source} {names}",
    "nvcc": "unset CPATH LIBRARY_PATH && nvcc {source} {names}",
    "pkg-config": "unset CPATH LIBRARY_PATH && g++ {source} $(pkg-config --cflags --libs {packages})",
}
FIND = "find /opt/venv/lib/python3*/site-packages/nvidia/*/lib -maxdepth 1 -type f -name 'lib*.so*' -printf '%f\\n'"
NOT_FOUND = "error while loading shared libraries: libcuda.so.1: cannot open shared object file"


def build(builder: Host, way: str, program: str, libraries: tuple[str, ...]) -> str:
    """Build a program with libraries, and return its path."""
    names, output = " ".join(f"-l{name}" for name in libraries), f"/tmp/{program}-{way}"
    command = BUILDS[way].format(source=f"{CUDA}/{program}.cpp", names=names, packages=" ".join(libraries))
    builder.check_output(f"{command} -o {output}")
    return output


def test_every_library_has_a_name_for_linkers(builder: Host) -> None:
    """-lNAME means the library that programs then load."""
    files = builder.check_output(FIND).split()
    names = " ".join(f"-l{file[3:].partition('.so')[0]}" for file in files)
    builder.check_output(f"g++ -shared -Wl,--no-as-needed {names} -o /tmp/all.so")
    needed = re.findall(r"NEEDED.*\[(.+)\]", builder.check_output("readelf --dynamic /tmp/all.so"))
    assert files
    assert sorted(set(files) - set(needed)) == []


@pytest.mark.parametrize("way", BUILDS)
def test_program_links_the_libraries(builder: Host, contract: Image, way: str) -> None:
    """Each header is found, and is of its library's version."""
    curand = ("curand",) if find_locked(contract, "nvidia-curand") else ()
    libraries = (*LIBRARIES, *curand)
    versions = read_versions(builder.check_output(build(builder, way, "versions", libraries)))
    assert set(versions) == set(libraries)
    assert {name: both for name, both in versions.items() if both[0] != both[1]} == {}


@pytest.mark.parametrize("way", BUILDS)
def test_driver_is_linked_by_its_stub_and_loaded_from_the_host(builder: Host, way: str) -> None:
    """No stub is found when the program runs: it would take the place of the host's driver."""
    program = build(builder, way, "driver", ("cuda", "nvidia-ml"))
    finished = builder.run(program)
    assert (finished.rc, NOT_FOUND in finished.stderr) == (127, True), finished


def test_loader_finds_no_stub(builder: Host) -> None:
    """Neither by the linker's cache nor by a file of the name that programs ask for."""
    listed = set(re.findall(r"(?m)^\s*(lib[\w-]+)\.so", builder.check_output("/sbin/ldconfig -p")))
    assert listed & {"libcudart", "libcuda", "libnvidia-ml"} == {"libcudart"}
    files = builder.check_output("find /usr /opt -name 'libcuda.so*' -o -name 'libnvidia-ml.so*'").split()
    assert files
    assert [path for path in files if not path.endswith(("/stubs/libcuda.so", "/stubs/libnvidia-ml.so"))] == []
