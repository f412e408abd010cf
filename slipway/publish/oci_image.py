"""Converts an image of the local engine for a registry: its configuration, and its layers compressed with zstd.

The configuration is sent unchanged, so a published image has the ID that was tested, audited and scanned. A layer
is compressed once: the digest of the result is recorded by diff ID, and not sent to a registry that has it.
"""

import contextlib
import gzip
import hashlib
import json
import re
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any, BinaryIO, cast

from slipway import docker, results
from slipway.docker import CHUNK
from slipway.errors import SlipwayError
from slipway.host import packages
from slipway.image.archive import AGAIN, GZIP_MAGIC, ZSTD_MAGIC
from slipway.image.layer_tar import MEMORY_LIMIT
from slipway.publish.registry import Descriptor, Manifest, compute_digest, is_digest, make_descriptor, make_manifest
from slipway.repository import cache_folder

CONFIGURATION = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"
LEVEL = 3  # zstd's default
COMPRESS = ("zstd", "--quiet", f"-{LEVEL}", "--threads=0", "--stdout")

Send = Callable[[Descriptor, BinaryIO], None]


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


def require_zstd() -> None:
    """Install zstd if it is missing; SlipwayError when that fails."""
    if not which("zstd"):
        packages.install("zstd", reason="layers are published compressed with zstd, and there is none")


# --- records of compressed layers ---


def find_folder() -> Path:
    """Return the folder with a record of each compressed layer."""
    return cache_folder("compressed")


def read_compressed(diff_id: str) -> Descriptor | None:
    """Return the descriptor of a compressed layer; None without a record or for a damaged one."""
    match results.read_json(find_folder() / f"{diff_id.removeprefix('sha256:')}.json"):
        case {"diff_id": str(known), "digest": str(digest), "size": int(size)} if known == diff_id:
            return Descriptor(LAYER, digest, size) if is_digest(digest) else None
    return None


def record_compressed(diff_id: str, layer: Descriptor) -> None:
    """Record the descriptor of a compressed layer."""
    file = find_folder() / f"{diff_id.removeprefix('sha256:')}.json"
    results.write_json(file, {"diff_id": diff_id, "digest": layer.digest, "size": layer.size})


# --- packing ---


def pack_image(image: LocalImage, present: Callable[[Descriptor], bool], send: Send) -> tuple[bytes, Manifest]:
    """Send every layer that is not present; return the configuration and the manifest.

    SlipwayError when the saved image differs from the engine's description.
    """
    require_zstd()
    recalled = {diff_id: read_compressed(diff_id) for diff_id in dict.fromkeys(image.diff_ids)}
    reader = Reader(image, send, {diff_id: layer for diff_id, layer in recalled.items() if layer and present(layer)})
    with docker.save(image.id) as stream:
        reader.read(stream)
    config = find_configuration(image, reader.documents)
    return config, make_image_manifest(config, [reader.layers[diff_id] for diff_id in image.diff_ids])


def make_image_manifest(config: bytes, layers: list[Descriptor]) -> Manifest:
    """Return the manifest of an image."""
    described = make_descriptor(config, CONFIGURATION).as_json()
    return make_manifest({"config": described, "layers": [layer.as_json() for layer in layers]})


class Reader:
    """Reads an image's archive: keeps the documents by name, and sends missing layers, recorded by diff ID."""

    def __init__(self, image: LocalImage, send: Send, layers: dict[str, Descriptor]) -> None:
        self.image = image
        self.send = send
        self.layers = layers
        self.documents: dict[str, bytes] = {}

    def read(self, stream: BinaryIO) -> None:
        """Read the archive as a stream; SlipwayError unless every layer is in it or known."""
        known = {diff_id.removeprefix("sha256:") for diff_id in self.layers}
        try:
            with tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK) as archive:
                for member in archive:
                    # A layer may be skipped by its name, but is only accepted by its digest.
                    if member.isreg() and member.name.rpartition("/")[2] not in known:
                        self.read_member(member, cast("BinaryIO", archive.extractfile(member)))
                    cast("Any", archive).members.clear()
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise SlipwayError(f"{self.image.id} is not saved as a complete archive ({error}); {AGAIN}") from None
        missing = [diff_id for diff_id in self.image.diff_ids if diff_id not in self.layers]
        if missing:
            raise SlipwayError(f"{self.image.id} is saved without its layers {', '.join(missing)}; {AGAIN}")

    def read_member(self, member: tarfile.TarInfo, content: BinaryIO) -> None:
        """Keep a document; compress any other member, and send it if it is a layer of the image."""
        head = content.read(len(ZSTD_MAGIC))
        if head.startswith(ZSTD_MAGIC):
            raise SlipwayError(f"{self.image.id} is saved with zstd layers, which are not read; build it with gzip")
        if head[:1] in (b"{", b"[") and member.size <= MEMORY_LIMIT:
            self.documents[member.name] = head + content.read()
            return
        plain: After | gzip.GzipFile = After(head, content)
        if head.startswith(GZIP_MAGIC):
            plain = gzip.GzipFile(fileobj=cast("BinaryIO", plain), mode="rb")
        with open_temporary_file() as file:
            diff_id, layer = compress_layer(plain, file)
            if diff_id in self.image.diff_ids and diff_id not in self.layers:
                self.send(layer, file)
                record_compressed(diff_id, layer)
                self.layers[diff_id] = layer


class After:
    """A stream whose first bytes were read already: returns them again, then the rest."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self.head = head
        self.rest = rest

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        if not self.head:
            return self.rest.read(size)
        taken, self.head = (self.head, b"") if size < 0 else (self.head[:size], self.head[size:])
        return taken


@contextlib.contextmanager
def open_temporary_file() -> Iterator[BinaryIO]:
    """Open a temporary file without a name; SlipwayError when the disk is full."""
    try:
        find_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=find_folder()) as file:
            yield cast("BinaryIO", file)
    except gzip.BadGzipFile:
        raise
    except BrokenPipeError:
        raise SlipwayError("zstd ended before its input did; is the disk full?") from None
    except OSError as error:
        raise SlipwayError(
            f"cannot write {find_folder()}: {error.strerror}; free space or set XDG_CACHE_HOME"
        ) from None


def compress_layer(plain: After | gzip.GzipFile, file: BinaryIO) -> tuple[str, Descriptor]:
    """Compress a stream into a file; return the stream's digest and the descriptor of the file."""
    digest = hashlib.sha256()
    with subprocess.Popen(COMPRESS, stdin=subprocess.PIPE, stdout=file) as process:
        target = cast("BinaryIO", process.stdin)
        try:
            while piece := plain.read(CHUNK):
                digest.update(piece)
                target.write(piece)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise SlipwayError("zstd failed to compress a layer; is the disk full?")
    file.seek(0)
    compressed = hashlib.file_digest(cast("Any", file), "sha256").hexdigest()
    return f"sha256:{digest.hexdigest()}", Descriptor(LAYER, f"sha256:{compressed}", file.tell())


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
