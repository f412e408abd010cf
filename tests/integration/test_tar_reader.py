"""The strict reader of archives beside Go's archive/tar, by which engines unpack: both read the same members."""

import hashlib
import io
import json
import random
import subprocess
import tarfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from slipway import tools
from slipway.errors import SlipwayError
from slipway.image.tar_reader import BLOCK, Tape, read_members
from slipway.tools import Tool
from tests.helpers.archives import Member, made, special, with_checksum

pytestmark = [pytest.mark.timeout(1200), pytest.mark.requirement("N3")]

FOLDER = Path(__file__).with_name("tarlist")
AT_A_TIME = 1000
Listing = list[tuple[Any, ...]] | None


@pytest.fixture(scope="module")
def tarlist() -> Path:
    """Build the program that lists archives by Go's archive/tar."""
    source = hashlib.sha256((FOLDER / "main.go").read_bytes()).hexdigest()[:12]
    go = Version(tools.find_line(r"^go (\S+)$", (FOLDER / "go.mod").read_text(), FOLDER))
    return tools.provide_program(Tool("tarlist", FOLDER, source, go))


def list_by_go(program: Path, archives: list[bytes]) -> list[Listing]:
    """Return the members of each archive as Go reads them; None for one that it refuses."""
    data = b"".join(len(archive).to_bytes(8, "big") + archive for archive in archives)
    lines = subprocess.run([program], input=data, capture_output=True, check=True).stdout.splitlines()
    listings = [json.loads(line) for line in lines]
    return [None if listing is None else [decode(member) for member in listing] for listing in listings]


def decode(member: list[Any]) -> tuple[Any, ...]:
    name, kind, size, mode, uid, gid, mtime, target, xattrs, sha256 = member
    values = {bytes.fromhex(key).decode(errors="surrogateescape"): b64decode(value) for key, value in xattrs.items()}
    names = [b64decode(each).decode(errors="surrogateescape") for each in (name, target)]
    return names[0], kind.encode(), size, mode, uid, gid, mtime, names[1], values, sha256


def list_by_slipway(archive: bytes) -> Listing:
    """Return the members of an archive as Slipway reads them; None for one that it refuses."""
    tape = Tape(io.BytesIO(archive).read)
    try:
        return [(*member, hashlib.sha256(tape.read(member.size)).hexdigest()) for member in read_members(tape)]
    except SlipwayError:
        return None


# --- Archives as engines and GNU tar write them ---


def write(form: int, *members: Member) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for member in members:
            info, content = made(member)
            archive.addfile(info, io.BytesIO(content))
        end = archive.offset
    return buffer.getvalue()[: end + 2 * BLOCK]


def list_sound() -> list[bytes]:
    """Return archives with every header that the reader accepts."""
    owned, capable = tarfile.TarInfo("owned"), tarfile.TarInfo("d/capable")
    owned.uid, owned.gid, owned.mtime, owned.uname, owned.mode = 3_000_000, 2_999_999, 1_700_000_000, "root", 0o4755
    capable.pax_headers = {
        "SCHILY.xattr.security.capability": "\x01\0\0\x02x",
        "SCHILY.xattr.user.a": "b",
        "mtime": "-1.5",
    }
    long: list[Member] = [("d/" * 60 + "name", b"1" * 600), ("link", "t" * 120), ("n" * 110, "t" * 120)]
    common: list[Member] = [
        ("a", b"abc"),
        special("hard", tarfile.LNKTYPE, "a"),
        owned,
        special("dev", tarfile.CHRTYPE),
    ]
    prefixed: Member = ("p" * 90 + "/" + "q" * 90, b"x")
    return [
        write(tarfile.USTAR_FORMAT, *common[:2], prefixed),
        write(tarfile.GNU_FORMAT, *common, *long, ("not\udcffutf8", b"x")),
        write(tarfile.PAX_FORMAT, capable, *common, *long, ("ümlaut", b"x")),
    ]


def test_what_engines_write_is_read_as_go_reads_it(tarlist: Path) -> None:
    archives = list_sound()
    assert [list_by_slipway(archive) for archive in archives] == list_by_go(tarlist, archives)


# --- Archives that are made to hide a file ---


def header(name: str = "x", **fields: bytes) -> bytes:
    """Return a header with raw bytes in some fields, and the right checksum."""
    places = {
        "mode": 100,
        "size": 124,
        "type": 156,
        "target": 157,
        "magic": 257,
        "major": 329,
        "prefix": 345,
        "end": 500,
    }
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT))
    for field, value in fields.items():
        block[places[field] : places[field] + len(value)] = value
    return with_checksum(bytes(block))


def pax(*records: str, kind: bytes = b"x") -> bytes:
    text = b""
    for record in records:
        length = next(n for n in range(len(record) + 3, len(record) + 9) if n == len(f"{n} {record}\n".encode()))
        text += f"{length} {record}\n".encode()
    return header("pax", type=kind, size=b"%011o\0" % len(text)) + text.ljust(BLOCK, b"\0")


EVIL = header("evil")
END = bytes(2 * BLOCK)
V7 = bytes(8)
HIDING = {
    "a header that Python takes for the end": header("v7", magic=V7, major=b"garbage\0") + EVIL + END,
    "a size after a NUL": header(size=b"\0" + b"0" * 7 + b"2000") + EVIL + bytes(BLOCK) + END,
    "a global name": pax("path=etc/motd", kind=b"g") + EVIL + END,
    "a global size": pax("size=512", kind=b"g") + EVIL + END,
    "two PAX headers": pax("path=first") + pax("mtime=1") + EVIL + END,
    "a record twice": pax("path=first", "path=second") + EVIL + END,
    "an empty record": pax("path=") + EVIL + END,
    "a sparse name": pax("GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=y")
    + header(size=b"00000001000\0") + b"0\n".ljust(BLOCK, b"\0") + END,
    "an attribute that hides a folder": pax("SCHILY.xattr.trusted.overlay.redirect=/evil") + EVIL + END,
    "a link with a size": header(type=b"2", target=b"t", size=b"00000001000\0") + EVIL + END,
    "a folder by its name": header("d/") + EVIL + END,
    "an old file": header(type=b"\0") + EVIL + END,
    "a reserved type": header(type=b"7") + EVIL + END,
    "an unknown type": header(type=b"V") + EVIL + END,
    "a name with more after its NUL": header(target=b"\0evil") + EVIL + END,
    "star's prefix": header(end=bytes(8) + b"tar\0", prefix=b"p") + EVIL + END,
    "one block at the end": EVIL + bytes(BLOCK),
    "no end": EVIL,
    "a file after the end": EVIL + END + EVIL + END,
}  # fmt: skip


@pytest.mark.parametrize("archive", HIDING.values(), ids=HIDING)
def test_what_readers_see_differently_is_refused(archive: bytes, tarlist: Path) -> None:
    """Go accepts each of these, so an engine would unpack it."""
    assert list_by_go(tarlist, [archive]) != [None]
    assert list_by_slipway(archive) is None


# --- Damaged archives ---

FIELDS = [(0, 100), (100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (148, 8), (156, 1), (157, 100), (257, 8)]
FIELDS += [(265, 32), (329, 8), (337, 8), (345, 155), (500, 12)]
BYTES = [bytes([each]) for each in b"\0 0125789-+/=\n.\x80\xffgxLKS"]
PIECES = [*BYTES, b"path=", b"size=", b"12 path=abc\n", b"9 size=0\n", b"0000644\0", b"00000001000\0", b"1e3", b"0x"]


def damage(chance: random.Random, archive: bytes) -> bytes:
    """Return an archive with up to three changes; headers mostly get the right checksum again."""
    data = bytearray(archive)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        block = chance.randrange(max(1, len(data) // BLOCK)) * BLOCK
        where, size = chance.choice([*FIELDS, (0, BLOCK)])
        piece = chance.choice(PIECES) * chance.choice([1, 1, 1, 2, 12])
        place = block + where + chance.randrange(size) if chance.random() < 0.5 else block + where
        match chance.randrange(12):
            case 0:
                del data[block : block + BLOCK]
            case 1:
                data[block:block] = data[block : block + BLOCK]
            case 2:
                data[block:block] = bytes(BLOCK)
            case 3:
                del data[chance.randrange(len(data) + 1) :]
            case 4 | 5:
                data[place : place + 1] = chance.choice(BYTES)
            case _:
                data[place : place + len(piece)] = piece
        if data[block + 257 : block + 262] == b"ustar" and chance.random() < 0.95:
            data[block : block + BLOCK] = with_checksum(bytes(data[block : block + BLOCK]))
    return bytes(data)


def test_damaged_archives_are_refused_or_read_as_go_reads_them(tarlist: Path, pytestconfig: pytest.Config) -> None:
    chance = random.Random(12)  # noqa: S311 - the same archives each time
    sound = [*list_sound() * 10, *HIDING.values()]
    accepted, number = 0, 100_000 if pytestconfig.getoption("--whole") else 5_000
    for archives in batches(chance, sound, number):
        for archive, by_go in zip(archives, list_by_go(tarlist, archives), strict=True):
            by_slipway = list_by_slipway(archive)
            accepted += by_slipway is not None
            assert by_slipway in (None, by_go), archive
    assert accepted > number // 20


def batches(chance: random.Random, sound: list[bytes], number: int) -> Iterator[list[bytes]]:
    for start in range(0, number, AT_A_TIME):
        yield [damage(chance, chance.choice(sound)) for _ in range(min(AT_A_TIME, number - start))]
