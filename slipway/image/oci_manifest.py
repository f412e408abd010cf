"""Reads the documents of the OCI layout: the index, the manifest of an image, its layers."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from slipway.errors import SlipwayError
from slipway.image.tar_reader import WindowsImageError

DEFAULT = "linux/amd64"
ATTESTATION = "vnd.docker.reference.type"  # an annotation of what is stored beside images
MOST_DEPTH = 4  # indexes in indexes

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

Json = Mapping[str, Any]


def parse_json(text: bytes, name: str) -> object:
    """Return a JSON value; SlipwayError for anything else."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SlipwayError(f"{name} is no JSON ({error})") from None


def parse_document(text: bytes, name: str) -> Json:
    """Return a JSON object; SlipwayError for anything else."""
    found = parse_json(text, name)
    if not isinstance(found, dict):
        raise SlipwayError(f"{name} is no JSON object")
    return found


def choose_image(document: Json, find: Callable[[str], Json], depth: int = MOST_DEPTH) -> Json:
    """Return the manifest of the image for Linux that an index leads to; a manifest itself.

    `find(digest)` returns a document. Of several platforms linux/amd64 is taken, without it the only other one.
    """
    if "manifests" not in document:
        return document
    rows = [row for row in _list_rows(document["manifests"]) if ATTESTATION not in (row.get("annotations") or {})]
    platforms = {str(row["digest"]): _format_platform(row.get("platform")) for row in rows}
    fitting = [digest for digest, name in platforms.items() if not name.startswith("windows/")]
    if platforms and not fitting:
        raise WindowsImageError
    wanted = [digest for digest in fitting if platforms[digest] == DEFAULT] or fitting
    if len(wanted) != 1 or not depth:
        names = ", ".join(platforms[digest] or digest for digest in wanted[:10]) or "none"
        raise SlipwayError(f"does not lead to one image but to {names}: name one image, by its digest")
    return choose_image(find(wanted[0]), find, depth - 1)


def list_layers(manifest: Json) -> tuple[str, list[Json]]:
    """Return the digest of an image's configuration, and the descriptors of its layers, the lowest first."""
    match manifest:
        case {"config": dict(config), "layers": list(layers)}:
            return str(_list_rows([config])[0]["digest"]), _list_rows(layers)
    raise SlipwayError("has a manifest without a configuration and layers")


def _list_rows(rows: object) -> list[Json]:
    """Return descriptors; SlipwayError for anything else."""
    match rows:
        case list() if all(isinstance(row, dict) and _is_descriptor(row) for row in rows):
            return cast("list[Json]", rows)
    raise SlipwayError(f"has a malformed manifest: {rows!r:.80} should be descriptors")


def _is_descriptor(row: Json) -> bool:
    return DIGEST.fullmatch(str(row.get("digest"))) is not None and isinstance(row.get("size"), int)


def _format_platform(platform: object) -> str:
    """Return `linux/amd64`; empty without a platform."""
    match platform:
        case {"os": str(system), "architecture": str(architecture)}:
            return f"{system}/{architecture}"
    return ""
