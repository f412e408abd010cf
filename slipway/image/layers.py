"""The layers of an image, their entries, and the files that later layers delete or replace."""

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple

from slipway.errors import SlipwayError


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
    `sha256` is that of a file's content, empty for everything else. `mtime`, in seconds since 1970, and a file's `md5`
    are only set where the reader of the layer asked for them: bytecode has its source's time, dpkg the MD5. `xattrs`
    has the names of extended attributes with spaces between them, such as security.capability. `gpu` has the bytes of
    GPU code by architecture, such as `sm_80=1200 sm_90=3400`, also only where they were asked for.
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
    gpu: str = ""


Kept = Mapping[str, bytes]
Contents = tuple[tuple[Entry, ...], Kept]  # of a layer


@dataclass(frozen=True)
class Layer:
    """A layer: its diff ID, the instruction that made it, its entries in the archive's order.

    `kept` has the first bytes of the files that the reader of the layer asked for, by path. `stored` has the bytes of
    the compressed layer, None where it was read from a source that has it uncompressed.
    """

    diff_id: str
    created_by: str
    entries: tuple[Entry, ...]
    kept: Kept = field(default_factory=dict)
    stored: int | None = field(default=None, compare=False)

    @property
    def size(self) -> int:
        """The bytes of the layer's files, uncompressed; a hard link adds none."""
        return sum(entry.size for entry in self.entries)


class Wasted(NamedTuple):
    """A file that a later layer deletes or replaces, so that its bytes are wasted."""

    entry: Entry
    layer: int
    by: int


Merged = dict[str, tuple[Entry, int]]


@dataclass(frozen=True)
class SavedImage:
    """An image as it is saved.

    `platform` is such as linux/amd64; `id` is the engine's ID of the image, elsewhere the digest of its configuration.
    `config` has the settings of an OCI image configuration that are not empty, and its history with `created_by` and
    `empty_layer`.
    """

    layers: tuple[Layer, ...]
    config: dict[str, Any]
    platform: str = ""
    id: str = field(default="", compare=False)

    @property
    def size(self) -> int:
        """The image's size: the uncompressed file content of all layers, in bytes."""
        return sum(layer.size for layer in self.layers)

    def merged(self) -> Merged:
        """Return the final file system: each path with its entry and the index of the layer it is from."""
        return self._applied[0]

    def waste(self) -> list[Wasted]:
        """Return the files that a later layer deletes or replaces, in the order of deletion."""
        final, lost = self._applied
        # A deleted file keeps its bytes in use for as long as a hard link to it is left.
        linked = {(e.target, layer) for e, layer in final.values() if e.kind is Kind.HARDLINK}
        return [item for item in lost if (item.entry.path, item.layer) not in linked]

    @cached_property
    def _applied(self) -> tuple[Merged, list[Wasted]]:
        return _apply_layers(self.layers)


# --- Layers on top of each other ---


def _apply_layers(layers: Sequence[Layer]) -> tuple[Merged, list[Wasted]]:
    """Return the final paths, and the files with content that are deleted or replaced.

    From the last layer to the first, so that each entry is looked at once, however many layers there are.
    """
    _check_links(layers)
    final: Merged = {}
    lost: list[Wasted] = []
    named: dict[str, int] = {}  # the lowest layer so far that has or deletes a path
    covered: dict[str, int] = {}  # the lowest layer so far that hides everything below a path

    def find_cover(folder: str) -> int:
        return min(
            (covered[path] for path in (folder, *_iterate_parents(folder)) if path in covered), default=len(layers)
        )

    for index, layer in reversed(list(enumerate(layers))):
        hidden = {folder: find_cover(folder) for folder in {posixpath.dirname(entry.path) for entry in layer.entries}}
        for entry in layer.entries:
            if entry.kind in (Kind.WHITEOUT, Kind.OPAQUE):
                continue
            by = min(named.get(entry.path, len(layers)), hidden[posixpath.dirname(entry.path)])
            if by == len(layers):
                final[entry.path] = (entry, index)
            elif entry.size:
                lost.append(Wasted(entry, index, by))
        named.update((entry.path, index) for entry in layer.entries if entry.kind is not Kind.OPAQUE)
        covered.update((entry.path, index) for entry in layer.entries if entry.kind is not Kind.DIRECTORY)
    return final, sorted(lost, key=lambda item: (item.by, item.layer))


def _check_links(layers: Sequence[Layer]) -> None:
    """Raise SlipwayError for an entry below a link of a lower layer: engines differ on where they put it."""
    links: set[str] = set()
    for layer in layers:
        for entry in layer.entries:
            if entry.kind is Kind.SYMLINK:
                links.add(entry.path)
            elif entry.kind is not Kind.OPAQUE:
                links.discard(entry.path)
        for folder in {e.path if e.kind is Kind.OPAQUE else posixpath.dirname(e.path) for e in layer.entries}:
            if not links.isdisjoint((folder, *_iterate_parents(folder))):
                raise SlipwayError(f"layer {layer.diff_id} has files in {folder!a}, which leads through a link")


def _iterate_parents(path: str) -> Iterator[str]:
    """Yield the directories above a path, up to the root."""
    while path != "/":
        path = path.rpartition("/")[0] or "/"
        yield path


# --- From a configuration to an image ---


def make_image(raw: dict[str, Any], contents: Iterable[Contents]) -> SavedImage:
    """Make an image from an OCI configuration and the contents of its layers, in order."""
    config = _normalize_config(raw)
    diff_ids = raw["rootfs"]["diff_ids"]
    made = [item["created_by"] for item in config["history"] if not item["empty_layer"]]
    # Some tools write no history, or one that does not tell which entry made which layer.
    instructions = made if len(made) == len(diff_ids) else [""] * len(diff_ids)
    rows = zip(diff_ids, instructions, contents, strict=True)
    platform = f"{raw.get('os', '')}/{raw.get('architecture', '')}"
    return SavedImage(tuple(Layer(diff_id, text, *content) for diff_id, text, content in rows), config, platform)


def add_source(image: SavedImage, config_id: str, stored: Iterable[int | None]) -> SavedImage:
    """Return the image with its ID and the bytes of its stored layers."""
    layers = tuple(replace(layer, stored=size) for layer, size in zip(image.layers, stored, strict=True))
    return replace(image, layers=layers, id=config_id)


def _normalize_config(raw: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration with the fields that a saved image and `docker image inspect` have in common."""
    settings, history = raw.get("config") or {}, raw.get("history") or []
    if not isinstance(settings, dict) or not isinstance(history, list) or not all(isinstance(i, dict) for i in history):
        raise SlipwayError("the configuration has no settings and history as every image has them")
    rows = [
        {
            # `docker history` shows tabs as spaces; an import has a comment and no instruction.
            "created_by": str(item.get("created_by") or item.get("comment") or "").replace("\t", " "),
            "empty_layer": bool(item.get("empty_layer")),
        }
        for item in history
    ]
    return {"config": {key: value for key, value in settings.items() if value}, "history": rows}
