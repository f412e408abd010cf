"""Writes an image of the local engine as a folder in the OCI layout, which crane sends to a registry.

The configuration's bytes stay, so a published image has the ID that was tested, audited and scanned. Layers are
compressed with zstd.
"""

import hashlib
import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from typing import Any, BinaryIO, cast

from slipway import docker, files
from slipway.docker import CHUNK
from slipway.errors import SlipwayError
from slipway.host import packages
from slipway.image.archive import AGAIN
from slipway.image.compression import Read, unpack
from slipway.image.layer_tar import MEMORY_LIMIT
from slipway.image.tar_reader import BLOCK, FILE, Tape, read_members
from slipway.publish.registry import Manifest, compute_digest

EMPTY = "application/vnd.oci.empty.v1+json"  # of `{}`, the configuration of what is no image
CONFIGURATION = "application/vnd.oci.image.config.v1+json"
IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"
LEVEL = 3  # zstd's default
# With one thread or more zstd writes the same bytes; without a thread of its own it writes others.
COMPRESS = ("zstd", "--quiet", f"-{LEVEL}", "--threads=0", "--stdout")

Json = Mapping[str, Any]


@dataclass(frozen=True)
class LocalImage:
    """The engine's description of an image."""

    id: str
    diff_ids: tuple[str, ...]
    labels: Mapping[str, str]
    platform: Mapping[str, str]


def inspect_image(reference: str) -> LocalImage | None:
    """Return the engine's description of an image, None without such an image."""
    found = docker.inspect(reference)
    if found is None:
        return None
    platform = {"architecture": found["Architecture"], "os": found["Os"]}
    return LocalImage(
        id=found["Id"],
        diff_ids=tuple((found.get("RootFS") or {}).get("Layers") or ()),
        labels=(found.get("Config") or {}).get("Labels") or {},
        platform=platform | ({"variant": found["Variant"]} if found.get("Variant") else {}),
    )


# --- the folder ---


@contextmanager
def temporary_layout() -> Iterator["Layout"]:
    """Make an empty layout in a temporary folder on disk; it is removed at the end."""
    with files.temporary_folder() as name:
        try:
            yield Layout(Path(name))
        except BrokenPipeError:
            raise SlipwayError(f"zstd ended before a layer did; is the disk of {name} full?") from None
        except OSError as error:
            raise SlipwayError(f"cannot write {name}: {error.strerror}; free space or set TMPDIR") from None


@dataclass
class Layout:
    """A folder in the OCI layout: blobs by digest, and an index of manifests."""

    folder: Path
    sizes: dict[str, int] = field(default_factory=dict)  # of the blobs in it

    def find_blob(self, digest: str) -> Path:
        """Return the path of a blob."""
        return self.folder / "blobs" / digest.replace(":", "/")

    def add_blob(self, content: bytes) -> str:
        """Write a blob and return its digest."""
        digest = compute_digest(content)
        self.find_blob(digest).parent.mkdir(parents=True, exist_ok=True)
        self.find_blob(digest).write_bytes(content)
        self.sizes[digest] = len(content)
        return digest

    def describe(self, media_type: str, digest: str) -> Json:
        """Return the descriptor of a blob."""
        return {"mediaType": media_type, "digest": digest, "size": self.sizes[digest]}

    def add_manifest(self, configuration: Json, layers: Iterable[Json], **more: object) -> Manifest:
        """Write the manifest of an image, given by the descriptors of its blobs."""
        content = {"mediaType": IMAGE_MANIFEST, "config": configuration, "layers": list(layers), **more}
        manifest = Manifest(encode_json({"schemaVersion": 2} | content))
        self.add_blob(manifest.content)
        return manifest

    def write_index(self, manifests: Iterable[tuple[Manifest, Json]]) -> Manifest:
        """Write the layout's index of manifests with their platforms, and return it as a manifest."""
        rows = []
        for manifest, platform in manifests:
            row = self.describe(str(manifest.json.get("mediaType")), self.add_blob(manifest.content))
            rows.append({**row, "platform": dict(platform)} if platform else row)
        index = Manifest(encode_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": rows}))
        (self.folder / "index.json").write_bytes(index.content)
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="utf-8")
        return index


def encode_json(document: object) -> bytes:
    """Return a document as JSON text; the same for the same document."""
    return json.dumps(document, separators=(",", ":")).encode()


# --- an image of the engine ---


def pack_image(image: LocalImage, layout: Layout) -> Manifest:
    """Write an image into a layout and return its manifest; SlipwayError when the engine saves something else."""
    if not which("zstd"):
        packages.install("zstd", reason="layers are published compressed with zstd, and there is none")
    documents: dict[str, bytes] = {}
    layers: dict[str, str] = {}
    with docker.save(image.id) as stream:
        try:
            read_saved(Tape(stream.read), layout, documents, layers)
        except SlipwayError as error:
            raise SlipwayError(f"{image.id} is not saved as a complete archive: it {error}; {AGAIN}") from None
    missing = [diff_id for diff_id in image.diff_ids if diff_id not in layers]
    if missing:
        raise SlipwayError(f"{image.id} is saved without its layers {', '.join(missing)}; {AGAIN}")
    configuration = layout.add_blob(find_configuration(image, documents))
    manifest = layout.add_manifest(
        layout.describe(CONFIGURATION, configuration),
        [layout.describe(LAYER, layers[diff_id]) for diff_id in image.diff_ids],
    )
    layout.write_index([(manifest, image.platform)])
    return manifest


def read_saved(tape: Tape, layout: Layout, documents: dict[str, bytes], layers: dict[str, str]) -> None:
    """Keep the documents of a saved image by name, and compress all else into blobs by the diff ID."""
    for member in read_members(tape):
        if member.type != FILE:
            continue
        head = tape.peek(min(member.size, BLOCK))
        if head[:1] in {b"{", b"["} and member.size <= MEMORY_LIMIT:
            documents[member.name] = tape.read(member.size)
        else:
            with unpack(head, tape.take_section(member.size)) as plain:
                diff_id, digest = add_layer(plain, layout)
            layers[diff_id] = digest


def add_layer(plain: Read, layout: Layout) -> tuple[str, str]:
    """Compress a layer into a blob; return its diff ID and the blob's digest."""
    diff_id = hashlib.sha256()
    file = layout.folder / "layer"
    with file.open("wb") as written, subprocess.Popen(COMPRESS, stdin=subprocess.PIPE, stdout=written) as process:
        target = cast("BinaryIO", process.stdin)
        try:
            while piece := plain(CHUNK):
                diff_id.update(piece)
                target.write(piece)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise BrokenPipeError("zstd failed to compress a layer")
    with file.open("rb") as compressed:
        digest = f"sha256:{hashlib.file_digest(compressed, 'sha256').hexdigest()}"
    layout.sizes[digest] = file.stat().st_size
    layout.find_blob(digest).parent.mkdir(parents=True, exist_ok=True)
    file.replace(layout.find_blob(digest))
    return f"sha256:{diff_id.hexdigest()}", digest


def find_configuration(image: LocalImage, documents: Mapping[str, bytes]) -> bytes:
    """Return the image's configuration; SlipwayError when it is missing or has other layers or another ID."""
    try:
        (row,) = json.loads(documents["manifest.json"])
        config = documents[row["Config"]]
        diff_ids = tuple(json.loads(config)["rootfs"]["diff_ids"])
    except (LookupError, ValueError, TypeError, RecursionError):
        raise SlipwayError(f"{image.id} is saved without a configuration; {AGAIN}") from None
    if diff_ids != image.diff_ids:
        raise SlipwayError(f"{image.id} is saved with another image's configuration; {AGAIN}")
    if not leads_to(documents, image.id, compute_digest(config)):
        raise SlipwayError(f"{image.id} is saved as another image, {compute_digest(config)}; {AGAIN}")
    return config


def leads_to(documents: Mapping[str, bytes], start: str, end: str) -> bool:
    """Tell whether an image's ID is its configuration's digest, or that of a manifest or index that refers to it.

    The classic store names an image by its configuration, the containerd store by its manifest.
    """
    by_digest = {compute_digest(text): text.decode(errors="replace") for text in documents.values()}
    seen: set[str] = set()
    ahead = {start}
    while ahead:
        seen |= ahead
        texts = [by_digest[each] for each in ahead if each in by_digest]
        ahead = {each for text in texts for each in re.findall(r"sha256:[0-9a-f]{64}", text)} - seen
    return end in seen
