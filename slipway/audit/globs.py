"""Globs of paths as docker/trims/ and generated.toml have them, made into one regular expression."""

import re
from collections.abc import Iterable
from re import Pattern


def compiled(globs: Iterable[str], *, folders: bool = False) -> Pattern[str]:
    """Return what matches a path that one of the globs names; with `folders`, also everything below such a path."""
    below = "(?:/.*)?" if folders else ""
    return re.compile("|".join(f"(?:{translate(glob)}{below})" for glob in globs) or r"(?!)")


def translate(glob: str) -> str:
    """Return the regular expression of a glob: * within a name, ** for any folders."""
    parts = re.split(r"(/\*\*/|/\*\*$|\*|\?|\[[^\]]+\])", glob)
    special = {"/**/": "/(?:.*/)?", "/**": "/.*", "*": "[^/]*", "?": "[^/]"}
    return "".join(special.get(part) or (part if part.startswith("[") else re.escape(part)) for part in parts)
