"""Reads the entries of a layer from a tar stream: nothing is unpacked, and the memory is limited."""

import hashlib
import posixpath
import tarfile
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple, cast

from slipway.docker import CHUNK
from slipway.errors import SlipwayError
from slipway.image.layers import Entry, Kind

# Configurations and extended tar headers are some kilobytes. Nothing above this is held in memory.
MEMORY_LIMIT = 8 << 20
# Limits far above those of any real image, against archives made to exhaust memory or time.
MOST_ENTRIES = 2_000_000
MOST_BYTES = 200 * 10**9
MOST_DOCUMENTS = 64 << 20
XATTR = "SCHILY.xattr."  # begins the headers of extended attributes
LONGEST_NAME = 4096  # as the kernel has it


# --- Requests and limits ---


class Wanted(NamedTuple):
    """The data to read of a file besides its SHA-256: the number of first bytes, and whether its MD5."""

    size: int = 0
    md5: bool = False


Keep = Callable[[str], Wanted]


class Limits:
    """Counts the content of an archive and refuses one that would exhaust memory or time."""

    def __init__(self, keep: Keep | None) -> None:
        self.keep = keep
        self._entries = 0
        self._bytes = 0
        self._documents = 0

    def count_entry(self, member: tarfile.TarInfo) -> None:
        """Count an entry of a layer; SlipwayError for too many entries or an impossible one."""
        self._entries += 1
        if self._entries > MOST_ENTRIES:
            raise SlipwayError(f"holds more than {MOST_ENTRIES:,} files: no image is like that")
        if len(member.name) > LONGEST_NAME or len(member.linkname) > LONGEST_NAME:
            raise SlipwayError(f"holds a name of more than {LONGEST_NAME} characters: {member.name[:60]}…")
        if member.issparse():
            raise SlipwayError(f"holds a sparse file, which no engine saves: {member.name[:200]}")

    def count_bytes(self, size: int) -> None:
        """Count uncompressed bytes; SlipwayError for too many."""
        self._bytes += size
        if self._bytes > MOST_BYTES:
            raise SlipwayError(f"unpacks to more than {MOST_BYTES // 10**9} GB: no image is like that")

    def count_document(self, size: int) -> None:
        """Count a kept document; SlipwayError when all of them are too large."""
        self._documents += size
        if self._documents > MOST_DOCUMENTS:
            raise SlipwayError(f"holds more than {MOST_DOCUMENTS >> 20} MiB of configurations: it is no single image")


# --- Reading a stream ---


class Tape:
    """A stream that tarfile can read, forwards only.

    `watch` is given every chunk. tarfile's own stream mode copies the rest of its buffer at every read.
    """

    def __init__(self, source: Callable[[int], bytes], watch: Callable[[bytes], object] | None = None) -> None:
        self._source = source
        self._watch = watch
        self._chunk = b""
        self._at = 0
        self._position = 0

    def _fill(self) -> None:
        """Append the next chunk to the rest of the last one."""
        chunk = self._source(CHUNK)
        if self._watch is not None:
            self._watch(chunk)
        self._chunk = self._chunk[self._at :] + chunk
        self._at = 0

    def peek(self, size: int) -> bytes:
        """Return the next bytes without reading them."""
        if len(self._chunk) - self._at < size:
            self._fill()
        return self._chunk[self._at : self._at + size]

    def pieces(self, size: int) -> Iterator[memoryview]:
        """Yield the next `size` bytes without copies; fewer at the end of the stream."""
        while size > 0:
            if self._at == len(self._chunk):
                self._fill()
            piece = memoryview(self._chunk)[self._at : self._at + size]
            if not piece:
                return
            self._at += len(piece)
            self._position += len(piece)
            size -= len(piece)
            yield piece

    def read(self, size: int) -> bytes:
        """Return the next bytes, fewer at the end; an error of tarfile for more than a header has."""
        if size > MEMORY_LIMIT:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return b"".join(self.pieces(size))

    def tell(self) -> int:
        """Return the number of bytes that were read."""
        return self._position

    def seek(self, position: int) -> None:
        """Skip to a position."""
        for _ in self.pieces(position - self._position):
            pass

    def drain(self) -> None:
        """Read to the end."""
        self._at = len(self._chunk)
        while self._chunk:
            self._fill()
            self._at = len(self._chunk)


def read_members(tape: Tape) -> Iterator[tarfile.TarInfo]:
    """Yield the members of a tar stream, one at a time."""
    with tarfile.open(fileobj=cast("IO[bytes]", tape), mode="r:") as archive:
        while (member := archive.next()) is not None:
            yield member
            # tarfile remembers all members, which in a large layer are hundreds of megabytes.
            cast("Any", archive).members.clear()


def read_entries(tape: Tape, limits: Limits, kept: dict[str, bytes]) -> Iterator[Entry]:
    """Yield the entries of a layer; the first bytes of the wanted files are added to `kept`."""
    for member in read_members(tape):
        limits.count_entry(member)
        folder, name = posixpath.split(_make_absolute(member.name))
        if name == ".wh..wh..opq":
            yield _make_entry(member, folder, Kind.OPAQUE)
        elif name.startswith(".wh..wh."):
            continue  # bookkeeping of the aufs storage driver
        elif name.startswith(".wh."):
            yield _make_entry(member, posixpath.join(folder, name[4:]), Kind.WHITEOUT)
        else:
            yield _read_entry(member, tape, limits.keep, kept)


def _read_entry(member: tarfile.TarInfo, tape: Tape, keep: Keep | None, kept: dict[str, bytes]) -> Entry:
    """Return an entry other than a whiteout."""
    path = _make_absolute(member.name)
    if member.isreg():
        beginning, sha256, md5 = _read_content(member, tape, keep(path) if keep else None)
        if beginning:
            kept[path] = beginning
        mtime = int(member.mtime) if keep else 0
        return _make_entry(member, path, Kind.FILE)._replace(size=member.size, sha256=sha256, mtime=mtime, md5=md5)
    if member.isdir():
        return _make_entry(member, path, Kind.DIRECTORY)
    if member.issym():
        return _make_entry(member, path, Kind.SYMLINK)._replace(target=member.linkname)
    if member.islnk():
        return _make_entry(member, path, Kind.HARDLINK)._replace(target=_make_absolute(member.linkname))
    return _make_entry(member, path, Kind.DEVICE)


def _make_entry(member: tarfile.TarInfo, path: str, kind: Kind) -> Entry:
    xattrs = " ".join(sorted(key.removeprefix(XATTR) for key in member.pax_headers if key.startswith(XATTR)))
    return Entry(path, kind, 0, member.mode, member.uid, member.gid, "", "", xattrs=xattrs)


def _read_content(member: tarfile.TarInfo, tape: Tape, wanted: Wanted | None) -> tuple[bytes, str, str]:
    """Read the file at the tape's position: the first bytes, SHA-256 and MD5, as wanted."""
    sha256 = hashlib.sha256()
    md5 = hashlib.md5(usedforsecurity=False) if wanted and wanted.md5 else None
    beginning = bytearray()
    for piece in tape.pieces(member.size):
        sha256.update(piece)
        if md5:
            md5.update(piece)
        if wanted and len(beginning) < wanted.size:
            beginning += piece[: wanted.size - len(beginning)]
    return bytes(beginning), sha256.hexdigest(), md5.hexdigest() if md5 else ""


def _make_absolute(name: str) -> str:
    """Return a member's name as a path from the root; ".." does not lead above it."""
    return posixpath.normpath("/" + name.lstrip("/"))
