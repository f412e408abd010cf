"""Reading images of the real engine: sizes, waste, the cache, the command's messages, and layers of zstd."""

import subprocess
import tarfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.image.compression import ZSTD_MAGIC
from slipway.image.layers import SavedImage
from slipway.image.saved_image import read_image
from tests.helpers import archives
from tests.helpers.archives import LOWER, UPPER, digest, oci, refused, saved

DOCKERFILE = """
FROM debian:trixie-slim
ENV A=b
WORKDIR /data
COPY big kept /data/
RUN rm big; \\
\tchmod 600 kept
USER 1000
CMD ["true"]
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Build an image whose last layer deletes a file of an earlier one."""
    context = tmp_path_factory.mktemp("context")
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / "big").write_bytes(uuid.uuid4().bytes * 100_000)
    (context / "kept").write_bytes(b"kept")
    tag = f"slipway-test-layers:{uuid.uuid4().hex}"
    build(context, tag)
    build(context, f"{tag}-labelled", "--label=org.example=yes")
    yield tag
    subprocess.run(["docker", "rmi", tag, f"{tag}-labelled"], check=True, capture_output=True)


def build(context: Path, tag: str, *options: str) -> None:
    command = ["docker", "buildx", "build", "--load", "--provenance=false", f"--tag={tag}"]
    subprocess.run([*command, *options, str(context)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def image(built: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[SavedImage, Path]:
    """Read that image as it was saved, and the cache folder."""
    cache = tmp_path_factory.mktemp("cache")
    return read_image(built, cache), cache


def test_a_real_image_has_the_bytes_and_the_waste_it_was_given(image: tuple[SavedImage, Path]) -> None:
    read, _ = image
    base, (workdir, copy, remove) = read.layers[0], read.layers[-3:]
    assert base.size > 50_000_000
    assert (workdir.size, copy.size, remove.size) == (0, 1_600_004, 4)
    assert read.size == sum(layer.size for layer in read.layers)
    assert copy.created_by.startswith("COPY big kept /data/")
    assert remove.created_by.startswith("RUN /bin/sh -c rm big")
    ours = {w.entry.path: w.entry.size for w in read.waste() if w.entry.path.startswith("/data")}
    assert ours == {"/data/big": 1_600_000, "/data/kept": 4}
    assert "/data/big" not in read.merged()
    assert read.merged()["/data/kept"][0].mode == 0o600
    assert read.merged()["/data/kept"][0].sha256 == digest(b"kept")
    assert read.config["config"]["User"] == "1000"


def test_the_cache_gives_what_the_saved_image_gave(
    built: str, image: tuple[SavedImage, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, cache = image
    monkeypatch.setattr("slipway.docker.save", lambda *_: pytest.fail("it was saved again"))
    assert read_image(built, cache) == first
    labelled = read_image(f"{built}-labelled", cache)
    assert labelled.layers == first.layers
    assert labelled.config["config"]["Labels"]["org.example"] == "yes"


def test_only_layers_that_are_not_in_the_cache_are_read(built: str, image: tuple[SavedImage, Path]) -> None:
    """An engine saves all layers of an image, also those that it shares with images that were read before."""
    first, cache = image
    files = {layer.diff_id: cache / f"{layer.diff_id.removeprefix('sha256:')}.jsonl.gz" for layer in first.layers}
    missing = files[first.layers[-2].diff_id]
    missing.unlink()
    before = {file: file.stat().st_mtime_ns for file in cache.iterdir()}
    assert read_image(built, cache) == first
    assert missing.is_file()
    assert {file: file.stat().st_mtime_ns for file in before} == before


# --- Layers that zstd has compressed, as the containerd store saves them ---


def compress(data: bytes) -> bytes:
    return subprocess.run(["zstd", "--quiet"], input=data, capture_output=True, check=True).stdout


def test_zstd_layers_give_the_same_image() -> None:
    assert archives.read(oci(LOWER, UPPER, pack=compress)) == archives.read(oci(LOWER, UPPER))


def test_a_damaged_zstd_layer_is_refused() -> None:
    data = saved(oci(LOWER, pack=compress))
    start = data.index(ZSTD_MAGIC)
    assert "ends early" in refused(data[: start + 40])
    assert "again" in refused(data[: start + 40] + bytes([data[start + 40] ^ 1]) + data[start + 41 :])
    longer = {
        name: blob + b"more" if blob.startswith(ZSTD_MAGIC) else blob
        for name, blob in oci(LOWER, pack=compress).items()
    }
    assert "is damaged: zstd cannot unpack it" in refused(saved(longer))


def test_a_zstd_bomb_is_refused_in_seconds() -> None:
    """Three gigabytes in a hundred kilobytes."""
    command = "{ cat; head -c 3G /dev/zero; } | zstd --quiet"
    header = tarfile.TarInfo("zeros")
    header.size = 1 << 40
    data = header.tobuf(tarfile.GNU_FORMAT)
    bomb = subprocess.run(["sh", "-c", command], input=data, capture_output=True, check=True).stdout
    start = time.process_time()
    assert "unpacks to more than 100 times its size" in refused(saved({"layer": bomb}))
    assert time.process_time() - start < 30


def test_without_zstd_the_message_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(oci(LOWER, pack=compress))
    monkeypatch.setenv("PATH", "")
    assert "apt-get install zstd" in refused(data)
