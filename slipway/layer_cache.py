"""A folder that keeps what was read of each layer, under the layer's diff ID."""

import contextlib
import gzip
import json
import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from slipway.errors import SlipwayError
from slipway.layers import Entry, Kind, Layer

VERSION = 1
COLUMNS = 8  # of an entry: its time and MD5 serve the audit, which reads the image itself


def default_folder() -> Path:
    """Return the user's cache folder for layers."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "slipway" / "layers"


def _file(folder: Path, diff_id: str) -> Path:
    return folder / f"{diff_id.removeprefix('sha256:')}.jsonl.gz"


def _header(diff_id: str) -> dict[str, object]:
    return {"version": VERSION, "diff_id": diff_id}


def contains(folder: Path, diff_id: str) -> bool:
    """Tell whether there is a file for a layer, damaged or not."""
    return _file(folder, diff_id).exists()


def load(folder: Path, diff_id: str) -> tuple[Entry, ...] | None:
    """Return a layer's entries from the cache; None when they are not there or the file is damaged.

    gzip's own checksum tells a damaged file.
    """
    try:
        with gzip.open(_file(folder, diff_id), "rt", encoding="ascii") as lines:
            if json.loads(next(lines, "null")) != _header(diff_id):
                return None
            return tuple(_entry_from_row(json.loads(line)) for line in lines)
    except (OSError, EOFError, zlib.error, ValueError, TypeError, LookupError):
        return None


def _entry_from_row(row: list[Any]) -> Entry:
    return Entry(row[0], Kind(row[1]), *row[2:])


def store(folder: Path, layer: Layer) -> None:
    """Keep a layer's entries; the file appears whole or not at all."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            _written_whole(_file(folder, layer.diff_id)) as file,
            gzip.open(file, "wt", compresslevel=1, encoding="ascii") as lines,
        ):
            lines.write(f"{json.dumps(_header(layer.diff_id))}\n")
            lines.writelines(f"{json.dumps(entry[:COLUMNS])}\n" for entry in layer.entries)
    except OSError as error:
        hint = "free space there, or name another cache folder in XDG_CACHE_HOME"
        raise SlipwayError(f"cannot write to {folder} ({error.strerror}); {hint}") from None


@contextlib.contextmanager
def _written_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that takes its name when all is written and vanishes otherwise."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        try:
            yield cast("BinaryIO", file)
            file.close()
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
