"""The layers of an image, their entries, and the files that later layers delete or replace."""

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple


class Kind(StrEnum):
    """The kind of an entry of a layer. A whiteout deletes a path, an opaque whiteout empties a directory."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    DEVICE = "device"
    WHITEOUT = "whiteout"
    OPAQUE = "opaque"


class Entry(NamedTuple):
    """One entry of a layer.

    `path` is absolute and normalised; for a whiteout it is the path that is deleted or emptied.
    `target` is a symbolic link's text, or the absolute path a hard link shares its content with.
    `sha256` is that of a file's content, empty for everything else. A file's `mtime`, in seconds since 1970, and `md5`
    are only set where the reader of the layer asked for them: bytecode has its source's time, dpkg the MD5. `xattrs`
    has the names of extended attributes with spaces between them, such as security.capability.
    """

    path: str
    kind: Kind
    size: int
    mode: int
    uid: int
    gid: int
    target: str
    sha256: str
    mtime: int = 0
    md5: str = ""
    xattrs: str = ""


Kept = Mapping[str, bytes]


@dataclass(frozen=True)
class Layer:
    """A layer: its diff ID, the instruction that made it, its entries in the archive's order.

    `kept` has the first bytes of the files that the reader of the layer asked for, by path.
    """

    diff_id: str
    created_by: str
    entries: tuple[Entry, ...]
    kept: Kept = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The bytes of the layer's files, uncompressed; a hard link adds none."""
        return sum(entry.size for entry in self.entries)

    @property
    def files(self) -> int:
        """The number of regular files."""
        return sum(entry.kind is Kind.FILE for entry in self.entries)


class Wasted(NamedTuple):
    """A file that a later layer deletes or replaces, so that its bytes are wasted."""

    entry: Entry
    layer: int
    by: int


Merged = dict[str, tuple[Entry, int]]


@dataclass(frozen=True)
class SavedImage:
    """An image as it is saved.

    `config` has the settings of an OCI image configuration that are not empty, and its history with `created_by` and
    `empty_layer`.
    """

    layers: tuple[Layer, ...]
    config: dict[str, Any]

    @property
    def size(self) -> int:
        """The image's size: the uncompressed file content of all layers, in bytes."""
        return sum(layer.size for layer in self.layers)

    def merged(self) -> Merged:
        """Return the final file system: each path with its entry and the index of the layer it is from."""
        return _apply_layers(self.layers)[0]

    def waste(self) -> list[Wasted]:
        """Return the files that a later layer deletes or replaces, in the order of deletion."""
        final, lost = _apply_layers(self.layers)
        # A deleted file keeps its bytes in use for as long as a hard link to it is left.
        linked = {(e.target, layer) for e, layer in final.values() if e.kind is Kind.HARDLINK}
        return [item for item in lost if (item.entry.path, item.layer) not in linked]


# --- Layers on top of each other ---


def _apply_layers(layers: Sequence[Layer]) -> tuple[Merged, list[Wasted]]:
    """Apply the layers in order; return the final paths and the deleted or replaced files with content."""
    final: Merged = {}
    lost: list[Wasted] = []
    for index, layer in enumerate(layers):
        lost += [Wasted(*final.pop(path), index) for path in _find_hidden(final, layer)]
        for entry in layer.entries:
            if entry.kind not in (Kind.WHITEOUT, Kind.OPAQUE):
                if entry.path in final:
                    lost.append(Wasted(*final[entry.path], index))
                final[entry.path] = (entry, index)
    return final, [item for item in lost if item.entry.size]


def _find_hidden(final: Merged, layer: Layer) -> list[str]:
    """Return the paths of lower layers that this layer's whiteouts and replaced directories hide."""
    gone = {entry.path for entry in layer.entries if entry.kind is Kind.WHITEOUT}
    emptied = {entry.path for entry in layer.entries if entry.kind is Kind.OPAQUE}
    emptied |= {entry.path for entry in layer.entries if _replaces_directory(final, entry)}
    emptied |= gone
    if not emptied:
        return []
    return [path for path in final if path in gone or not emptied.isdisjoint(_iterate_parents(path))]


def _replaces_directory(final: Merged, entry: Entry) -> bool:
    """Tell whether a file or link replaces a directory."""
    if entry.kind in (Kind.DIRECTORY, Kind.WHITEOUT, Kind.OPAQUE) or entry.path not in final:
        return False
    return final[entry.path][0].kind is Kind.DIRECTORY


def _iterate_parents(path: str) -> Iterator[str]:
    """Yield the directories above a path, up to the root."""
    while path != "/":
        path = posixpath.dirname(path)
        yield path


# --- From a configuration to an image ---


def make_image(
    raw: dict[str, Any], contents: Iterable[tuple[Entry, ...]], kept: Iterable[Kept] | None = None
) -> SavedImage:
    """Make an image from an OCI configuration and the entries of its layers, in order."""
    config = _normalize_config(raw)
    diff_ids = raw["rootfs"]["diff_ids"]
    made = [item["created_by"] for item in config["history"] if not item["empty_layer"]]
    # Some tools write no history, or one that does not tell which entry made which layer.
    instructions = made if len(made) == len(diff_ids) else [""] * len(diff_ids)
    rows = zip(diff_ids, instructions, contents, kept or [{} for _ in diff_ids], strict=True)
    return SavedImage(tuple(Layer(*row) for row in rows), config)


def _normalize_config(raw: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration with the fields that a saved image and `docker image inspect` have in common."""
    history = [
        {
            # `docker history` shows tabs as spaces; an import has a comment and no instruction.
            "created_by": (item.get("created_by") or item.get("comment") or "").replace("\t", " "),
            "empty_layer": bool(item.get("empty_layer")),
        }
        for item in raw.get("history") or ()
    ]
    return {
        "config": {key: value for key, value in (raw.get("config") or {}).items() if value},
        "history": history,
    }
