"""Images in the OCI layout, made of layers from tests.helpers.archives."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.helpers.archives import Blobs, config, digest

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def describe(content: bytes, **more: object) -> dict[str, object]:
    """Return the descriptor of a blob."""
    return {"digest": f"sha256:{digest(content)}", "size": len(content), **more}


def layout(*plain: bytes, pack: Callable[[bytes], bytes] = bytes, **changes: object) -> Blobs:
    """Make the files of a layout with one image and an attestation; `pack` compresses the layers."""
    text = config(*plain, **changes)
    layers = [pack(layer) for layer in plain]
    platform = {"os": changes.get("os", "linux"), "architecture": "amd64"}
    manifest = json.dumps(
        {"schemaVersion": 2, "mediaType": MANIFEST, "config": describe(text), "layers": [*map(describe, layers)]}
    ).encode()
    rows = [
        describe(manifest, mediaType=MANIFEST, platform=platform),
        describe(b"{}", annotations={"vnd.docker.reference.type": "attestation-manifest"}),
    ]
    index = json.dumps({"schemaVersion": 2, "manifests": rows}).encode()
    blobs = {f"blobs/sha256/{digest(blob)}": blob for blob in (text, manifest, *layers)}
    return {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": index, **blobs}


def write_layout(folder: Path, blobs: Blobs) -> Path:
    """Write the files of a layout and return its folder."""
    for name, content in blobs.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
