"""Print as JSON the GPUs that an image serves, of CUDA with the least driver; runs on the image's Python, from stdin.

The GPUs are read from the machine code in the libraries: NVIDIA's cuobjdump, which lists it as well, is in no wheel. A
component serves the GPUs that each of its libraries has machine code for. ROCm's libraries name no least driver.
"""

import json
import mmap
import os
import re
import struct
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

# A component's libraries below site-packages. cuFFT is left out: it compiles most of its code while it runs.
COMPONENTS = {
    "cuda": r"nvidia/\w+/lib/lib(cublas|cublasLt|curand)\.so\.\d+",
    "cudnn": r"nvidia/cudnn/lib/libcudnn_(adv|cnn|ops|engines_precompiled)\.so\.\d+",
    "onnxruntime": r"onnxruntime/capi/libonnxruntime_providers_cuda\.so",
    "torch": r"torch/lib/libtorch_cuda\.so",
    "torch-linalg": r"torch/lib/libtorch_cuda_linalg\.so",  # torch.linalg: for fewer GPUs than the rest
    "tensorflow": r"tensorflow/libtensorflow_cc\.so\.\d+",
}
# The same of ROCm, whose kernels of rocBLAS are files beside it. rocFFT compiles while it runs, as cuFFT does.
ROCM_LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
ROCM_COMPONENTS = {"rocblas": "librocblas.so", "rocrand": "librocrand.so", "rccl": "librccl.so"}
ROCBLAS_KERNELS = "rocblas/*/library/*_gfx*.co"
# The compute capabilities of NVIDIA's GPUs for a machine with an x86-64 or Arm server processor.
CAPABILITIES = ["5.0", "5.2", "6.0", "6.1", "7.0", "7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "10.3", "12.0", "12.1"]
# The first driver for each floor of NVIDIA_REQUIRE_CUDA: the table "minor version compatibility" of NVIDIA's CUDA
# Compatibility (https://docs.nvidia.com/deploy/cuda-compatibility/).
DRIVERS = {"cuda>=12.0": "525.60.13", "cuda>=13.0": "580.65.06"}

SECTION, ROCM_SECTION = b".nv_fatbin", b".hip_fatbin"
# What clang writes for each source file: this text, the number of pieces, and of each its place and size in the bundle
# and a name such as hipv4-amdgcn-amd-amdhsa--gfx90a. The first piece is an empty one for the processor.
BUNDLE = b"__CLANG_OFFLOAD_BUNDLE__"
# Of CUDA's fatbinary_section.h and what its compiler writes: a fat binary has a header of 16 bytes and then entries,
# each with the kind of code, the size of its own header and of the code, the architecture, and flags.
MAGIC = 0xBA55ED50
PTX, MACHINE_CODE = 1, 2
ONLY_THIS = 0x100000  # machine code for sm_90a runs on compute capability 9.0 alone


def find_section(library: mmap.mmap, section: bytes = SECTION) -> tuple[int, int]:
    """Return the start and the end of a section with GPU code in an ELF file; twice 0 when there is none."""
    (table,) = struct.unpack_from("<Q", library, 0x28)
    size, count, names_index = struct.unpack_from("<HHH", library, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", library, table + index * size) for index in range(count)]
    names = headers[names_index][4]
    for name, _, _, _, start, length in headers:
        if library[names + name : names + name + len(section) + 1] == section + b"\0":
            return start, start + length
    return 0, 0


def read_code(library: mmap.mmap) -> Iterator[tuple[int, int, bool]]:
    """Yield kind and architecture, 90 for sm_90, of each piece of GPU code, and whether newer GPUs cannot run it."""
    position, end = find_section(library)
    while position < end:
        magic, _, header, size = struct.unpack_from("<IHHQ", library, position)
        if magic != MAGIC:  # padding
            position += 8
            continue
        position += header
        next_binary = position + size
        while position < next_binary:
            kind, _, header, size = struct.unpack_from("<HHIQ", library, position)
            (architecture,) = struct.unpack_from("<I", library, position + 28)
            (flags,) = struct.unpack_from("<Q", library, position + 40)
            if not header:
                raise ValueError("a fat binary of an unknown form")
            yield kind, architecture, bool(flags & ONLY_THIS)
            position += header + size


def serves(code: Iterable[tuple[int, int, bool]], capability: str) -> bool:
    """Tell whether machine code runs on a GPU: it must be for the same major version and no newer a minor one."""
    number = int(capability.replace(".", ""))
    return any(
        kind == MACHINE_CODE
        and architecture // 10 == number // 10
        and (architecture == number if only_this else architecture <= number)
        for kind, architecture, only_this in code
    )


def describe_gpus(libraries: Iterable[set[tuple[int, int, bool]]]) -> str:
    """Return the GPUs that each library serves, as PyTorch writes them: 9.0+PTX where newer ones can compile PTX."""
    libraries = list(libraries)
    served = [capability for capability in CAPABILITIES if all(serves(code, capability) for code in libraries)]
    has_ptx = all(any(kind == PTX and not only_this for kind, _, only_this in code) for code in libraries)
    return " ".join(served) + ("+PTX" if has_ptx else "")


def read_library(file: Path) -> set[tuple[int, int, bool]]:
    """Return what GPU code a library has."""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as library:
        return set(read_code(library))


def read_bundles(library: mmap.mmap) -> Iterator[set[str]]:
    """Yield the GPUs, such as gfx90a, that each bundle of a library of ROCm has machine code for."""
    position, end = find_section(library, ROCM_SECTION)
    while (position := library.find(BUNDLE, position, end)) >= 0:
        (pieces,) = struct.unpack_from("<Q", library, position + len(BUNDLE))
        start, entry, last, gpus = position, position + len(BUNDLE) + 8, 0, set()
        for _ in range(pieces):
            place, size, length = struct.unpack_from("<QQQ", library, entry)
            name = library[entry + 24 : entry + 24 + length].decode()
            entry, last = entry + 24 + length, max(last, place + size)
            if size:
                gpus.add(name.rpartition("--")[2])
        position = max(start + last, entry)
        yield gpus


def read_rocm_library(file: Path) -> set[str]:
    """Return the GPUs that each bundle of a library of ROCm serves, and for rocBLAS the kernels beside it, too."""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as library:
        bundles = list(read_bundles(library))
    if file.name.startswith("librocblas."):
        bundles.append({kernels.stem.rpartition("_")[2] for kernels in ROCM_LIBRARIES.glob(ROCBLAS_KERNELS)})
    return set.intersection(*bundles) if bundles else set()


def find_rocm_gpus() -> Iterator[tuple[str, str]]:
    """Yield each component of ROCm that is installed, and its GPUs."""
    for component, name in ROCM_COMPONENTS.items():
        for file in ROCM_LIBRARIES.glob(f"{name}.*"):
            if not file.is_symlink():
                yield f"gpus.{component}", " ".join(sorted(read_rocm_library(file), key=lambda gpu: (len(gpu), gpu)))


def find_gpus() -> Iterator[tuple[str, str]]:
    """Yield each component that is installed, and its GPUs."""
    packages = Path(sysconfig.get_path("purelib"))
    files = {str(file.relative_to(packages)): file for file in packages.rglob("*.so*") if file.is_file()}
    for component, pattern in COMPONENTS.items():
        found = [read_library(file) for name, file in files.items() if re.fullmatch(pattern, name)]
        if found:
            yield f"gpus.{component}", describe_gpus(found)


if __name__ == "__main__":
    driver = DRIVERS.get(os.environ.get("NVIDIA_REQUIRE_CUDA", ""))
    print(json.dumps({**({"driver": driver} if driver else {}), **dict(find_gpus()), **dict(find_rocm_gpus())}))
