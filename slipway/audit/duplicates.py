"""Finds files of the same content in an image, in any layers and by any names.

policy/duplicates.toml has those that must be.
"""

from collections.abc import Iterable, Iterator

from slipway import repository
from slipway.audit.findings import Finding
from slipway.audit.globs import compile_globs
from slipway.audit.unpackaged_files import Globs, Text
from slipway.image.filesystem import FileSystem
from slipway.toml import Table

FILE = repository.ROOT / "policy" / "duplicates.toml"
LARGE = 1 << 16  # bytes; smaller files with the same content are many and cost little


class Copies(Table):
    """A [[copies]] table: files that may have the content of another one."""

    paths: Globs
    reason: Text


class DuplicatesToml(Table):
    """policy/duplicates.toml."""

    copies: list[Copies]


def find_duplicates(system: FileSystem, allowed: Iterable[Copies]) -> Iterator[Finding]:
    """Yield a finding for each content of more than 64 KB that two files have which no row names.

    A hard link has no content of its own.
    """
    pattern = compile_globs(glob for row in allowed for glob in row.paths)
    seen: dict[str, list[tuple[str, int]]] = {}
    for number, layer in enumerate(system.image.layers):
        for entry in layer.entries:
            if entry.size > LARGE and not pattern.fullmatch(entry.path):
                seen.setdefault(entry.sha256, []).append((entry.path, number))
    for (first, _), *others in seen.values():
        if others:
            detail = ", ".join(f"{path} (layer {layer})" for path, layer in others)
            last = others[-1][1]
            yield Finding("same content", first, f"also {detail}", last, system.find_instruction(last))
