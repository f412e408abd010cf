"""Hostile and random archives: refused, or read exactly as their digests say."""

import gzip
import io
import json
import tarfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.errors import SlipwayError
from slipway.image import layer_tar
from slipway.image.archive import read_archive
from slipway.image.filesystem import FileSystem
from slipway.image.layer_tar import Wanted
from slipway.image.layers import Kind, SavedImage
from tests.helpers.archives import (
    LOWER,
    UPPER,
    Blobs,
    classic,
    digest,
    directory,
    manifest,
    oci,
    read,
    refused,
    saved,
    special,
    tar,
)

# --- made to do harm -----------------------------------------------------------------------------


def test_paths_and_links_that_lead_out_touch_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is unpacked: paths of members on the host are neither written nor read."""
    monkeypatch.chdir(tmp_path)
    outside = tmp_path / "outside"
    outside.write_text("mine")
    layer = tar(
        ("../outside", b"theirs"),
        (str(outside), b"theirs"),
        ("link", str(tmp_path)),
        ("link/outside", b"theirs"),
        special("hard", tarfile.LNKTYPE, "../../etc/shadow"),
    )
    system = FileSystem(read(oci(layer)))
    assert outside.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert system.find_entry("/hard").kind is Kind.HARDLINK
    assert system.read_content("/hard") == b""


def test_links_in_circles_end() -> None:
    """A link in a loop resolves to itself."""
    system = FileSystem(read(oci(tar(("a", "b"), ("b", "a"), ("c", "c/c"), ("d", "../../etc"), directory("etc")))))
    assert system.resolve_links("/a") == "/a"
    assert system.resolve_links("/c") == "/c"
    assert system.resolve_links("/d") == "/etc"
    assert system.resolve_folders("/d/x") == "/etc/x"
    assert system.resolve_folders("/c/x") == "/c/x"


def test_a_path_of_very_many_folders_is_followed() -> None:
    path = "/a" * 2000
    assert FileSystem(read(oci(tar((path, b""))))).resolve_folders(path) == path


def test_a_sparse_file_is_refused() -> None:
    """Its size in the header differs from that in the archive, so the next member would be read wrongly."""
    info = tarfile.TarInfo("sparse")
    info.size = 512
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[386:398] = b"%011o\0" % 0
    header[398:410] = b"%011o\0" % 512
    header[483:495] = b"%011o\0" % (1 << 30)
    checksum = sum(header[:148]) + sum(header[156:]) + 8 * 32
    header[148:156] = b"%06o\0 " % checksum
    assert "sparse" in refused(saved(oci(bytes(header) + bytes(512) + bytes(1024))))


def test_a_huge_file_that_is_not_there_is_refused() -> None:
    info = tarfile.TarInfo("huge")
    info.size = 1 << 60
    assert "again" in refused(saved(oci(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))))


def test_a_zip_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte that unpacks to a thousand: refused at the limit, which is far above any image."""
    monkeypatch.setattr(layer_tar, "MOST_BYTES", 50 * 10**6)
    bomb = tar(("zeros", bytes(60 * 10**6)))
    packed = oci(bomb, pack=gzip.compress)
    assert len(saved(packed)) < 10**6
    assert "unpacks to more than" in refused(saved(packed))


def test_too_many_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_tar, "MOST_ENTRIES", 1000)
    assert "more than 1,000 files" in refused(saved(oci(tar(*((str(number), b"") for number in range(1001))))))


def test_many_configurations_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is small; all of them would be kept."""
    monkeypatch.setattr(layer_tar, "MOST_DOCUMENTS", 1000)
    blobs: Blobs = {f"c{number}": b'{"rootfs": {}}' for number in range(100)}
    assert "configurations" in refused(saved(blobs | oci(LOWER)))


def test_a_name_longer_than_any_path_is_refused() -> None:
    assert "more than 4096 characters" in refused(saved(oci(tar(("x" * 5000, b"")))))


def test_of_a_path_that_is_there_twice_the_last_counts() -> None:
    """As every engine unpacks it."""
    system = FileSystem(read(oci(tar(("a", b"first"), ("a", b"second")))))
    assert system.find_entry("/a").sha256 == digest(b"second")


def test_odd_whiteouts_reach_what_they_name_and_nothing_else() -> None:
    upper = tar((".wh...", b""), ("etc/.wh.b", b""), (".wh.nothing", b""), ("../.wh.x", b""))
    assert set(read(oci(LOWER, upper)).merged()) == {"/", "/etc", "/etc/a"}


def test_a_layer_with_another_digest_than_its_name_is_refused() -> None:
    blobs = oci(LOWER, UPPER)
    name = next(name for name, content in blobs.items() if content == UPPER)
    assert "where the configuration has" in refused(saved({**blobs, name: LOWER}))


def test_what_is_kept_of_a_file_is_its_beginning() -> None:
    data = saved(oci(tar(("a", b"0123456789"), ("b", b"abc"))))
    wanted = {"/a": Wanted(4, md5=True), "/b": Wanted()}
    layer = read_archive(io.BytesIO(data), "test", wanted.__getitem__).layers[0]
    assert layer.kept == {"/a": b"0123"}
    assert [entry.md5 for entry in layer.entries] == ["781e5e245d69b566979b86e28d23f2c7", ""]


# --- random archives -----------------------------------------------------------------------------

NAMES = st.sampled_from(
    ["a", "d/", "d/a", "../a", "/etc/a", "./", ".wh.a", "d/.wh..wh..opq", ".wh..wh.aufs", "x" * 300]
)
FILES = st.tuples(NAMES, st.binary(max_size=600))
LINKS = st.tuples(NAMES, st.sampled_from(["a", "../..", "/", "d", ""]))
OTHERS = st.builds(special, NAMES, st.sampled_from([tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE]), NAMES)
LAYERS = st.lists(st.one_of(FILES, LINKS, OTHERS), max_size=8).map(lambda members: tar(*members))


def outcome(data: bytes) -> SavedImage | None:
    """Read an archive; None where it is refused. Anything but a SlipwayError fails the test."""
    try:
        return read_archive(io.BytesIO(data), "fuzz", lambda _path: Wanted(64, md5=True))
    except SlipwayError as error:
        if not str(error).startswith("fuzz: "):
            raise
        return None


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(layers=st.lists(LAYERS, max_size=3), pack=st.sampled_from([bytes, gzip.compress]))
def test_any_layers_are_read_as_they_are(layers: list[bytes], pack: object) -> None:
    image = outcome(saved(oci(*layers, pack=pack)))  # type: ignore[arg-type]
    assert image is not None
    assert [layer.diff_id for layer in image.layers] == [f"sha256:{digest(layer)}" for layer in layers]
    system = FileSystem(image)
    for path in system.paths:
        assert path.startswith("/")
        assert "/../" not in f"{path}/"
        assert system.resolve_folders(path).startswith("/")
        assert system.resolve_links(path).startswith("/")
        system.find_entry(path)
        system.read_content(path)


ARCHIVES = [saved(oci(LOWER, UPPER)), saved(classic(LOWER, UPPER)), saved(oci(LOWER, UPPER, pack=gzip.compress))]


@settings(max_examples=1500, suppress_health_check=[HealthCheck.too_slow])
@given(
    data=st.sampled_from(ARCHIVES),
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=16)), max_size=4),
    end=st.floats(0, 1),
    cut=st.booleans(),
)
def test_a_damaged_archive_is_refused_or_whole(
    data: bytes, changes: list[tuple[float, bytes]], end: float, *, cut: bool
) -> None:
    """Bytes are changed anywhere, or the end is cut off: an accepted archive has the right digests."""
    damaged = bytearray(data)
    for where, new in changes:
        at = int(where * (len(damaged) - len(new)))
        damaged[at : at + len(new)] = new
    image = outcome(bytes(damaged[: int(end * len(damaged))] if cut else damaged))
    if image is not None:
        known = {f"sha256:{digest(layer)}" for layer in (LOWER, UPPER)}
        assert {layer.diff_id for layer in image.layers} <= known


@settings(max_examples=500)
@given(data=st.binary(max_size=4096))
def test_any_bytes_are_refused(data: bytes) -> None:
    assert outcome(data) is None


KEYS = ["rootfs", "diff_ids", "history", "config", "created_by", "empty_layer", "Config", "Layers", "architecture"]
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)),
    max_leaves=12,
)


@settings(max_examples=500)
@given(config=JSON, listed=JSON)
def test_any_documents_are_refused_or_read(config: object, listed: object) -> None:
    """A configuration and a manifest that are JSON with random content."""
    text = json.dumps(config).encode()
    outcome(saved({digest(text): text, "manifest.json": manifest(digest(text), [])}))
    outcome(saved({digest(text): text, "manifest.json": json.dumps(listed).encode()}))


@settings(max_examples=200)
@given(plain=st.binary(max_size=2000), end=st.integers(0, 200))
def test_any_compressed_layer_is_refused_or_read(plain: bytes, end: int) -> None:
    packed = zlib.compress(plain, wbits=31)
    text = manifest("c.json", ["l"])
    assert outcome(saved({"l": packed[:end], "manifest.json": text})) is None
