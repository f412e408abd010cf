"""The GPU that an image is made for: AMD's where it has HIP, otherwise NVIDIA's."""

from types import ModuleType

from app import cuda, hip


def of_this_image() -> ModuleType:
    """The module with `NAME`, `is_installed`, `why_unavailable`, `multiply` and `devices` for this image's kind of GPU."""
    return hip if hip.is_installed() else cuda
