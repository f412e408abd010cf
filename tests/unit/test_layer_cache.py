"""The cache of layers returns what was stored, or nothing."""

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from slipway.errors import SlipwayError
from slipway.image import layer_cache
from slipway.image.layers import Layer
from tests.helpers.archives import LOWER, digest, oci, read


@pytest.fixture
def layer() -> Layer:
    return replace(read(oci(LOWER)).layers[0], kept={"/etc/motd": b"\x00 a document"})


def test_a_layer_that_was_kept_is_known(layer: Layer, tmp_path: Path) -> None:
    assert layer_cache.load_layer(tmp_path, layer.diff_id) is None
    layer_cache.store_layer(tmp_path, layer)
    assert layer_cache.load_layer(tmp_path, layer.diff_id) == (layer.entries, layer.kept)


def rewrite(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Return a change of what is unpacked."""
    return lambda data: gzip.compress(gzip.decompress(data).replace(old, new))


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "truncated": lambda data: data[:-20],
    "flipped": lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:],
    "old version": rewrite(b'"version": ', b'"version": 9'),
    "unknown kind": rewrite(b'"file"', b'"fool"'),
    "other layer": rewrite(b"sha256:", b"sha256:0"),
    "short row": lambda data: gzip.compress(gzip.decompress(data) + b"[]\n"),
    "no row": lambda data: gzip.compress(gzip.decompress(data) + b"{}\n"),
    "no number of documents": rewrite(b"\n1\n", b"\n[]\n"),
    "no document": rewrite(b'["/etc/motd", "', b'["/etc/motd", 1, "'),
    "ends early": lambda data: gzip.compress(gzip.decompress(data).partition(b"\n")[0] + b"\n"),
    "no gzip": lambda _: b"plain text",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_ignored(layer: Layer, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    layer_cache.store_layer(tmp_path, layer)
    kept = tmp_path / f"{digest(LOWER)}.jsonl.gz"
    kept.write_bytes(damage(kept.read_bytes()))
    assert layer_cache.load_layer(tmp_path, layer.diff_id) is None
    layer_cache.store_layer(tmp_path, layer)
    assert layer_cache.load_layer(tmp_path, layer.diff_id) == (layer.entries, layer.kept)


def test_a_folder_that_cannot_be_written_is_named(layer: Layer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SlipwayError, match=r"cannot write to .*file/cache .*XDG_CACHE_HOME"):
        layer_cache.store_layer(tmp_path / "file/cache", layer)
