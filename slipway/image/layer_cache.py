"""A cache folder with the entries and kept documents of each layer, by diff ID.

A diff ID is the digest of a layer's content, so an entry never goes stale.
"""

import gzip
import json
import zlib
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

from slipway.errors import SlipwayError
from slipway.files import write_whole
from slipway.image.layers import Entry, Kept, Kind, Layer
from slipway.repository import cache_folder

VERSION = 2  # raise it when layers are read in another way, or more of them is kept: older files then count as none
Contents = tuple[tuple[Entry, ...], Kept]


def default_folder() -> Path:
    """Return the user's cache folder for layers."""
    return cache_folder("layers")


def _file(folder: Path, diff_id: str) -> Path:
    return folder / f"{diff_id.removeprefix('sha256:')}.jsonl.gz"


def _header(diff_id: str) -> dict[str, object]:
    return {"version": VERSION, "diff_id": diff_id}


def contains(folder: Path, diff_id: str) -> bool:
    """Tell whether the cache has a file for a layer, even a damaged one."""
    return _file(folder, diff_id).exists()


def load(folder: Path, diff_id: str) -> Contents | None:
    """Return a layer's entries and documents from the cache; None without a file or for a damaged one.

    gzip's own checksum detects a damaged file.
    """
    try:
        with gzip.open(_file(folder, diff_id), "rt", encoding="ascii") as lines:
            if json.loads(next(lines, "null")) != _header(diff_id):
                return None
            kept = {path: b64decode(content) for path, content in json.loads(next(lines)).items()}
            return tuple(_entry_from_row(json.loads(line)) for line in lines), kept
    except (OSError, EOFError, zlib.error, ValueError, TypeError, AttributeError, LookupError, StopIteration):
        return None


def _entry_from_row(row: list[Any]) -> Entry:
    return Entry(row[0], Kind(row[1]), *row[2:])


def store(folder: Path, layer: Layer) -> None:
    """Keep a layer's entries and documents; the file appears whole or not at all."""
    try:
        with (
            write_whole(_file(folder, layer.diff_id)) as file,
            gzip.open(file, "wt", compresslevel=1, encoding="ascii") as lines,
        ):
            lines.write(f"{json.dumps(_header(layer.diff_id))}\n")
            kept = {path: b64encode(content).decode() for path, content in layer.kept.items()}
            lines.write(f"{json.dumps(kept)}\n")
            lines.writelines(f"{json.dumps(entry)}\n" for entry in layer.entries)
    except OSError as error:
        hint = "free space there, or name another cache folder in XDG_CACHE_HOME"
        raise SlipwayError(f"cannot write to {folder} ({error.strerror}); {hint}") from None
