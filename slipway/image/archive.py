"""Reads an image from the output of `docker save` as a stream.

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
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from slipway.errors import SlipwayError
from slipway.image.layer_tar import MEMORY_LIMIT, Keep, Limits, Tape, read_entries, read_members
from slipway.image.layers import Entry, Kept, SavedImage, make_image

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
AGAIN = "save or pull the image again"


@dataclass(frozen=True)
class _Blob:
    """A member of the archive that is a layer, or is said to be one and cannot be read."""

    diff_id: str = ""
    entries: tuple[Entry, ...] = ()
    kept: Kept = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class _Archive:
    """The layers and documents of an archive by the names of its members."""

    blobs: dict[str, _Blob]
    documents: dict[str, bytes]
    limits: Limits


def read_archive(stream: BinaryIO, name: str = "the archive", keep: Keep | None = None) -> SavedImage:
    """Read one image from the output of `docker save`, to the stream's end.

    `keep(path)` says how much of each file to retain. Nothing is written and no link is followed.
    Reads the classic store's archives (engine 25 and later, and those before it) and the containerd
    store's with gzip. Raises SlipwayError, which starts with `name`, when the archive ends early or
    does not hold what its manifest and configuration name.
    """
    try:
        return _assemble(_read_blobs(stream, Limits(keep)))
    except SlipwayError as error:
        raise SlipwayError(f"{name}: {error}") from None


def _read_blobs(stream: BinaryIO, limits: Limits) -> _Archive:
    """Read all layers and the documents that may be needed to put them in order."""
    archive = _Archive({}, {}, limits)
    tape = Tape(stream.read)
    try:
        for member in read_members(tape):
            if member.isreg():
                _read_member(archive, posixpath.normpath(member.name), member.size, tape)
    except tarfile.TarError as error:
        raise SlipwayError(f"not a complete tar archive ({error}); {AGAIN}") from None
    tape.drain()
    return archive


def _read_member(archive: _Archive, name: str, size: int, tape: Tape) -> None:
    """Read a member, a layer or a document by its first bytes."""
    head = tape.peek(min(size, tarfile.BLOCKSIZE))
    source = _make_reader(tape, size, name)
    if _is_tar(head):
        archive.blobs[name] = _read_layer(source, archive.limits)
    elif head.startswith(GZIP_MAGIC):
        archive.blobs[name] = _read_gzip_layer(source, archive.limits)
    elif head.startswith(ZSTD_MAGIC):
        hint = "build the image with compression=gzip"
        archive.blobs[name] = _Blob(problem=f"is compressed with zstd, which is not read; {hint}")
    elif head.startswith((b"{", b"[")) and size <= MEMORY_LIMIT:
        _keep_document(archive, name, source(size))


def _keep_document(archive: _Archive, name: str, text: bytes) -> None:
    """Keep manifest.json and possible configurations; attestations can be large."""
    if name == "manifest.json" or b'"rootfs"' in text:
        archive.limits.count_document(len(text))
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


def _make_reader(tape: Tape, size: int, name: str) -> Callable[[int], bytes]:
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


def _read_layer(source: Callable[[int], bytes], limits: Limits) -> _Blob:
    """List an uncompressed layer and compute its diff ID."""
    digest = hashlib.sha256()

    def watch(chunk: bytes) -> None:
        digest.update(chunk)
        limits.count_bytes(len(chunk))

    tape = Tape(source, watch)
    entries: tuple[Entry, ...] = ()
    kept: dict[str, bytes] = {}
    problem = ""
    try:
        entries = tuple(read_entries(tape, limits, kept))
    except (tarfile.TarError, ValueError) as error:
        problem = f"is no readable tar archive ({error}); {AGAIN}"
    tape.drain()
    return _Blob(f"sha256:{digest.hexdigest()}", entries, kept, problem)


def _read_gzip_layer(source: Callable[[int], bytes], limits: Limits) -> _Blob:
    """List a layer that is compressed with gzip."""
    try:
        with gzip.GzipFile(fileobj=cast("BinaryIO", Tape(source)), mode="rb") as plain:
            return _read_layer(plain.read, limits)
    except (OSError, EOFError, zlib.error) as error:
        return _Blob(problem=f"is damaged ({error}); {AGAIN}")


# --- From an archive to an image ---


def _assemble(archive: _Archive) -> SavedImage:
    """Put the layers in the configuration's order and check that they are the ones it names."""
    config_name, layer_names = _read_manifest(archive)
    raw = _read_config(archive, config_name)
    diff_ids = raw["rootfs"]["diff_ids"]
    if len(diff_ids) != len(layer_names):
        counts = f"{len(layer_names)} layers, its configuration {len(diff_ids)}"
        raise SlipwayError(f"manifest.json names {counts}; {AGAIN}")
    # By digest, not by name: a layer that occurs twice may be in the archive once.
    found = {blob.diff_id: blob for blob in archive.blobs.values() if not blob.problem}
    for diff_id, name in zip(diff_ids, layer_names, strict=True):
        if diff_id not in found:
            raise SlipwayError(_explain_missing(diff_id, name, archive.blobs.get(name)))
    blobs = [found[diff_id] for diff_id in diff_ids]
    return make_image(raw, [blob.entries for blob in blobs], [blob.kept for blob in blobs])


def _explain_missing(diff_id: str, name: str, blob: _Blob | None) -> str:
    """Say why a layer that the configuration names was not found."""
    if blob is None:
        return f"layer {name} is missing or is no tar archive; {AGAIN}"
    if blob.diff_id in ("", diff_id):
        return f"layer {name} {blob.problem}"
    return f"layer {name} is {blob.diff_id} where the configuration has {diff_id}; {AGAIN}"


def _read_manifest(archive: _Archive) -> tuple[str, list[str]]:
    """Return the names of the configuration and of the layers."""
    if "manifest.json" not in archive.documents:
        raise SlipwayError(f"has no manifest.json, so it is incomplete or no image; {AGAIN}")
    images = _parse_json("manifest.json", archive.documents["manifest.json"])
    if not isinstance(images, list) or len(images) != 1:
        raise SlipwayError("manifest.json does not name exactly one image; save one image")
    match images[0]:
        case {"Config": str(config), "Layers": list(layers)} if _all_strings(layers):
            return posixpath.normpath(config), [posixpath.normpath(name) for name in layers]
    raise SlipwayError(f"manifest.json does not name a configuration and layers; {AGAIN}")


def _read_config(archive: _Archive, name: str) -> dict[str, Any]:
    """Return the image's configuration; its digest is its name."""
    if name not in archive.documents:
        raise SlipwayError(f"configuration {name} is missing or damaged; {AGAIN}")
    text = archive.documents[name]
    digest = hashlib.sha256(text).hexdigest()
    if digest != posixpath.basename(name).removesuffix(".json"):
        raise SlipwayError(f"configuration {name} has the digest {digest}; {AGAIN}")
    config = _parse_json(name, text)
    match config:
        case {"rootfs": {"diff_ids": list(diff_ids)}} if _all_strings(diff_ids):
            return cast("dict[str, Any]", config)
    raise SlipwayError(f"configuration {name} names no layers; {AGAIN}")


def _all_strings(items: list[object]) -> bool:
    return all(isinstance(item, str) for item in items)


def _parse_json(name: str, text: bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SlipwayError(f"{name} is no JSON ({error}); {AGAIN}") from None
