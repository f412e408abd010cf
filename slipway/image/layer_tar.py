"""Reads the entries of a layer from a tar stream: nothing is unpacked, and the memory is limited."""

import hashlib
import posixpath
from collections.abc import Callable, Iterator
from io import BytesIO
from sys import getsizeof
from typing import IO, NamedTuple

from slipway import files
from slipway.errors import SlipwayError
from slipway.image import tar_reader
from slipway.image.gpu_code import BEGINNINGS, GpuCode
from slipway.image.layers import Entry, Kind
from slipway.image.tar_reader import BLOCK, Member, Tape, show_name

# Manifests and configurations are some kilobytes. No document above this is held in memory.
MEMORY_LIMIT = 8 << 20
# Limits far above those of any real image, against archives made to exhaust memory or time.
MOST_MEMORY = 128 << 20  # of entries and kept content, so that the process stays below 300 MB
ENTRY_MEMORY = 500  # of an entry beside its names
LONGEST_NAME = 4096  # as the kernel has it
MOST_FOLDERS = 100
MOST_RATIO = 100  # of a layer's bytes to its compressed ones
FREE_BYTES = 256 << 20  # that may be compressed to any size
WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
KINDS = {tar_reader.DIRECTORY: Kind.DIRECTORY, tar_reader.SYMLINK: Kind.SYMLINK, tar_reader.HARDLINK: Kind.HARDLINK}


# --- Requests and limits ---


class Wanted(NamedTuple):
    """The data to read of a file besides its SHA-256: the number of first bytes, its MD5, its GPU code.

    `make` returns what is kept in place of the first bytes, from a file on disk with all of them.
    """

    size: int = 0
    md5: bool = False
    gpu: bool = False
    make: Callable[[IO[bytes]], bytes] | None = None


Keep = Callable[[str], Wanted]


class Limits:
    """Counts the content of an archive and refuses one that would exhaust memory or time."""

    def __init__(self, keep: Keep | None) -> None:
        self.keep = keep
        self._memory = 0
        self.compressed = 0  # the bytes of compressed layers so far
        self._unpacked = 0

    def count_memory(self, size: int) -> None:
        """Count bytes that are held in memory; SlipwayError for too many."""
        self._memory += size
        if self._memory > MOST_MEMORY:
            raise SlipwayError(f"has more names and documents than {MOST_MEMORY >> 20} MiB hold: no image is like that")

    def count_member(self, member: Member) -> None:
        """Count a member; SlipwayError for too many or for a name that no file can have."""
        for name in (member.name, member.target):
            if len(name) > LONGEST_NAME or name.count("/") > MOST_FOLDERS:
                most = f"{LONGEST_NAME} characters or {MOST_FOLDERS} folders"
                raise SlipwayError(f"has a name of more than {most}: {show_name(name)}")
        # A character takes up to four bytes.
        self.count_memory(ENTRY_MEMORY + sum(map(getsizeof, (member.name, member.target, *member.xattrs))))

    def count_unpacked(self, size: int) -> None:
        """Count the bytes that compressed layers unpack to; SlipwayError for too many."""
        self._unpacked += size
        if self._unpacked > FREE_BYTES + MOST_RATIO * self.compressed:
            raise SlipwayError(f"unpacks to more than {MOST_RATIO} times its size: no image is like that")


# --- Entries ---


def read_entries(tape: Tape, limits: Limits, kept: dict[str, bytes]) -> Iterator[Entry]:
    """Yield the entries of a layer; the first bytes of the wanted files are added to `kept`.

    SlipwayError for a layer whose files depend on the order of its entries, or on the engine.
    """
    kinds: dict[str, Kind] = {}
    for member in tar_reader.read_members(tape):
        limits.count_member(member)
        folder, name = posixpath.split(_make_absolute(member.name))
        if name == OPAQUE:
            yield _make_entry(member, folder, Kind.OPAQUE)
            continue
        is_whiteout = name.startswith(WHITEOUT)
        entry = _make_whiteout(member, folder, name) if is_whiteout else _read_entry(member, tape, limits, kept)
        _note_kind(kinds, entry)
        yield entry
    _check_folders(kinds)


def _make_whiteout(member: Member, folder: str, name: str) -> Entry:
    hidden = name.removeprefix(WHITEOUT)
    if hidden in ("", ".", "..") or hidden.startswith(WHITEOUT):
        raise SlipwayError(f"deletes {show_name(member.name)}, which is no file")
    return _make_entry(member, posixpath.join(folder, hidden), Kind.WHITEOUT)


def _note_kind(kinds: dict[str, Kind], entry: Entry) -> None:
    """Note the kind of a path; SlipwayError for one that the layer has twice, or that a link to it comes before."""
    if entry.path in kinds and not kinds[entry.path] is entry.kind is Kind.DIRECTORY:
        raise SlipwayError(f"has {show_name(entry.path)} twice, or after a link to it")
    kinds[entry.path] = entry.kind
    if entry.kind is Kind.HARDLINK:
        kinds.setdefault(entry.target, Kind.HARDLINK)


def _check_folders(kinds: dict[str, Kind]) -> None:
    """Raise SlipwayError for a path below one that the layer has as anything but a directory."""
    above = "\0"
    # In this order, what is below a path follows it at once.
    for path in sorted(kinds, key=lambda path: path.replace("/", "\0")):
        if path.startswith(above):
            raise SlipwayError(f"has {show_name(path)} below what is no directory")
        if kinds[path] is not Kind.DIRECTORY:
            above = f"{path}/"


def _read_entry(member: Member, tape: Tape, limits: Limits, kept: dict[str, bytes]) -> Entry:
    """Return an entry other than a whiteout."""
    path = _make_absolute(member.name)
    mtime = member.mtime if limits.keep else 0
    if member.type == tar_reader.FILE:
        wanted = limits.keep(path) if limits.keep else Wanted()
        entry = _make_entry(member, path, Kind.FILE)._replace(size=member.size, mtime=mtime)
        entry, beginning = _read_content(entry, tape, wanted)
        if beginning:
            limits.count_memory(len(beginning))
            kept[path] = beginning
        return entry
    entry = _make_entry(member, path, KINDS.get(member.type, Kind.DEVICE))
    target = _make_absolute(member.target) if entry.kind is Kind.HARDLINK else member.target
    return entry._replace(target=target, mtime=mtime)


def _make_entry(member: Member, path: str, kind: Kind) -> Entry:
    return Entry(
        path, kind, 0, member.mode & 0o7777, member.uid, member.gid, "", "", xattrs=" ".join(sorted(member.xattrs))
    )


def _read_content(entry: Entry, tape: Tape, wanted: Wanted) -> tuple[Entry, bytes]:
    """Read the file at the tape's position: its entry with all that is wanted, and the first bytes."""
    sha256 = hashlib.sha256()
    md5 = hashlib.md5(usedforsecurity=False) if wanted.md5 else None
    gpu = GpuCode() if wanted.gpu and tape.peek(min(entry.size, BLOCK)).startswith(BEGINNINGS) else None
    with files.temporary_file() if wanted.make else BytesIO() as beginning:
        room = wanted.size
        for chunk, start, end in tape.spans(entry.size):
            piece = memoryview(chunk)[start:end]
            sha256.update(piece)
            if md5:
                md5.update(piece)
            if gpu:
                gpu.feed(chunk, start, end)
            if room:
                room -= beginning.write(piece[:room])
        found = entry._replace(sha256=sha256.hexdigest(), md5=md5.hexdigest() if md5 else "", gpu=str(gpu or ""))
        beginning.seek(0)
        if not wanted.make:
            return found, beginning.read()
        return found, wanted.make(beginning) if entry.size <= wanted.size else b""


def _make_absolute(name: str) -> str:
    """Return a member's name as a path from the root; ".." does not lead above it."""
    return posixpath.normpath("/" + name.lstrip("/"))
