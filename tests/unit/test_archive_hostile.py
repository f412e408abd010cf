"""Hostile and random archives: refused, or read exactly as their digests say."""

import gzip
import io
import json
import subprocess
import sys
import tarfile
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway import repository
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


@pytest.mark.parametrize("name", ["x" * 5000, "a/" * 101 + "b"])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    path = "/a" * 100
    assert FileSystem(read(oci(tar((path, b""))))).resolve_folders(path) == path
    assert "has a name of more than 4096 characters or 100 folders" in refused(saved(oci(tar((name, b"")))))


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ([("a", b"first"), ("a", b"second")], "has '/a' twice"),
        ([("d/a", b""), ("d/.wh.a", b"")], "has '/d/a' twice"),
        ([("d/.wh.a", b""), ("d/./a", b"")], "has '/d/a' twice"),
        ([special("b", tarfile.LNKTYPE, "a"), ("a", b"other")], "has '/a' twice, or after a link to it"),
        ([("lib", "usr/lib"), ("lib/x", b"")], "has '/lib/x' below what is no directory"),
        ([("lib/x/y", b""), ("lib-x", b""), ("lib", "usr/lib")], "has '/lib/x/y' below what is no directory"),
        ([("d/.wh..", b"")], "deletes 'd/.wh..', which is no file"),
        ([("d/.wh...", b"")], "deletes 'd/.wh...', which is no file"),
        ([("d/.wh.", b"")], "deletes 'd/.wh.', which is no file"),
        ([("d/.wh..wh.plnk", b"")], "deletes 'd/.wh..wh.plnk', which is no file"),
        ([("a\x1b[2J", b""), ("a\x1b[2J", b"")], r"has '/a\x1b[2J' twice"),
    ],
)
def test_what_engines_unpack_differently_is_refused(members: list[Member], problem: str) -> None:
    assert problem in refused(saved(oci(tar(*members))))


def test_a_member_that_is_there_twice_is_refused() -> None:
    blobs = list(oci(LOWER).items())
    assert "holds 'manifest.json' twice" in refused(tar(*blobs, blobs[-1]))


def test_a_whiteout_of_nothing_hides_nothing() -> None:
    assert set(read(oci(LOWER, tar((".wh.nothing", b""), ("../.wh.x", b"")))).merged()) == set(
        read(oci(LOWER)).merged()
    )


def test_what_is_kept_of_a_file_is_its_beginning() -> None:
    data = saved(oci(tar(("a", b"0123456789"), ("b", b"abc"))))
    wanted = {"/a": Wanted(4, md5=True), "/b": Wanted()}
    layer = read_archive(io.BytesIO(data), "test", wanted.__getitem__).layers[0]
    assert layer.kept == {"/a": b"0123"}
    assert [entry.md5 for entry in layer.entries] == ["781e5e245d69b566979b86e28d23f2c7", ""]


# --- more than memory and time allow ---

ENDLESS = """
import itertools, sys, tarfile, time
from slipway.errors import SlipwayError
from slipway.image import filesystem
from slipway.image.archive import read_archive
from tests.helpers.peak_memory import read_peak_memory

def member(name, content=b"", size=0):
    info = tarfile.TarInfo(name)
    info.size = size or len(content)
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)

def layer(case):
    yield member("layer", size=1 << 40)
    for number in itertools.count():
        match case:
            case "content":
                yield member("zeros", size=1 << 39) if not number else bytes(1 << 20)
                if number > 300: return
            case "documents": yield member(f"{number}/RECORD", b"x" * (8 << 20))
            case "names": yield member(str(number) + chr(0x1f600) + "x" * 4000)

class Stream:
    parts, left = layer(sys.argv[1]), bytearray()
    def read(self, size):
        while len(self.left) < size and (part := next(self.parts, None)):
            self.left += part
        data = bytes(self.left[:size])
        del self.left[:size]
        return data

try:
    read_archive(Stream(), "endless", filesystem.choose_content)
except SlipwayError as error:
    print(error)
print(read_peak_memory())
print(time.process_time())
"""


@pytest.mark.timeout(600)
@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "message"),
    [("content", "ends early"), *((case, "more names and documents") for case in ("documents", "names"))],
)
def test_an_endless_archive_is_refused_in_time_and_memory(case: str, message: str) -> None:
    command = [sys.executable, "-c", ENDLESS, case]
    done = subprocess.run(command, cwd=repository.ROOT, capture_output=True, text=True, check=True)
    refusal, memory, seconds = done.stdout.splitlines()
    assert message in refusal
    assert int(memory) < 300
    assert float(seconds) < 60


def test_many_files_or_configurations_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is small; all of them would be kept."""
    monkeypatch.setattr(layer_tar, "MOST_MEMORY", 100_000)
    configurations: Blobs = {f"c{number}": b'{"rootfs": {}}' for number in range(1000)}
    assert "more names and documents" in refused(saved(configurations | oci(LOWER)))
    assert "more names and documents" in refused(saved(oci(tar(*((str(number), b"") for number in range(1000))))))


def test_a_bomb_is_refused_in_seconds() -> None:
    """Half a gigabyte in half a megabyte."""
    packer = zlib.compressobj(wbits=31)
    header = tarfile.TarInfo("zeros")
    header.size = 1 << 40
    zeros = bytes(1 << 20)
    bomb = packer.compress(header.tobuf(tarfile.GNU_FORMAT)) + b"".join(packer.compress(zeros) for _ in range(500))
    start = time.process_time()
    assert "unpacks to more than 100 times its size" in refused(saved({"l": bomb + packer.flush()}))
    assert time.process_time() - start < 30


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
def test_any_layers_are_refused_or_read_as_they_are(layers: list[bytes], pack: object) -> None:
    image = outcome(saved(oci(*layers, pack=pack)))  # type: ignore[arg-type]
    if image is None:
        return
    assert [layer.diff_id for layer in image.layers] == [f"sha256:{digest(layer)}" for layer in layers]
    try:
        system = FileSystem(image)
    except SlipwayError:
        return
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
    """Bytes are changed anywhere, or the end is cut off: an accepted archive has the right digests.

    tests/integration/test_tar_reader.py has thousands more, beside Go's reader.
    """
    damaged = bytearray(data)
    for where, new in changes:
        at = int(where * (len(damaged) - len(new)))
        damaged[at : at + len(new)] = new
    image = outcome(bytes(damaged[: int(end * len(damaged))] if cut else damaged))
    if image is not None:
        known = {f"sha256:{digest(layer)}" for layer in (LOWER, UPPER)}
        assert {layer.diff_id for layer in image.layers} <= known


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
