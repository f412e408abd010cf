"""Files that are written whole or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

from slipway.errors import SlipwayError


def find_space() -> str:
    """Return the folder on disk for what is as large as an image; SlipwayError where nothing can be written there.

    /tmp is in memory on many systems.
    """
    place = os.environ.get("TMPDIR") or "/var/tmp"  # noqa: S108
    if not os.access(place, os.W_OK | os.X_OK):
        raise SlipwayError(f"{place} is no folder that can be written: set TMPDIR to one on disk")
    return place


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a new temporary folder on disk; SlipwayError as above."""
    return tempfile.TemporaryDirectory(prefix="slipway-", dir=find_space())


def temporary_file() -> IO[bytes]:
    """Return a new temporary file, which vanishes when it is closed, in the same place."""
    return tempfile.NamedTemporaryFile(prefix="slipway-", dir=find_space())


@contextlib.contextmanager
def write_whole(path: Path) -> Iterator[BinaryIO]:
    """Yield a temporary file that takes the path's name when all is written, and vanishes otherwise.

    The folder is made where it is missing; OSError when the disk is full or not writable.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        try:
            yield cast("BinaryIO", file)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
