"""Print as JSON which versions an image really holds; runs on the image's own Python, from standard input."""

import ctypes
import json
import platform
from importlib import metadata


def find_distribution_version(name: str) -> str | None:
    """Return the version of an installed Python distribution, without a build's suffix such as +cpu."""
    try:
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


def load_library(sonames: list[str]) -> ctypes.CDLL | None:
    """Return the first library that the loader finds."""
    for soname in sonames:
        try:
            return ctypes.CDLL(soname)
        except OSError:
            continue
    return None


def find_cuda_version() -> str | None:
    """Return the CUDA runtime's version: cudaRuntimeGetVersion gives 13000 for 13.0."""
    runtime = load_library(["libcudart.so.13", "libcudart.so.12"])
    if runtime is None:
        return None
    version = ctypes.c_int()
    runtime.cudaRuntimeGetVersion(ctypes.byref(version))
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


def find_cudnn_version() -> str | None:
    """Return cuDNN's version: since 9, cudnnGetVersion gives 92000 for 9.20.0."""
    found = load_library(["libcudnn.so.9"])
    if found is None:
        return None
    found.cudnnGetVersion.restype = ctypes.c_size_t
    version = found.cudnnGetVersion()
    return f"{version // 10000}.{version % 10000 // 100}.{version % 100}"


def find_hip_version() -> str | None:
    """Return the HIP runtime's version: hipRuntimeGetVersion gives 50731921 for 5.7."""
    runtime = load_library(["libamdhip64.so.5"])
    if runtime is None:
        return None
    version = ctypes.c_int()
    runtime.hipRuntimeGetVersion(ctypes.byref(version))
    return f"{version.value // 10_000_000}.{version.value // 100_000 % 100}"


versions = {
    "python": ".".join(platform.python_version_tuple()[:2]),
    "cuda": find_cuda_version(),
    "cudnn": find_cudnn_version(),
    "hip": find_hip_version(),
    "torch": find_distribution_version("torch"),
    "tensorflow": find_distribution_version("tensorflow-cpu") or find_distribution_version("tensorflow"),
    "onnxruntime": find_distribution_version("onnxruntime-gpu") or find_distribution_version("onnxruntime"),
}
print(json.dumps({name: version for name, version in versions.items() if version}))
