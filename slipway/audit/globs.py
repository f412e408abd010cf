"""The globs of docker/trims/ and policy/unpackaged-files.toml, as regular expressions of paths."""

import re
from collections.abc import Iterable
from re import Pattern
from typing import Annotated

from pydantic import AfterValidator, Field


def compile_globs(globs: Iterable[str], *, folders: bool = False) -> Pattern[str]:
    """Return a regular expression of the paths that globs match; with `folders`, also of everything below them."""
    below = "(?:/.*)?" if folders else ""
    return re.compile("|".join(f"(?:{translate_glob(glob)}{below})" for glob in globs) or r"(?!)")


def translate_glob(glob: str) -> str:
    """Return the regular expression of a glob: * is part of a name, ** any number of folders."""
    parts = re.split(r"(/\*\*/|/\*\*$|\*|\?|\[[^\]]+\])", glob)
    special = {"/**/": "/(?:.*/)?", "/**": "/.*", "*": "[^/]*", "?": "[^/]"}
    return "".join(special.get(part) or (part if part.startswith("[") else re.escape(part)) for part in parts)


def check_glob(glob: str) -> str:
    """Return the glob; ValueError when no expression can be made of it, as of `[z-a]`."""
    try:
        re.compile(translate_glob(glob))
    except re.error as error:
        raise ValueError(str(error)) from None
    return glob


Glob = Annotated[str, Field(description="a glob, such as /usr/lib/**/*.[ao]"), AfterValidator(check_glob)]
