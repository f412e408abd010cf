"""Reading archives of `docker save`: every layout, and damaged archives."""

import gzip
import io
import tarfile
from collections.abc import Callable
from typing import Any

import pytest

from slipway import docker
from slipway.image.archive import read_archive
from slipway.image.layers import Entry, Kind
from tests.helpers.archives import (
    LOWER,
    UPPER,
    Blobs,
    Member,
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

# --- Layouts ---


@pytest.mark.parametrize(
    "blobs",
    [oci(LOWER, UPPER), classic(LOWER, UPPER), oci(LOWER, UPPER, pack=gzip.compress)],
    ids=["engine 25 and later", "before 25", "containerd store with gzip"],
)
def test_every_layout_gives_the_same_image(blobs: Blobs) -> None:
    image = read(blobs)
    assert [layer.diff_id for layer in image.layers] == [f"sha256:{digest(LOWER)}", f"sha256:{digest(UPPER)}"]
    assert [layer.created_by for layer in image.layers] == ["RUN step 0", "RUN step 1"]
    assert [layer.size for layer in image.layers] == [8, 5]
    assert image.size == 13


def test_a_known_layer_is_taken_by_its_name_and_not_read() -> None:
    """Only where its name is its diff ID: a compressed layer's is another, and before engine 25 it is none."""
    [layer, _] = read(oci(LOWER, UPPER)).layers
    known = {layer.diff_id: (layer.entries[:1], layer.kept)}
    for blobs, expected in ((oci(LOWER, UPPER), 1), (oci(LOWER, UPPER, pack=gzip.compress), 4), (classic(LOWER), 4)):
        image = read_archive(io.BytesIO(saved(blobs)), known=known)
        assert len(image.layers[0].entries) == expected
        assert image.layers[1:] == read(blobs).layers[1:]


def test_entries_hold_what_the_archive_says() -> None:
    file = tarfile.TarInfo("bin/tool")
    file.mode, file.uid, file.gid = 0o4755, 1000, 7
    # Docker writes a target on the second of two whiteouts.
    whiteout = tarfile.TarInfo("dir/.wh.too")
    whiteout.linkname = "dir/.wh.gone"
    members: list[Member] = [
        file,
        ("data", b"abc"),
        ("link", "../data"),
        special("hard", tarfile.LNKTYPE, "data"),
        special("null", tarfile.CHRTYPE),
        directory("dir/"),
        ("dir/.wh.gone", b""),
        whiteout,
        ("dir/.wh..wh..opq", b""),
    ]
    entries = read(oci(tar(*members))).layers[0].entries
    empty, abc = digest(b""), digest(b"abc")
    assert entries == (
        Entry("/bin/tool", Kind.FILE, 0, 0o4755, 1000, 7, "", empty),
        Entry("/data", Kind.FILE, 3, 0o644, 0, 0, "", abc),
        Entry("/link", Kind.SYMLINK, 0, 0o644, 0, 0, "../data", ""),
        Entry("/hard", Kind.HARDLINK, 0, 0o644, 0, 0, "/data", ""),
        Entry("/null", Kind.DEVICE, 0, 0o644, 0, 0, "", ""),
        Entry("/dir", Kind.DIRECTORY, 0, 0o644, 0, 0, "", ""),
        Entry("/dir/gone", Kind.WHITEOUT, 0, 0o644, 0, 0, "", ""),
        Entry("/dir/too", Kind.WHITEOUT, 0, 0o644, 0, 0, "", ""),
        Entry("/dir", Kind.OPAQUE, 0, 0o644, 0, 0, "", ""),
    )


@pytest.mark.parametrize(
    ("name", "path"), [("../../etc/x", "/etc/x"), ("/etc/x", "/etc/x"), ("//etc/x", "/etc/x"), ("a/../../x", "/x")]
)
def test_no_path_leads_out_of_the_root(name: str, path: str) -> None:
    hard = special("hard", tarfile.LNKTYPE, name)
    first, second = read(oci(tar((name, b"x"), hard))).layers[0].entries
    assert first.path == path
    assert second.target == path


def test_long_and_odd_names_survive() -> None:
    names = ["d/" * 80 + "deep", "ümlaut", "new\nline"]
    layer = tar(*((name, b"x") for name in names))
    assert [entry.path for entry in read(oci(layer)).layers[0].entries] == [f"/{n}" for n in names]


def test_a_layer_that_occurs_twice_may_be_saved_once() -> None:
    """Engines before 25 put a link in the place of the second one."""
    blobs = classic(LOWER, LOWER)
    blobs["manifest.json"] = blobs["manifest.json"].replace(b"/layer.tar", b"-2/layer.tar", 1)
    assert read(blobs).size == 16


def test_an_empty_layer_and_no_layer_are_read() -> None:
    assert read(oci(tar())).layers[0].entries == ()
    assert read(oci()).layers == ()


def test_padding_belongs_to_the_layer_and_the_archive_is_read_to_its_end() -> None:
    """`docker save` would fail with a closed pipe if the end of its archive were not read."""
    padding = bytes(3 * docker.CHUNK)
    blobs = oci(LOWER + padding)
    stream = io.BytesIO(saved(blobs) + padding)
    assert read_archive(stream).size == 8
    assert stream.read() == b""


# --- Damaged archives ---


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_truncated_archive_is_refused_wherever_it_ends(pack: Callable[[bytes], bytes]) -> None:
    data = saved(oci(LOWER, UPPER, pack=pack))
    needed = len(data.rstrip(b"\0"))
    for end in range(0, needed, 256):
        assert "again" in refused(data[:end])


def test_a_layer_that_ends_early_is_named() -> None:
    data = saved(oci(LOWER))
    message = refused(data[: data.index(LOWER) + 600])
    assert f"'blobs/sha256/{digest(LOWER)}' ends early, {len(LOWER) - 600} bytes are missing" in message


def test_a_flipped_byte_in_a_file_is_found_by_the_digest() -> None:
    data = saved(oci(LOWER, UPPER)).replace(b"12345", b"12335")
    message = refused(data)
    assert digest(LOWER) in message
    assert digest(LOWER.replace(b"12345", b"12335")) in message
    assert "again" in message


def test_a_missing_layer_is_named() -> None:
    blobs = oci(LOWER, UPPER)
    name = f"blobs/sha256/{digest(UPPER)}"
    del blobs[name]
    assert f"'{name}' is no layer or missing" in refused(saved(blobs))


def test_layers_in_another_order_than_the_configuration_has_follow_the_configuration() -> None:
    blobs = oci(LOWER, UPPER)
    names = [f"blobs/sha256/{digest(layer)}" for layer in (UPPER, LOWER)]
    blobs["manifest.json"] = manifest(next(iter(blobs)), names)
    assert read(blobs).layers[0].diff_id == f"sha256:{digest(LOWER)}"


def test_a_changed_configuration_is_found() -> None:
    blobs = oci(LOWER)
    name = next(iter(blobs))
    blobs[name] = blobs[name].replace(b"amd64", b"arm64")
    assert f"configuration '{name}' has the digest" in refused(saved(blobs))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[", "manifest.json is no JSON"),
        (b"[]", "exactly one image"),
        (b"[{}, {}]", "exactly one image"),
        (b'[{"Config": 1}]', "does not name a configuration"),
        (b'[{"Config": "x", "Layers": []}]', "configuration 'x' is missing"),
    ],
)
def test_a_malformed_manifest_is_refused(content: bytes, expected: str) -> None:
    assert expected in refused(saved({**oci(LOWER), "manifest.json": content}))


def test_a_configuration_with_another_number_of_layers_is_refused() -> None:
    blobs = oci(LOWER)
    names = [f"blobs/sha256/{digest(LOWER)}"] * 2
    blobs["manifest.json"] = manifest(next(iter(blobs)), names)
    assert "names 2 layers, its configuration 1" in refused(saved(blobs))


def test_what_is_no_archive_is_refused() -> None:
    assert "no manifest.json" in refused(tar())
    assert "ends early" in refused(b"")
    assert "has a header with" in refused(b"<html>" * 1000)
    assert "has a header with" in refused(saved(oci(b"no tar archive" * 100, pack=gzip.compress)))


@pytest.mark.parametrize("changes", [{"history": {"a": 1}}, {"history": [1]}, {"config": ["x"]}, {"config": "x"}])
def test_a_configuration_with_parts_of_another_type_is_refused(changes: dict[str, Any]) -> None:
    assert "no settings and history" in refused(saved(oci(LOWER, **changes)))
