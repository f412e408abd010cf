"""Unpacks the layers of an image as streams: plain ones, and those of gzip and zstd."""

import gzip
import subprocess
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import SimpleNamespace
from typing import BinaryIO, cast

from slipway.docker import CHUNK
from slipway.errors import SlipwayError

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD = ("zstd", "--quiet", "--decompress", "--stdout")

Read = Callable[[int], bytes]


def is_compressed(head: bytes) -> bool:
    """Tell by the first bytes of a stream whether it is compressed."""
    return head.startswith((GZIP_MAGIC, ZSTD_MAGIC))


def unpack(head: bytes, source: Read) -> AbstractContextManager[Read]:
    """Return a context with a function that reads the plain content of a stream with these first bytes.

    SlipwayError, whose text follows the stream's name, when it is damaged or there is no program for it.
    """
    if not is_compressed(head):
        return nullcontext(source)
    return _unpack_gzip(source) if head.startswith(GZIP_MAGIC) else _unpack_zstd(source)


@contextmanager
def _unpack_gzip(source: Read) -> Iterator[Read]:
    """Yield a function that reads what gzip has compressed."""
    try:
        with gzip.GzipFile(fileobj=cast("BinaryIO", SimpleNamespace(read=source)), mode="rb") as plain:
            yield plain.read
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SlipwayError(f"is damaged ({error})") from None


@contextmanager
def _unpack_zstd(source: Read) -> Iterator[Read]:
    """Yield a function that reads what zstd has compressed; Python has no zstd before 3.14."""
    try:
        process = subprocess.Popen(ZSTD, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        raise SlipwayError("is compressed with zstd, and there is no zstd command: apt-get install zstd") from None
    failures: list[SlipwayError] = []
    feeder = threading.Thread(target=_feed, args=(source, cast("BinaryIO", process.stdin), failures), daemon=True)
    feeder.start()
    try:
        yield cast("BinaryIO", process.stdout).read
        feeder.join()
        process.wait()
    finally:
        process.kill()
        process.wait()
    if failures:
        raise failures[0]
    if process.returncode:
        raise SlipwayError("is damaged: zstd cannot unpack it")


def _feed(source: Read, target: BinaryIO, failures: list[SlipwayError]) -> None:
    """Write what the source has, until its end or that of the reader."""
    try:
        with target:
            while data := source(CHUNK):
                target.write(data)
    except SlipwayError as error:
        failures.append(error)
    except OSError:
        pass  # the reader has ended, and its exit code says why
