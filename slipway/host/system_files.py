"""Text files of this machine that may be missing, which system it is, and which addresses are its own alone."""

import re
from pathlib import Path
from urllib.parse import urlsplit

OWN_NAMES = re.compile(r"(.*\.)?localhost\.?|127(\.\d+){3}|0\.0\.0\.0|::1?", re.IGNORECASE)


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


def is_remote(address: str) -> bool:
    """Tell whether a build reaches an address: one by http, and not a folder or a loopback address of this machine."""
    url = urlsplit(address)
    return url.scheme in ("http", "https") and not OWN_NAMES.fullmatch(url.hostname or "localhost")
