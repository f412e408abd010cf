"""Read an image from what `docker save` writes, as it streams by.

The archive is read once, forwards, and held neither on disk nor in memory. Which of its blobs are
layers is only known at its end (`manifest.json` comes last), so every blob is recognised by its first
bytes and every layer is hashed while its entries are listed. In the end the diff IDs (the digests of
the uncompressed layers) must be those that the image's configuration names.
"""

import gzip
import hashlib
import json
import posixpath
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, BinaryIO, NamedTuple, cast

from slipway.errors import SlipwayError
from slipway.image.layers import Entry, Kept, Kind, SavedImage, image_from

CHUNK = 1 << 20
# Configurations and extended tar headers are some kilobytes. Nothing above this is held in memory.
MEMORY_LIMIT = 8 << 20
# What no image comes near, and what an archive that was made to do harm goes beyond.
MOST_ENTRIES = 2_000_000
MOST_BYTES = 200 * 10**9
MOST_DOCUMENTS = 64 << 20
LONGEST_NAME = 4096  # as the kernel has it
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
AGAIN = "save or pull the image again"


# --- What is asked for, and what is too much ---


class Wanted(NamedTuple):
    """What is wanted of a file beside its SHA-256: its first bytes, its MD5."""

    size: int = 0
    md5: bool = False


Keep = Callable[[str], Wanted]


class _Limits:
    """Counts what an archive holds, so that one that was made to exhaust memory or time is refused."""

    def __init__(self, keep: Keep | None) -> None:
        self.keep = keep
        self._entries = 0
        self._bytes = 0
        self._documents = 0

    def count(self, member: tarfile.TarInfo) -> None:
        """Take an entry of a layer into account; SlipwayError when there are too many or one cannot be."""
        self._entries += 1
        if self._entries > MOST_ENTRIES:
            raise SlipwayError(f"holds more than {MOST_ENTRIES:,} files: no image is like that")
        if len(member.name) > LONGEST_NAME or len(member.linkname) > LONGEST_NAME:
            raise SlipwayError(f"holds a name of more than {LONGEST_NAME} characters: {member.name[:60]}…")
        if member.issparse():
            raise SlipwayError(f"holds a sparse file, which no engine saves: {member.name[:200]}")

    def unpacked(self, size: int) -> None:
        """Take uncompressed bytes into account; SlipwayError when there are too many."""
        self._bytes += size
        if self._bytes > MOST_BYTES:
            raise SlipwayError(f"unpacks to more than {MOST_BYTES // 10**9} GB: no image is like that")

    def document(self, size: int) -> None:
        """Take a document that is kept into account; SlipwayError when they are too large together."""
        self._documents += size
        if self._documents > MOST_DOCUMENTS:
            raise SlipwayError(f"holds more than {MOST_DOCUMENTS >> 20} MiB of configurations: it is no single image")


# --- Reading a stream ---


class _Tape:
    """A stream in the form in which tarfile reads files, that only goes forwards.

    `watch` is given every chunk. tarfile's own stream mode copies the rest of its buffer at every read.
    """

    def __init__(self, source: Callable[[int], bytes], watch: Callable[[bytes], object] | None = None) -> None:
        self._source = source
        self._watch = watch
        self._chunk = b""
        self._at = 0
        self._position = 0

    def _fill(self) -> None:
        """Append the next chunk to what is left of the last one."""
        chunk = self._source(CHUNK)
        if self._watch is not None:
            self._watch(chunk)
        self._chunk = self._chunk[self._at :] + chunk
        self._at = 0

    def peek(self, size: int) -> bytes:
        """Return the next bytes, which stay to be read."""
        if len(self._chunk) - self._at < size:
            self._fill()
        return self._chunk[self._at : self._at + size]

    def pieces(self, size: int) -> Iterator[memoryview]:
        """Yield the next `size` bytes as they lie in memory; fewer at the end of the stream."""
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
        if size > MEMORY_LIMIT:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return b"".join(self.pieces(size))

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        for _ in self.pieces(position - self._position):
            pass

    def drain(self) -> None:
        """Read to the end."""
        self._at = len(self._chunk)
        while self._chunk:
            self._fill()
            self._at = len(self._chunk)


def _members(tape: _Tape) -> Iterator[tarfile.TarInfo]:
    """Yield the members of a tar stream, one at a time."""
    with tarfile.open(fileobj=cast("IO[bytes]", tape), mode="r:") as archive:
        while (member := archive.next()) is not None:
            yield member
            # tarfile remembers all members, which in a large layer are hundreds of megabytes.
            cast("Any", archive).members.clear()


def _entries(tape: _Tape, limits: _Limits, kept: dict[str, bytes]) -> Iterator[Entry]:
    """Yield the entries of a layer; `kept` takes the beginnings of files that were asked for."""
    for member in _members(tape):
        limits.count(member)
        folder, name = posixpath.split(_absolute(member.name))
        if name == ".wh..wh..opq":
            yield _entry(member, folder, Kind.OPAQUE)
        elif name.startswith(".wh..wh."):
            continue  # bookkeeping of the aufs storage driver
        elif name.startswith(".wh."):
            yield _entry(member, posixpath.join(folder, name[4:]), Kind.WHITEOUT)
        else:
            yield _ordinary_entry(member, tape, limits.keep, kept)


def _ordinary_entry(member: tarfile.TarInfo, tape: _Tape, keep: Keep | None, kept: dict[str, bytes]) -> Entry:
    """Return an entry that is no whiteout."""
    path = _absolute(member.name)
    if member.isreg():
        beginning, sha256, md5 = _content(member, tape, keep(path) if keep else None)
        if beginning:
            kept[path] = beginning
        mtime = int(member.mtime) if keep else 0
        return _entry(member, path, Kind.FILE)._replace(size=member.size, sha256=sha256, mtime=mtime, md5=md5)
    if member.isdir():
        return _entry(member, path, Kind.DIRECTORY)
    if member.issym():
        return _entry(member, path, Kind.SYMLINK)._replace(target=member.linkname)
    if member.islnk():
        return _entry(member, path, Kind.HARDLINK)._replace(target=_absolute(member.linkname))
    return _entry(member, path, Kind.DEVICE)


def _entry(member: tarfile.TarInfo, path: str, kind: Kind) -> Entry:
    return Entry(path, kind, 0, member.mode, member.uid, member.gid, "", "")


def _content(member: tarfile.TarInfo, tape: _Tape, wanted: Wanted | None) -> tuple[bytes, str, str]:
    """Read the file that the tape stands at: its beginning, its SHA-256 and its MD5, where they are wanted."""
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


def _absolute(name: str) -> str:
    """Return a member's name as a path from the root; ".." leads nowhere above it."""
    return posixpath.normpath("/" + name.lstrip("/"))


# --- Reading an archive ---


@dataclass(frozen=True)
class _Blob:
    """A member of the archive that is a layer, or is said to be one and cannot be read."""

    diff_id: str = ""
    entries: tuple[Entry, ...] = ()
    kept: Kept = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class _Archive:
    """What was found in an archive, by the members' names."""

    blobs: dict[str, _Blob]
    documents: dict[str, bytes]
    limits: _Limits


def read_archive(stream: BinaryIO, name: str = "the archive", keep: Keep | None = None) -> SavedImage:
    """Read one image from what `docker save` writes, to the stream's end.

    `keep` is asked for each file what of it is wanted. Nothing is written and no link is followed.
    Reads the classic store's archives (engine 25 and later, and those before it) and the containerd
    store's with gzip. Raises SlipwayError, which starts with `name`, when the archive ends early or
    does not hold what its manifest and configuration name.
    """
    try:
        return _assemble(_scan(stream, _Limits(keep)))
    except SlipwayError as error:
        raise SlipwayError(f"{name}: {error}") from None


def _scan(stream: BinaryIO, limits: _Limits) -> _Archive:
    """Read all layers and the documents that may be needed to put them in order."""
    archive = _Archive({}, {}, limits)
    tape = _Tape(stream.read)
    try:
        for member in _members(tape):
            if member.isreg():
                _take(archive, posixpath.normpath(member.name), member.size, tape)
    except tarfile.TarError as error:
        raise SlipwayError(f"not a complete tar archive ({error}); {AGAIN}") from None
    tape.drain()
    return archive


def _take(archive: _Archive, name: str, size: int, tape: _Tape) -> None:
    """Keep of one member what its first bytes show it to be."""
    head = tape.peek(min(size, tarfile.BLOCKSIZE))
    source = _part(tape, size, name)
    if _is_tar(head):
        archive.blobs[name] = _read_layer(source, archive.limits)
    elif head.startswith(GZIP_MAGIC):
        archive.blobs[name] = _read_gzip_layer(source, archive.limits)
    elif head.startswith(ZSTD_MAGIC):
        hint = "build the image with compression=gzip"
        archive.blobs[name] = _Blob(problem=f"is compressed with zstd, which is not read; {hint}")
    elif head.startswith((b"{", b"[")) and size <= MEMORY_LIMIT:
        _take_document(archive, name, source(size))


def _take_document(archive: _Archive, name: str, text: bytes) -> None:
    """Keep manifest.json and what looks like a configuration; attestations can be large."""
    if name == "manifest.json" or b'"rootfs"' in text:
        archive.limits.document(len(text))
        archive.documents[name] = text


def _is_tar(head: bytes) -> bool:
    """Tell a tar archive by its first header's checksum; an empty one starts with zeros."""
    if len(head) == tarfile.BLOCKSIZE and not any(head):
        return True
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _part(tape: _Tape, size: int, name: str) -> Callable[[int], bytes]:
    """Return a read function for one member that does not let a truncated one end silently."""
    end = tape.tell() + size

    def read(wanted: int) -> bytes:
        wanted = min(wanted, end - tape.tell())
        data = tape.read(wanted)
        if len(data) < wanted:
            missing = end - tape.tell()
            raise SlipwayError(f"ends early, {missing} bytes of {name} are missing; {AGAIN}")
        return data

    return read


def _read_layer(source: Callable[[int], bytes], limits: _Limits) -> _Blob:
    """List an uncompressed layer and compute its diff ID."""
    digest = hashlib.sha256()

    def watch(chunk: bytes) -> None:
        digest.update(chunk)
        limits.unpacked(len(chunk))

    tape = _Tape(source, watch)
    entries: tuple[Entry, ...] = ()
    kept: dict[str, bytes] = {}
    problem = ""
    try:
        entries = tuple(_entries(tape, limits, kept))
    except (tarfile.TarError, ValueError) as error:
        problem = f"is no readable tar archive ({error}); {AGAIN}"
    tape.drain()
    return _Blob(f"sha256:{digest.hexdigest()}", entries, kept, problem)


def _read_gzip_layer(source: Callable[[int], bytes], limits: _Limits) -> _Blob:
    """List a layer that is compressed with gzip."""
    try:
        with gzip.GzipFile(fileobj=cast("BinaryIO", _Tape(source)), mode="rb") as plain:
            return _read_layer(plain.read, limits)
    except (OSError, EOFError, zlib.error) as error:
        return _Blob(problem=f"is damaged ({error}); {AGAIN}")


# --- From an archive to an image ---


def _assemble(archive: _Archive) -> SavedImage:
    """Put the layers in the configuration's order and check that they are the ones it names."""
    config_name, layer_names = _manifest(archive)
    raw = _config(archive, config_name)
    diff_ids = raw["rootfs"]["diff_ids"]
    if len(diff_ids) != len(layer_names):
        counts = f"{len(layer_names)} layers, its configuration {len(diff_ids)}"
        raise SlipwayError(f"manifest.json names {counts}; {AGAIN}")
    # By digest, not by name: a layer that occurs twice may be in the archive once.
    found = {blob.diff_id: blob for blob in archive.blobs.values() if not blob.problem}
    for diff_id, name in zip(diff_ids, layer_names, strict=True):
        if diff_id not in found:
            raise SlipwayError(_missing(diff_id, name, archive.blobs.get(name)))
    blobs = [found[diff_id] for diff_id in diff_ids]
    return image_from(raw, [blob.entries for blob in blobs], [blob.kept for blob in blobs])


def _missing(diff_id: str, name: str, blob: _Blob | None) -> str:
    """Say why a layer that the configuration names was not found."""
    if blob is None:
        return f"layer {name} is missing or is no tar archive; {AGAIN}"
    if blob.diff_id in ("", diff_id):
        return f"layer {name} {blob.problem}"
    return f"layer {name} is {blob.diff_id} where the configuration has {diff_id}; {AGAIN}"


def _manifest(archive: _Archive) -> tuple[str, list[str]]:
    """Return the names of the configuration and of the layers."""
    if "manifest.json" not in archive.documents:
        raise SlipwayError(f"has no manifest.json, so it is incomplete or no image; {AGAIN}")
    images = _json("manifest.json", archive.documents["manifest.json"])
    if not isinstance(images, list) or len(images) != 1:
        raise SlipwayError("manifest.json does not name exactly one image; save one image")
    match images[0]:
        case {"Config": str(config), "Layers": list(layers)} if _all_strings(layers):
            return posixpath.normpath(config), [posixpath.normpath(name) for name in layers]
    raise SlipwayError(f"manifest.json does not name a configuration and layers; {AGAIN}")


def _config(archive: _Archive, name: str) -> dict[str, Any]:
    """Return the image's configuration; its digest is its name."""
    if name not in archive.documents:
        raise SlipwayError(f"configuration {name} is missing or damaged; {AGAIN}")
    text = archive.documents[name]
    digest = hashlib.sha256(text).hexdigest()
    if digest != posixpath.basename(name).removesuffix(".json"):
        raise SlipwayError(f"configuration {name} has the digest {digest}; {AGAIN}")
    config = _json(name, text)
    match config:
        case {"rootfs": {"diff_ids": list(diff_ids)}} if _all_strings(diff_ids):
            return cast("dict[str, Any]", config)
    raise SlipwayError(f"configuration {name} names no layers; {AGAIN}")


def _all_strings(items: list[object]) -> bool:
    return all(isinstance(item, str) for item in items)


def _json(name: str, text: bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SlipwayError(f"{name} is no JSON ({error}); {AGAIN}") from None
