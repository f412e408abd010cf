"""Finds the image that a word names: of images.toml, in a file or a folder, of the engine, or in a registry."""

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, cast

from slipway import docker
from slipway.errors import SlipwayError, suggest
from slipway.image import filesystem, oci_image, saved_image
from slipway.image.archive import read_archive
from slipway.image.compression import unpack
from slipway.image.layers import SavedImage
from slipway.image.tar_reader import BLOCK
from slipway.matrix import Image, Matrix
from slipway.publish import registry
from slipway.repository import cache_folder

REGISTRY = re.compile(
    r"(?P<name>([^/]+[.:][^/]*|localhost)/[^@]+?)(:(?P<tag>[\w.-]+))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class Source:
    """An image that was read, the word that named it, and its contract if it is one of images.toml."""

    name: str
    image: SavedImage
    contract: Image | None = None


def read_source(word: str, matrix: Matrix) -> Source:
    """Read the image that a word names; SlipwayError when there is none, or when it cannot be read."""
    contracts = {image.name: image for image in matrix.images}
    if word in contracts:
        return Source(word, saved_image.read_image(contracts[word].tag), contracts[word])
    path = Path(word)
    if word and path.is_dir():
        return Source(word, oci_image.read_layout(path, cache_folder("layers")))
    if word and path.exists():
        return Source(word, read_file(path))
    if word and docker.inspect(word):
        return Source(word, saved_image.read_image(word))
    return Source(word, read_registry(word, list(contracts)))


def read_file(path: Path) -> SavedImage:
    """Read an archive of `docker save` or of an OCI layout, which may be compressed as a whole."""
    try:
        with path.open("rb") as file:
            head = file.read(BLOCK)
            file.seek(0)
            with unpack(head, file.read) as plain:
                stream = cast("BinaryIO", SimpleNamespace(read=plain))
                return read_archive(stream, str(path), filesystem.choose_content)
    except OSError as error:
        raise SlipwayError(f"{path} cannot be read: {error.strerror}") from None
    except SlipwayError as error:  # of an archive that is compressed as a whole, without its name
        raise error if str(error).startswith(str(path)) else SlipwayError(f"{path} {error}") from None


def read_registry(word: str, names: list[str]) -> SavedImage:
    """Read an image of a registry by crane; a layer that was read before is not fetched again."""
    match = REGISTRY.fullmatch(word)
    if not match:
        places = "no image of images.toml or of the engine, no file or folder, and no HOST/NAME of a registry"
        raise SlipwayError(f"{word!a} names no image: {places}{suggest(word, names)}")
    repository = registry.parse_repository(match["name"])
    manifest = repository.require_manifest(match["digest"] or match["tag"] or "latest")

    def find_manifest(digest: str) -> Mapping[str, Any]:
        return repository.require_manifest(digest).json

    def open_blob(digest: str) -> AbstractContextManager[BinaryIO]:
        return cast("AbstractContextManager[BinaryIO]", repository.open_blob(digest))

    try:
        return oci_image.read_image(manifest.json, find_manifest, open_blob, cache_folder("layers"))
    except registry.RegistryError:
        raise
    except SlipwayError as error:
        raise SlipwayError(f"{word}: {error}") from None
