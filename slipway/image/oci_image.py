"""Reads an image of the OCI layout, blob by blob: from a folder, or from anything else that has blobs by digest.

A layer that is in the cache of layers is not read again.
"""

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from slipway.errors import SlipwayError
from slipway.image import archive, filesystem, layer_cache
from slipway.image.layer_tar import MEMORY_LIMIT
from slipway.image.layers import Contents, SavedImage, add_source, make_image
from slipway.image.oci_manifest import Json, choose_image, list_layers, parse_document

OpenBlob = Callable[[str], AbstractContextManager[BinaryIO]]
FindManifest = Callable[[str], Json]


def read_layout(folder: Path, cache: Path) -> SavedImage:
    """Read the only image of a folder in the OCI layout; SlipwayError begins with the folder."""

    def open_blob(digest: str) -> BinaryIO:
        try:
            return (folder / "blobs" / digest.replace(":", "/")).open("rb")
        except OSError as error:
            raise SlipwayError(f"lacks the blob {digest} ({error.strerror})") from None

    try:
        index = (folder / "index.json").read_bytes()
    except OSError as error:
        raise SlipwayError(f"{folder} is no OCI layout: it has no index.json ({error.strerror})") from None
    try:
        return read_image(
            parse_document(index, "index.json"),
            lambda digest: parse_document(_read_document(open_blob, digest), digest),
            open_blob,
            cache,
        )
    except SlipwayError as error:
        raise SlipwayError(f"{folder}: {error}") from None


def read_image(document: Json, find_manifest: FindManifest, open_blob: OpenBlob, cache: Path) -> SavedImage:
    """Read an image by its manifest, or by an index that leads to it.

    SlipwayError for another platform than Linux, several images, or blobs that are not what their digest says.
    """
    manifest = choose_image(document, find_manifest)
    config_id, rows = list_layers(manifest)
    config = archive.parse_config(config_id, _read_document(open_blob, config_id))
    diff_ids = config["rootfs"]["diff_ids"]
    if len(diff_ids) != len(rows):
        raise SlipwayError(f"the manifest names {len(rows)} layers, its configuration {len(diff_ids)}")
    contents = [_read_layer(row, diff_id, open_blob, cache) for row, diff_id in zip(rows, diff_ids, strict=True)]
    return add_source(make_image(config, contents), config_id, [int(row["size"]) for row in rows])


def _read_document(open_blob: OpenBlob, digest: str) -> bytes:
    """Return a small blob; SlipwayError when it is not what its digest says."""
    with open_blob(digest) as stream:
        text = stream.read(MEMORY_LIMIT)
    if (found := f"sha256:{hashlib.sha256(text).hexdigest()}") != digest:
        raise SlipwayError(f"the blob {digest} has the digest {found}")
    return text


def _read_layer(row: Json, diff_id: str, open_blob: OpenBlob, cache: Path) -> Contents:
    """Return the entries and documents of a layer, from the cache or from its blob."""
    known = layer_cache.load_layer(cache, diff_id)
    if known is not None:
        return known
    digest = str(row["digest"])
    try:
        with open_blob(digest) as stream:
            layer = archive.read_layer(stream, int(row["size"]), filesystem.choose_content)
    except SlipwayError as error:
        raise SlipwayError(f"the layer {digest} {error}") from None
    if layer.diff_id != diff_id:
        raise SlipwayError(f"the layer {digest} is {layer.diff_id} where the configuration has {diff_id}")
    layer_cache.store_layer(cache, layer)
    return layer.entries, layer.kept
