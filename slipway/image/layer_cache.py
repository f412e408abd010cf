"""A cache folder with the entries and kept documents of each layer, by diff ID.

A diff ID is the digest of a layer's content, so an entry never goes stale.
"""

import gzip
import json
import zlib
from base64 import b64decode, b64encode
from itertools import islice
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.files import write_whole
from slipway.image.layers import Contents, Entry, Kind, Layer

VERSION = 9  # increase it when other data of layers is kept: older files are then ignored


def _make_path(folder: Path, diff_id: str) -> Path:
    return folder / f"{diff_id.removeprefix('sha256:')}.jsonl.gz"


def _make_header(diff_id: str) -> dict[str, object]:
    return {"version": VERSION, "diff_id": diff_id}


def load_layer(folder: Path, diff_id: str) -> Contents | None:
    """Return a layer's entries and documents from the cache; None without a file or for a damaged one.

    gzip's own checksum detects a damaged file.
    """
    try:
        with gzip.open(_make_path(folder, diff_id), "rt", encoding="ascii") as lines:
            if json.loads(next(lines, "null")) != _make_header(diff_id):
                return None
            rows = map(json.loads, lines)
            kept = {path: b64decode(content) for path, content in islice(rows, json.loads(next(lines)))}
            return tuple(Entry(row[0], Kind(row[1]), *row[2:]) for row in rows), kept
    except (OSError, EOFError, zlib.error, ValueError, TypeError, AttributeError, LookupError, StopIteration):
        return None


def store_layer(folder: Path, layer: Layer) -> None:
    """Keep a layer's entries and documents; the file appears whole or not at all."""
    try:
        with (
            write_whole(_make_path(folder, layer.diff_id)) as file,
            gzip.open(file, "wt", compresslevel=1, encoding="ascii") as lines,
        ):
            lines.write(f"{json.dumps(_make_header(layer.diff_id))}\n")
            lines.write(f"{len(layer.kept)}\n")
            # One at a time, because all of them together are large.
            for path, content in layer.kept.items():
                lines.write(f"{json.dumps([path, b64encode(content).decode()])}\n")
            lines.writelines(f"{json.dumps(entry)}\n" for entry in layer.entries)
    except OSError as error:
        hint = "free space there, or name another cache folder in XDG_CACHE_HOME"
        raise SlipwayError(f"cannot write to {folder} ({error.strerror}); {hint}") from None
