"""An image of the local engine with all its layers, from `docker save` or from the cache of layers.

Each layer that was read is cached. An image is saved only if a layer is not in the cache, and then only that is read.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from slipway import docker, tables
from slipway.image import filesystem, layer_cache
from slipway.image.archive import read_archive
from slipway.image.layers import Contents, SavedImage, make_image
from slipway.repository import cache_folder

# BuildKit's and the older builder's instructions that change the configuration and no file.
METADATA = re.compile(
    r"(ARG|CMD|ENTRYPOINT|ENV|EXPOSE|HEALTHCHECK|LABEL|MAINTAINER|ONBUILD|SHELL|STOPSIGNAL|USER|VOLUME)\b|WORKDIR /$"
)


def read_image(reference: str, cache: Path | None = None) -> SavedImage:
    """Read an image of the local engine, from the cache if it has all layers.

    `cache` is the folder of the cache, by default the user's.
    """
    folder = cache if cache is not None else cache_folder("layers")
    inspected = docker.require_image(reference)
    diff_ids = (inspected.get("RootFS") or {}).get("Layers") or []
    known = {each: content for each in diff_ids if (content := layer_cache.load_layer(folder, each)) is not None}
    image = _make_known(inspected, diff_ids, known)
    if image is None:
        with tables.waiting(f"reading {reference}"), docker.save(inspected["Id"]) as archive:
            image = read_archive(archive, reference, filesystem.choose_content, known)
        for layer in image.layers:
            if layer.diff_id not in known:
                layer_cache.store_layer(folder, layer)
    return replace(image, id=inspected["Id"])


def _make_known(inspected: dict[str, Any], diff_ids: list[str], known: Mapping[str, Contents]) -> SavedImage | None:
    """Return the image from known layers, None if one is not known or the history lacks its instruction."""
    if not all(diff_id in known for diff_id in diff_ids):
        return None
    lines = docker.output("history", "--no-trunc", "--format={{json .}}", "--", inspected["Id"]).splitlines()
    made = [item["CreatedBy"] or item["Comment"] for item in map(json.loads, reversed(lines))]
    # The engine does not say which entries made no layer.
    history = [{"created_by": text, "empty_layer": is_metadata(text)} for text in made]
    if sum(not item["empty_layer"] for item in history) != len(diff_ids):
        return None
    raw = {"config": inspected.get("Config"), "rootfs": {"diff_ids": diff_ids}, "history": history}
    raw |= {"os": inspected["Os"], "architecture": inspected["Architecture"]}
    return make_image(raw, [known[diff_id] for diff_id in diff_ids])


def is_metadata(created_by: str) -> bool:
    """Tell whether an instruction changes the configuration and no file."""
    return bool(METADATA.match(created_by.removeprefix("/bin/sh -c #(nop)").strip()))


def find_id(reference: str) -> str:
    """Return the ID of an image of the local engine; SlipwayError without such an image."""
    return str(docker.require_image(reference)["Id"])
