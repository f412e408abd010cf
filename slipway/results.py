"""What runs leave in dist/<image>/: written whole or not at all, one build of an image at a time."""

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slipway.errors import SlipwayError
from slipway.matrix import Image


def write(file: Path, content: str) -> None:
    """Write a text file whole or not at all; SlipwayError when the disk is full or not writable."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as temporary:
            try:
                temporary.write(content)
                temporary.flush()
                os.fchmod(temporary.fileno(), 0o644)
                Path(temporary.name).replace(file)
            except BaseException:
                Path(temporary.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise SlipwayError(
            f"cannot write {file}: {error.strerror}; free space or mend the folder's permissions"
        ) from None


def write_json(file: Path, content: object) -> None:
    """Write a JSON document whole or not at all."""
    write(file, json.dumps(content, indent=2) + "\n")


def read_json(file: Path) -> dict[str, Any]:
    """Return a JSON document; empty where there is none, or a damaged one."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@contextlib.contextmanager
def exclusive(image: Image) -> Iterator[None]:
    """Hold an image's evidence, so that a second build of the same image waits for this one."""
    image.results.mkdir(parents=True, exist_ok=True)
    with (image.results / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{image.name} is being built by another run; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
