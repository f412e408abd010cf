"""The GPU that an image is made for: AMD's where it has HIP, otherwise NVIDIA's."""

from types import ModuleType

from app import cuda, hip


def of_this_image() -> ModuleType:
    """The module for this image's kind of GPU: `NAME`, `is_installed`, `why_unavailable`, `multiply`, `devices`."""
    return hip if hip.is_installed() else cuda
