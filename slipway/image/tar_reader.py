"""A strict reader of tar archives: it accepts what engines write and nothing that two readers could read differently.

Engines unpack by Go's archive/tar, which differs from Python's tarfile and from GNU tar on damaged numbers, global
headers, unknown types, sparse files and whatever follows the end. A layer with any of these could hide a file, so it is
refused. Accepted are ustar headers, GNU's long names and PAX headers for one member with known keys.
"""

import math
import re
import struct
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import NamedTuple, NoReturn

from slipway.docker import CHUNK
from slipway.errors import SlipwayError

BLOCK = 512
# The fields of a header; see "Basic Tar Format" in GNU tar's manual and `pax` in POSIX.
HEADER = struct.Struct("100s 8s 8s 8s 12s 12s 8s 1s 100s 8s 32s 32s 8s 8s 155s 12s")
USTAR, GNU = b"ustar\x0000", b"ustar  \x00"
FILE, HARDLINK, SYMLINK, DIRECTORY = b"0", b"1", b"2", b"5"
DEVICES = (b"3", b"4", b"6")  # character and block devices, pipes
LONG_LINK, LONG_NAME, PAX = b"K", b"L", b"x"  # describe the next member
EXTENSIONS = {LONG_LINK: "linkpath", LONG_NAME: "path"}
ORDERS = (b"x", b"K", b"L", b"KL", b"LK")
MOST_EXTENSION = 1 << 20  # Go reads no longer one
MOST_NUMBER = 1 << 63

OCTAL = re.compile(rb"([0-7]*)[ \0]*")
RECORD = re.compile(rb"([1-9][0-9]{0,6}) ([^=\0]+)=")
XATTR = "SCHILY.xattr."  # begins the keys of extended attributes
OVERLAY = (f"{XATTR}trusted.overlay.", f"{XATTR}user.overlay.")  # those by which a file system hides and moves folders
TEXT = re.compile(rb"[^\0]+")
DECIMAL = re.compile(rb"0|[1-9][0-9]{0,17}")
TIME = re.compile(rb"-?[0-9]{1,12}(\.[0-9]{1,9})?")
KEYS = {
    **dict.fromkeys(("path", "linkpath", "uname", "gname"), TEXT),
    **dict.fromkeys(("size", "uid", "gid"), DECIMAL),
    **dict.fromkeys(("mtime", "atime", "ctime"), TIME),
}
Records = dict[str, bytes]


class WindowsImageError(SlipwayError):
    """The image is for Windows."""

    def __init__(self) -> None:
        super().__init__("is an image for Windows; Slipway reads images for Linux")


class Member(NamedTuple):
    """A member of an archive as its headers describe it; `mtime` is in whole seconds since 1970."""

    name: str
    type: bytes
    size: int
    mode: int
    uid: int
    gid: int
    mtime: int
    target: str
    xattrs: Records


class Tape:
    """A stream that is read once, forwards. `watch` is given every chunk."""

    def __init__(self, source: Callable[[int], bytes], watch: Callable[[bytes], object] | None = None) -> None:
        self._source = source
        self._watch = watch
        self._chunk = b""
        self._at = 0
        self.position = 0

    def _fill(self) -> None:
        """Append the next chunk to the rest of the last one."""
        chunk = self._source(CHUNK)
        if self._watch is not None:
            self._watch(chunk)
        self._chunk = self._chunk[self._at :] + chunk
        self._at = 0

    def peek(self, size: int) -> bytes:
        """Return the next bytes without reading them; fewer at the end."""
        if len(self._chunk) - self._at < size:
            self._fill()
        return self._chunk[self._at : self._at + size]

    def spans(self, size: int) -> Iterator[tuple[bytes, int, int]]:
        """Yield the next `size` bytes without copies, as parts of larger texts, each with its start and end there.

        SlipwayError when the stream ends before.
        """
        while size > 0:
            if self._at == len(self._chunk):
                self._fill()
            start = self._at
            end = min(start + size, len(self._chunk))
            if start == end:
                raise SlipwayError(f"ends early, {size} bytes are missing")
            self._at = end
            self.position += end - start
            size -= end - start
            yield self._chunk, start, end

    def read(self, size: int) -> bytes:
        """Return the next bytes; SlipwayError when the stream ends before."""
        start = self._at
        if len(self._chunk) - start < size:
            return b"".join(chunk[start:end] for chunk, start, end in self.spans(size))
        self._at += size
        self.position += size
        return self._chunk[start : self._at]

    def take_section(self, size: int) -> Callable[[int], bytes]:
        """Return a function that reads from the next `size` bytes: at most as many as wanted, none at their end."""
        section_end = self.position + size

        def read(wanted: int) -> bytes:
            chunk, start, end = next(self.spans(min(wanted, section_end - self.position)), (b"", 0, 0))
            return chunk[start:end]  # no copy of a whole chunk

        return read

    def drain(self) -> bool:
        """Read to the end; tell whether there are only zeros."""
        is_zero = True
        while piece := self.peek(1) and self._chunk[self._at :]:
            is_zero = is_zero and not piece.strip(b"\0")
            self._at = len(self._chunk)
        return is_zero


def is_header(block: bytes) -> bool:
    """Tell whether a block may begin an archive: a header with the right checksum, or the zeros of its end."""
    if len(block) < BLOCK or not any(block):
        return len(block) == BLOCK
    checksum = OCTAL.fullmatch(block[148:156])
    return checksum is not None and int(checksum[1] or b"0", 8) == _add_up(block)


def read_members(tape: Tape) -> Iterator[Member]:
    """Yield the members of an archive, one at a time; what was not read of one is skipped.

    SlipwayError for anything unusual, and unless two blocks of zeros and nothing but zeros end the archive.
    """
    records: Records = {}
    order = b""
    while any(block := tape.read(BLOCK)):
        is_extension = block[156:157] in (PAX, LONG_NAME, LONG_LINK)
        member = _read_header(block, {} if is_extension else records)
        end = tape.position + -(-member.size // BLOCK) * BLOCK
        if is_extension:
            order += member.type
            if order not in ORDERS:
                _refuse(member, f"headers of the types {order.decode()} in a row")
            records |= _read_extension(member, tape)
        else:
            records, order = {}, b""
            yield member
        for _ in tape.spans(end - tape.position):
            pass
    if order or any(tape.read(BLOCK)) or not tape.drain():
        raise SlipwayError("does not end as an archive does: with two blocks of zeros and nothing after them")


def _refuse(member: Member, problem: str) -> NoReturn:
    raise SlipwayError(f"{show_name(member.name)} has {problem}, which no engine writes")


def show_name(name: str) -> str:
    """Return a name for a message: not too long, and with control characters escaped."""
    return ascii(name if len(name) <= BLOCK else f"{name[:BLOCK]}...")


# --- One header ---


def _add_up(block: bytes) -> int:
    """Return the checksum of a header: the sum of its bytes, those of the checksum itself taken for spaces."""
    return sum(block) - sum(block[148:156]) + 8 * ord(" ")


def _read_header(block: bytes, records: Records) -> Member:
    """Return the member that a header and the records before it describe; SlipwayError unless it is well-formed."""
    name, *numbers, kind, target, magic, user, group, major, minor, prefix, rest = HEADER.unpack(block)
    # Those that records replace are read by Go, too.
    mode, uid, gid, size, mtime, checksum, *_ = map(_read_number, (*numbers, major, minor))
    path, folder, link, *_ = map(_read_text, (name, prefix, target, user, group))
    if checksum != _add_up(block):
        raise SlipwayError("has a header with a wrong checksum")
    if magic not in (USTAR, GNU) or any(rest) or (magic == GNU and any(prefix)):
        raise SlipwayError("has a header of a format that no engine writes")
    member = Member(
        _decode(records.get("path") or (folder + b"/" + path if folder else path)),
        kind,
        int(records.get("size", size)),
        mode,
        int(records.get("uid", uid)),
        int(records.get("gid", gid)),
        math.floor(Decimal(records["mtime"].decode())) if "mtime" in records else mtime,
        _decode(records.get("linkpath") or link),
        {key.removeprefix(XATTR): value for key, value in records.items() if key.startswith(XATTR)},
    )
    _check_member(member)
    return member


def _decode(name: bytes) -> str:
    return name.decode(errors="surrogateescape")


def _read_number(field: bytes) -> int:
    """Return a number: octal digits and then spaces or zeros, or a large positive one in binary, as GNU writes it."""
    if match := OCTAL.fullmatch(field):
        return int(match[1] or b"0", 8)
    number = int.from_bytes(field[1:], "big")
    if field[0] != 0x80 or number >= MOST_NUMBER:  # noqa: PLR2004 - marks a binary number
        raise SlipwayError(f"has a header with {field!r} for a number")
    return number


def _read_text(field: bytes) -> bytes:
    """Return a text that zeros fill up."""
    text = field.rstrip(b"\0")
    if b"\0" in text:
        raise SlipwayError(f"has a header with {text!r} for a text")
    return text


def _check_member(member: Member) -> None:
    """Refuse a member of an unknown type, or with a size, name or target that its type does not have."""
    is_link = member.type in (HARDLINK, SYMLINK)
    # Docker writes one on a whiteout whose device file shares its inode with another; every reader ignores it.
    is_whiteout = member.type == FILE and not member.size and "/.wh." in f"/{member.name}"
    if member.type not in (FILE, HARDLINK, SYMLINK, DIRECTORY, *DEVICES, PAX, *EXTENSIONS):
        _refuse(member, f"the type {member.type!r}")
    if member.size and (is_link or member.type in (DIRECTORY, *DEVICES)):
        _refuse(member, "a size although it is no file")
    if bool(member.target) != is_link and not is_whiteout:
        _refuse(member, "no target although it is a link" if is_link else "a target although it is no link")
    if not member.name or (member.type == FILE and member.name.endswith("/")):
        _refuse(member, "no name or that of a folder")


# --- Headers that describe the next member ---


def _read_extension(member: Member, tape: Tape) -> Records:
    """Return the records of a PAX header, or the long name of GNU as one."""
    if member.size > MOST_EXTENSION:
        _refuse(member, f"a header of {member.size} bytes")
    data = tape.read(member.size)
    if member.type == PAX:
        return _read_records(member, data)
    name = data.removesuffix(b"\0")
    if not name or len(name) == len(data) or b"\0" in name:
        _refuse(member, "a damaged name")
    return {EXTENSIONS[member.type]: name}


def _read_records(member: Member, data: bytes) -> Records:
    """Return the records of a PAX header; each is its length, a space, key=value and a line feed."""
    records: Records = {}
    at = 0
    while at < len(data):
        match = RECORD.match(data, at)
        end = at + int(match[1]) if match else 0
        if not match or end <= match.end() or data[end - 1 : end] != b"\n":
            _refuse(member, "a damaged PAX header")
        key, value = _decode(match[2]), data[match.end() : end - 1]
        if key.startswith("MSWINDOWS."):
            raise WindowsImageError
        is_xattr = key.startswith(XATTR) and not key.startswith(OVERLAY)
        if key in records or not (is_xattr or (key in KEYS and KEYS[key].fullmatch(value))):
            _refuse(member, f"the PAX record {show_name(key)} with the value {value[:100]!r}")
        records[key] = value
        at = end
    return records
