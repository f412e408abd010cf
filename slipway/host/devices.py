"""Docker's options for the GPUs of this machine."""

from pathlib import Path


def gpu_options(accelerator: str) -> list[str]:
    """Return the options of `docker run` that give a container the GPUs; none on a machine without."""
    if accelerator == "cuda" and Path("/dev/nvidiactl").exists():
        return ["--gpus=all"]
    if accelerator == "rocm" and Path("/dev/kfd").exists():
        # By number: the image need not know the groups of the host.
        devices = (Path("/dev/kfd"), *Path("/dev/dri").glob("render*"))
        groups = {device.stat().st_gid for device in devices}
        return ["--device=/dev/kfd", "--device=/dev/dri", *(f"--group-add={group}" for group in sorted(groups))]
    return []
