"""Docker's options for the GPUs of this machine."""

import shutil
from pathlib import Path

from slipway import docker

# NVIDIA's driver on Linux, and on Windows as WSL shows it; /dev/dxg alone may be another vendor's GPU.
DRIVER, WSL_DRIVER = Path("/dev/nvidiactl"), Path("/usr/lib/wsl/lib/libcuda.so.1")


def gpu_options(accelerator: str) -> list[str]:
    """Return the options of `docker run` that give a container the GPUs; none on a machine without."""
    if accelerator == "cuda" and (DRIVER.exists() or (WSL_DRIVER.exists() and has_toolkit())):
        return ["--gpus=all"]
    if accelerator == "rocm" and Path("/dev/kfd").exists():
        # By number: the image need not know the groups of the host.
        devices = (Path("/dev/kfd"), *Path("/dev/dri").glob("render*"))
        groups = {device.stat().st_gid for device in devices}
        return ["--device=/dev/kfd", "--device=/dev/dri", *(f"--group-add={group}" for group in sorted(groups))]
    return []


def has_toolkit() -> bool:
    """Tell whether NVIDIA's container toolkit is there: in WSL itself, or the engine knows its runtime."""
    runtimes = docker.call("info", "--format", "{{json .Runtimes}}").stdout
    return bool(shutil.which("nvidia-container-runtime")) or '"nvidia"' in runtimes
