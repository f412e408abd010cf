"""Results in dist/<image>/: files are written whole or not at all, by one build of an image at a time."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from slipway.errors import SlipwayError
from slipway.files import write_whole
from slipway.matrix import Image


def write(file: Path, content: str) -> None:
    """Write a text file whole or not at all; SlipwayError when the disk is full or not writable."""
    try:
        with write_whole(file) as written:
            written.write(content.encode())
    except OSError as error:
        raise SlipwayError(
            f"cannot write {file}: {error.strerror}; free space or fix the folder's permissions"
        ) from None


def write_json(file: Path, content: object) -> None:
    """Write a JSON document whole or not at all."""
    write(file, json.dumps(content, indent=2) + "\n")


def remove(file: Path) -> None:
    """Delete a file if it is there; SlipwayError when its folder is not writable."""
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise SlipwayError(
            f"cannot remove {file}: {error.strerror}; was it made by another user, or by sudo?"
        ) from None


def read_json(file: Path) -> dict[str, Any]:
    """Return a JSON document; empty when it is missing or damaged."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def digest_file(file: Path) -> str:
    """Return the SHA-256 of a file; empty when it cannot be read."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""


@contextlib.contextmanager
def exclusive(image: Image) -> Iterator[None]:
    """Hold the folder of an image's results, so that a second build of the same image waits for this one."""
    lock = FileLock(image.results / ".lock")
    try:
        image.results.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        print(f"{image.name} is being built by another run; waiting for it", flush=True)
        lock.acquire()
    except OSError as error:
        raise SlipwayError(
            f"cannot write {image.results}: {error.strerror}; was it made by another user, or by sudo? "
            f"sudo chown -R $USER {image.results.parent}"
        ) from None
    try:
        yield
    finally:
        lock.release()
