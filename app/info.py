"""What the service runs on: versions, devices and memory."""

import os
import platform
from contextlib import suppress
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
NO_LIMIT = 2**60


def collect() -> dict[str, Any]:
    """Everything that /info answers."""
    return {
        "python": platform.python_version(),
        "distributions": installed_versions(),
        "cuda_runtime": cuda.runtime_version(),
        "hip_runtime": hip.runtime_version(),
        "onnxruntime_provider": inference.provider_in_use(inference.CPU if cuda.why_unavailable() else inference.CUDA),
        "devices": gpu.of_this_image().devices(),
        "cpus": processors(Path("/sys/fs/cgroup")),
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


def processors(cgroup: Path) -> float:
    """The processors that this container may use, or the share of them that its limit of time leaves."""
    allowed = len(os.sched_getaffinity(0))
    quota, period = _read_limit(cgroup, "cpu.max", "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us") or ("max", "1")
    return allowed if quota in ("max", "-1") else min(allowed, int(quota) / int(period))


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
    """The limit of the control group; None where there is none, which version 1 writes as more than any machine has."""
    [limit] = _read_limit(cgroup, "memory.max", "memory/memory.limit_in_bytes") or ("max",)
    return None if limit == "max" or int(limit) >= NO_LIMIT else int(limit)


def _read_limit(cgroup: Path, file: str, *files: str) -> list[str] | None:
    """The words of the file of control groups of version 2, or of the files of version 1; None where there are none."""
    for names in ((file,), files):
        with suppress(OSError):
            return " ".join((cgroup / name).read_text() for name in names).split()
    return None
