"""Shared libraries of GPUs, found as the loader finds them."""

import ctypes
import re
import subprocess
from functools import cache


def newest(name: str) -> str | None:
    """The path of `lib<name>` in the newest version that the loader knows; None where there is none."""
    found = {
        int(match[1]): path
        for soname, path in loader_cache().items()
        if (match := re.fullmatch(rf"lib{name}\.so\.(\d+)", soname))
    }
    return found[max(found)] if found else None


def open_library(name: str) -> ctypes.CDLL:
    """Load a shared library by its path or soname; a second time gives the same one."""
    return ctypes.CDLL(name)


@cache
def loader_cache() -> dict[str, str]:
    """The path of each shared library by its soname, as the loader's cache has it.

    (`ctypes.util.find_library` may start a compiler, which wants to write a temporary file.)
    """
    try:
        listing = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return {}
    return dict(re.findall(r"^\s*(\S+) .* => (\S+)$", listing.stdout.decode(), re.MULTILINE))
