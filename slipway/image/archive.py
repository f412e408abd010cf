"""Reads an image from the output of `docker save`, or from an archive of an OCI layout, as a stream.

The archive is read once, forwards, and held neither on disk nor in memory. Which of its blobs are
layers is only known at its end (`manifest.json` comes last, `index.json` anywhere), so every blob is
recognised by its first bytes and every layer is hashed while its entries are listed. In the end the diff
IDs (the digests of the uncompressed layers) must be those that the image's configuration names. Only of an
engine that is trusted a layer that was read before is taken by its name, which is its diff ID.
"""

import hashlib
import posixpath
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, BinaryIO, cast

from slipway.errors import SlipwayError
from slipway.image.compression import Read, is_compressed, unpack
from slipway.image.layer_tar import MEMORY_LIMIT, Keep, Limits, read_entries
from slipway.image.layers import Contents, Layer, SavedImage, add_source, make_image
from slipway.image.oci_manifest import choose_image, list_layers, parse_document, parse_json
from slipway.image.tar_reader import BLOCK, FILE, Tape, WindowsImageError, is_header, read_members, show_name

AGAIN = "save or pull the image again"
INDEX = "index.json"
BLOBS = "blobs/sha256"
DOCUMENTS = ("manifest.json", INDEX)


@dataclass(frozen=True)
class _Archive:
    """The layers and documents of an archive by the names of its members."""

    limits: Limits
    known: Mapping[str, Contents]
    layers: dict[str, Layer] = field(default_factory=dict)
    documents: dict[str, bytes] = field(default_factory=dict)

    def find_known(self, name: str) -> Layer | None:
        """Return the layer of a member by its name, `blobs/sha256/…`, if it was read before."""
        folder, _, digest = name.rpartition("/")
        diff_id = f"sha256:{digest}"
        return Layer(diff_id, "", *self.known[diff_id]) if folder == BLOBS and diff_id in self.known else None


def read_archive(
    stream: BinaryIO,
    name: str = "the archive",
    keep: Keep | None = None,
    known: Mapping[str, Contents] = MappingProxyType({}),
) -> SavedImage:
    """Read one image from the output of `docker save`, to the stream's end.

    `keep(path)` says how much of each file to retain. Only databases of packages are written, each to a temporary
    file; no link is followed. `known` has layers by diff ID: their members are neither read nor hashed, so the archive
    must be one that an engine writes just now.
    Reads the archives of every engine's classic store, and the containerd store's with plain layers or those of gzip
    and zstd. Raises SlipwayError, which starts with `name`, when the archive is not one that an engine writes, ends
    early or does not hold what its manifest and configuration name.
    """
    archive = _Archive(Limits(keep), known)
    tape = Tape(stream.read)
    try:
        for member in read_members(tape):
            archive.limits.count_member(member)
            if member.type == FILE:
                _read_member(archive, posixpath.normpath(member.name), member.size, tape)
        return _assemble(archive)
    except WindowsImageError as error:
        raise SlipwayError(f"{name} {error}") from None
    except SlipwayError as error:
        raise SlipwayError(f"{name}: {error}; {AGAIN}") from None


def read_layer(stream: BinaryIO, size: int, keep: Keep) -> Layer:
    """Read a stream of one layer, compressed or not, of `size` bytes; SlipwayError when it is damaged."""
    tape = Tape(stream.read)
    head = tape.peek(min(size, BLOCK))
    if not (is_header(head) or is_compressed(head)):
        raise SlipwayError("is neither a tar archive nor one of gzip or zstd")
    return _read_blob(head, tape.take_section(size), Limits(keep))


def _read_member(archive: _Archive, name: str, size: int, tape: Tape) -> None:
    """Read a member, a layer or a document by its first bytes."""
    head = tape.peek(min(size, BLOCK))
    if name in archive.layers or name in archive.documents:
        raise SlipwayError(f"holds {show_name(name)} twice")
    if found := archive.find_known(name):
        archive.layers[name] = found
    elif is_header(head) or is_compressed(head):
        try:
            layer = _read_blob(head, tape.take_section(size), archive.limits)
            archive.layers[name] = replace(layer, stored=size if is_compressed(head) else None)
        except WindowsImageError:
            raise
        except SlipwayError as error:
            raise SlipwayError(f"{show_name(name)} {error}") from None
    elif head.startswith((b"{", b"[")) and size <= MEMORY_LIMIT:
        text = tape.read(size)
        # Attestations can be large.
        if name in DOCUMENTS or b'"rootfs"' in text or b'"schemaVersion"' in text:
            if b"windows" in text and b'"rootfs"' in text:
                parse_config(name, text)
            archive.limits.count_memory(size)
            archive.documents[name] = text


# --- One layer ---


def _read_blob(head: bytes, source: Read, limits: Limits) -> Layer:
    """Read a layer, compressed or not."""
    if is_header(head):
        return _read_layer(source, limits)

    def read_compressed(size: int) -> bytes:
        data = source(size)
        limits.compressed += len(data)
        return data

    with unpack(head, read_compressed) as plain:

        def read_plain(size: int) -> bytes:
            data = plain(size)
            limits.count_unpacked(len(data))
            return data

        return _read_layer(read_plain, limits)


def _read_layer(source: Read, limits: Limits) -> Layer:
    """List an uncompressed layer and compute its diff ID, in a thread of its own: it is half of the work."""
    digest = hashlib.sha256()
    kept: dict[str, bytes] = {}
    with ThreadPoolExecutor(1) as thread:
        hashed = [thread.submit(digest.update, b"")]

        def watch(chunk: bytes) -> None:
            hashed.pop().result()
            hashed.append(thread.submit(digest.update, chunk))

        entries = tuple(read_entries(Tape(source, watch), limits, kept))
    return Layer(f"sha256:{digest.hexdigest()}", "", entries, kept)


# --- From an archive to an image ---


def _assemble(archive: _Archive) -> SavedImage:
    """Put the layers in the configuration's order and check that they are the ones it names."""
    is_layout = "manifest.json" not in archive.documents and INDEX in archive.documents
    config_name, layer_names = _follow_index(archive) if is_layout else _read_manifest(archive)
    raw = parse_config(config_name, _find_document(archive, config_name, "configuration"))
    diff_ids = raw["rootfs"]["diff_ids"]
    if len(diff_ids) != len(layer_names):
        raise SlipwayError(f"manifest.json names {len(layer_names)} layers, its configuration {len(diff_ids)}")
    # By digest, not by name: a layer that occurs twice may be in the archive once.
    found = {layer.diff_id: layer for layer in archive.layers.values()}
    for diff_id, name in zip(diff_ids, layer_names, strict=True):
        if diff_id not in found:
            other = archive.layers.get(name)
            problem = (
                f"is {other.diff_id} where the configuration has" if other else "is no layer or missing; it should be"
            )
            raise SlipwayError(f"{show_name(name)} {problem} {show_name(diff_id)}")
    layers = [found[diff_id] for diff_id in diff_ids]
    image = make_image(raw, [(layer.entries, layer.kept) for layer in layers])
    config_id = f"sha256:{posixpath.basename(config_name).removesuffix('.json')}"
    return add_source(image, config_id, [layer.stored for layer in layers])


def _read_manifest(archive: _Archive) -> tuple[str, list[str]]:
    """Return the names of the configuration and of the layers."""
    if "manifest.json" not in archive.documents:
        raise SlipwayError("has no manifest.json, so it is incomplete or no image")
    images = parse_json(archive.documents["manifest.json"], "manifest.json")
    if not isinstance(images, list) or len(images) != 1:
        raise SlipwayError("manifest.json does not name exactly one image; save one image")
    match images[0]:
        case {"Config": str(config), "Layers": list(layers)} if _all_strings(layers):
            return posixpath.normpath(config), [posixpath.normpath(name) for name in layers]
    raise SlipwayError("manifest.json does not name a configuration and layers")


def _follow_index(archive: _Archive) -> tuple[str, list[str]]:
    """Return the names of the configuration and of the layers of an OCI layout."""

    def find(digest: str) -> Mapping[str, Any]:
        name = _name_blob(digest)
        return parse_document(_find_document(archive, name, "manifest"), show_name(name))

    config, layers = list_layers(choose_image(parse_document(archive.documents[INDEX], INDEX), find))
    return _name_blob(config), [_name_blob(str(row["digest"])) for row in layers]


def _name_blob(digest: str) -> str:
    return posixpath.join("blobs", *digest.split(":", 1))


def _find_document(archive: _Archive, name: str, kind: str) -> bytes:
    """Return a document of the archive; its digest is its name."""
    if name not in archive.documents:
        raise SlipwayError(f"{kind} {show_name(name)} is missing or damaged")
    text = archive.documents[name]
    digest = hashlib.sha256(text).hexdigest()
    if digest != posixpath.basename(name).removesuffix(".json"):
        raise SlipwayError(f"{kind} {show_name(name)} has the digest {digest}")
    return text


def parse_config(name: str, text: bytes) -> dict[str, Any]:
    """Return the configuration with a text; SlipwayError when it is none of an image for Linux."""
    config = parse_json(text, show_name(name))
    match config:
        case {"os": "windows"}:
            raise WindowsImageError
        case {"rootfs": {"diff_ids": list(diff_ids)}} if _all_strings(diff_ids):
            return cast("dict[str, Any]", config)
    raise SlipwayError(f"configuration {show_name(name)} names no layers")


def _all_strings(items: list[object]) -> bool:
    return all(isinstance(item, str) for item in items)
