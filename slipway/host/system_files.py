"""Text files of this machine that may be missing, and which system it is."""

import re
from pathlib import Path


def read(path: Path) -> str:
    """Return a file's text, "" where there is none or it may not be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def os_release(path: Path = Path("/etc/os-release")) -> dict[str, str]:
    """Return the fields of os-release; empty without that file."""
    pairs = re.findall(r'(?m)^(\w+)="?([^"\n]*)"?$', read(path))
    return dict(pairs)
