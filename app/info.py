"""What the service runs on: versions, devices and memory."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from app import cuda, gpu, hip, inference

DISTRIBUTIONS = (
    "fastapi",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorflow",
    "tensorflow-cpu",
    "torch",
    "uvicorn",
)


def collect() -> dict[str, Any]:
    """Everything that /info answers."""
    return {
        "python": platform.python_version(),
        "distributions": installed_versions(),
        "cuda_runtime": cuda.runtime_version(),
        "hip_runtime": hip.runtime_version(),
        "onnxruntime_provider": inference.provider_in_use(inference.CPU if cuda.why_unavailable() else inference.CUDA),
        "devices": gpu.of_this_image().devices(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_bytes": memory(),
    }


def installed_versions() -> dict[str, str]:
    """The main distributions that are installed, by their metadata: none is imported."""
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def memory() -> dict[str, int | None]:
    """The host's memory, and this container's limit where it has one."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kilobytes = {name: int(rest.split()[0]) for name, rest in (line.split(":") for line in lines)}
    return {
        "total": kilobytes["MemTotal"] * 1024,
        "available": kilobytes["MemAvailable"] * 1024,
        "limit": memory_limit(Path("/sys/fs/cgroup")),
    }


def memory_limit(cgroup: Path) -> int | None:
    """The limit of the control group (version 2); None where there is none."""
    try:
        limit = (cgroup / "memory.max").read_text().strip()
    except OSError:
        return None
    return None if limit == "max" else int(limit)
