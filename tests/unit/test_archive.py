"""Reading archives of `docker save`: every layout, damaged archives, and the memory used."""

import gc
import gzip
import io
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable

import pytest

from slipway import docker, repository
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
    assert [layer.diff_id for layer in image.layers] == [
        f"sha256:{digest(LOWER)}",
        f"sha256:{digest(UPPER)}",
    ]
    assert [layer.created_by for layer in image.layers] == ["RUN step 0", "RUN step 1"]
    assert [(layer.size, layer.files) for layer in image.layers] == [(8, 2), (5, 2)]
    assert image.size == 13


def test_entries_hold_what_the_archive_says() -> None:
    file = tarfile.TarInfo("bin/tool")
    file.mode, file.uid, file.gid = 0o4755, 1000, 7
    members: list[Member] = [
        file,
        ("data", b"abc"),
        ("link", "../data"),
        special("hard", tarfile.LNKTYPE, "data"),
        special("null", tarfile.CHRTYPE),
        directory("dir/"),
        ("dir/.wh.gone", b""),
        ("dir/.wh..wh..opq", b""),
        ("dir/.wh..wh.plnk", b""),
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
        Entry("/dir", Kind.OPAQUE, 0, 0o644, 0, 0, "", ""),
    )


@pytest.mark.parametrize(
    ("name", "path"),
    [("../../etc/x", "/etc/x"), ("/etc/x", "/etc/x"), ("//etc/x", "/etc/x"), ("a/../../x", "/x"), ("./", "/")],
)
def test_no_path_leads_out_of_the_root(name: str, path: str) -> None:
    hard = special("hard", tarfile.LNKTYPE, name)
    first, second = read(oci(tar((name, b"x"), hard))).layers[0].entries
    assert first.path == path
    assert second.target == path


def test_long_and_odd_names_survive() -> None:
    names = ["d/" * 80 + "deep", "ümlaut", "not\udcffutf8", "new\nline"]
    layer = tar(*((name, b"x") for name in names))
    assert [entry.path for entry in read(oci(layer)).layers[0].entries] == [f"/{n}" for n in names]


def test_a_layer_that_occurs_twice_may_be_saved_once() -> None:
    """Engines before 25 put a link in the place of the second one."""
    blobs = classic(LOWER, LOWER)
    blobs["manifest.json"] = blobs["manifest.json"].replace(b"/layer.tar", b"-2/layer.tar", 1)
    assert read(blobs).size == 16


def test_an_empty_layer_is_read() -> None:
    assert read(oci(tar())).layers[0].entries == ()


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
    at = data.index(LOWER)
    message = refused(data[: at + 600])
    assert f"{len(LOWER) - 600} bytes of blobs/sha256/{digest(LOWER)} are missing" in message


def test_a_flipped_byte_in_a_file_is_found_by_the_digest() -> None:
    data = saved(oci(LOWER, UPPER)).replace(b"12345", b"12335")
    message = refused(data)
    assert digest(LOWER) in message
    assert digest(LOWER.replace(b"12345", b"12335")) in message
    assert "again" in message


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_any_flipped_byte_of_a_layer_is_found(pack: Callable[[bytes], bytes]) -> None:
    blobs = oci(LOWER, UPPER, pack=pack)
    name = f"blobs/sha256/{digest(pack(UPPER))}"
    # gzip's own header (time, operating system) may change without a change of the layer.
    for at in range(10 if pack is gzip.compress else 0, len(blobs[name]), 7):
        damaged = bytearray(blobs[name])
        damaged[at] ^= 0x10
        if unpacked(bytes(damaged)) == UPPER:
            continue  # an unused bit of the compression
        assert "again" in refused(saved({**blobs, name: bytes(damaged)}))


def unpacked(data: bytes) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return b""


def test_a_missing_layer_is_named() -> None:
    blobs = oci(LOWER, UPPER)
    name = f"blobs/sha256/{digest(UPPER)}"
    del blobs[name]
    assert f"layer {name} is missing" in refused(saved(blobs))


def test_layers_in_another_order_than_the_configuration_has_follow_the_configuration() -> None:
    blobs = oci(LOWER, UPPER)
    names = [f"blobs/sha256/{digest(layer)}" for layer in (UPPER, LOWER)]
    blobs["manifest.json"] = manifest(next(iter(blobs)), names)
    assert read(blobs).layers[0].diff_id == f"sha256:{digest(LOWER)}"


def test_a_changed_configuration_is_found() -> None:
    blobs = oci(LOWER)
    name = next(iter(blobs))
    blobs[name] = blobs[name].replace(b"amd64", b"arm64")
    assert f"configuration {name} has the digest" in refused(saved(blobs))


def test_a_zstd_layer_is_refused_with_the_way_out() -> None:
    message = refused(saved(oci(LOWER, pack=lambda layer: b"\x28\xb5\x2f\xfd" + layer)))
    assert "zstd" in message
    assert "compression=gzip" in message


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("manifest.json", b"[", "manifest.json is no JSON"),
        ("manifest.json", b"[]", "exactly one image"),
        ("manifest.json", b"[{}, {}]", "exactly one image"),
        ("manifest.json", b'[{"Config": 1}]', "does not name a configuration"),
        ("manifest.json", b'[{"Config": "x", "Layers": []}]', "configuration x is missing"),
    ],
)
def test_a_malformed_manifest_is_refused(name: str, content: bytes, expected: str) -> None:
    assert expected in refused(saved({**oci(LOWER), name: content}))


def test_a_configuration_with_another_number_of_layers_is_refused() -> None:
    blobs = oci(LOWER)
    names = [f"blobs/sha256/{digest(LOWER)}"] * 2
    blobs["manifest.json"] = manifest(next(iter(blobs)), names)
    assert "names 2 layers, its configuration 1" in refused(saved(blobs))


def test_what_is_no_archive_is_refused() -> None:
    assert "no manifest.json" in refused(tar())
    assert "not a complete tar archive" in refused(b"")
    assert "not a complete tar archive" in refused(b"<html>" * 1000)


def test_a_layer_that_is_no_tar_archive_is_refused() -> None:
    packed = oci(b"no tar archive" * 100, pack=gzip.compress)
    assert "is no readable tar archive" in refused(saved(packed))


# --- Memory ---

STREAM = """
import hashlib, io, resource, tarfile
from slipway.image.archive import read_archive
from tests.helpers.archives import config, digest, manifest

SIZE = 300_000_000
BLOCK = 512
info = tarfile.TarInfo("zeros")
info.size = SIZE
padded = -(-SIZE // BLOCK) * BLOCK
head, tail = info.tobuf(), bytes(2 * BLOCK)

def layer():
    yield head
    for _ in range(padded // BLOCK // 1000): yield bytes(1000 * BLOCK)
    yield bytes(padded // BLOCK % 1000 * BLOCK)
    yield tail

total, diff = 0, hashlib.sha256()
for part in layer():
    total += len(part)
    diff.update(part)
text = config(b"").replace(digest(b"").encode(), diff.hexdigest().encode())
end = io.BytesIO()
with tarfile.open(fileobj=end, mode="w") as archive:
    for name, content in [("c", text), ("manifest.json", manifest(digest(text), ["l"]))]:
        info = tarfile.TarInfo(name if name != "c" else digest(text))
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
member = tarfile.TarInfo("l")
member.size = total

def stream():
    yield member.tobuf()
    yield from layer()
    yield bytes(-total % BLOCK)
    yield end.getvalue()

class Stream:
    parts, left = stream(), b""
    def read(self, size):
        while len(self.left) < size and (part := next(self.parts, None)):
            self.left += part
        data, self.left = self.left[:size], self.left[size:]
        return data

image = read_archive(Stream())
assert image.size == SIZE, image.size
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_layer() -> None:
    """A layer of 300 MB in far less memory than the 200 MB that are allowed."""
    command = [sys.executable, "-c", STREAM]
    done = subprocess.run(command, cwd=repository.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 200


class Watched(io.BytesIO):
    """A stream that counts tarfile's members in memory at every read."""

    most = 0

    def read(self, size: int | None = -1) -> bytes:
        """Count, then read."""
        living = sum(isinstance(item, tarfile.TarInfo) for item in gc.get_objects())
        self.most = max(self.most, living)
        return super().read(size)


def test_memory_does_not_grow_with_tarfiles_list_of_members() -> None:
    stream = Watched(saved(oci(tar(*((str(number), bytes(1024)) for number in range(2000))))))
    assert len(read_archive(stream).layers[0].entries) == 2000
    assert stream.most < 100


def test_a_huge_header_is_not_read_into_memory() -> None:
    """A damaged size in an extended header would otherwise read the rest of the layer as one."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40
    assert "a header of 1099511627776 bytes" in refused(saved(oci(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))))
