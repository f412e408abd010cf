"""Counts the GPU code of a library that is read once, forwards: NVIDIA's fat binaries and AMD's bundles.

slipway/build/gpu_probe.py reads installed libraries by their sections. The table of sections is at a file's end, so a
stream's code is found by the first bytes of each fat binary.
"""

import re
import struct
from collections import Counter

BEGINNINGS = (b"\x7fELF", b"!<arch>", b"__CLANG_OFFLOAD_BUNDLE__")  # of shared and static libraries, and bundles alone
FAT_BINARY = struct.pack("<IHH", 0xBA55ED50, 1, 16)  # magic, version, size of the header
HEADER, ENTRY = 16, 48  # bytes of a fat binary's header, and of an entry's fields that are read
KINDS = {1: "compute", 2: "sm"}  # PTX and machine code
LEAST_HEADER, MOST_HEADER = 48, 1 << 12
ONLY_THIS = 0x100000  # code for sm_90a runs on compute capability 9.0 alone
BUNDLE = b"__CLANG_OFFLOAD_BUNDLE__"
MOST_TABLE = 1 << 14  # bytes of the table that begins a bundle
GFX = re.compile(rb"--(gfx\w+)")


class GpuCode:
    """The bytes of GPU code by architecture, such as sm_90, compute_90 or gfx1030, in the pieces seen so far."""

    def __init__(self) -> None:
        self.bytes: Counter[str] = Counter()
        self._fat_binaries = _FatBinaries(self.bytes)
        self._bundles = _Bundles(self.bytes)

    def feed(self, chunk: bytes, start: int, end: int) -> None:
        """Read the next piece, which is a part of a chunk and is not copied."""
        self._fat_binaries.feed(chunk, start, end)
        self._bundles.feed(chunk, start, end)

    def __str__(self) -> str:
        """Return `sm_80=1200 sm_90=3400`."""
        return " ".join(f"{name}={size}" for name, size in sorted(self.bytes.items()))


class _FatBinaries:
    """Finds the fat binaries of NVIDIA's compiler; each is a header and entries for one architecture each."""

    def __init__(self, found: Counter[str]) -> None:
        self._found = found
        self._left = 0  # bytes of the current fat binary that are still to come
        self._skip = 0  # bytes of the current entry that are still to come
        self._rest = b""

    def feed(self, chunk: bytes, start: int, end: int) -> None:
        if self._skip >= end - start:
            self._skip -= end - start
            return
        data, at, end = join(self._rest, chunk, start + self._skip, end)
        stop = self._read(data, at, end)
        self._skip = max(0, stop - end)
        self._rest = data[stop:end]

    def _read(self, data: bytes, at: int, end: int) -> int:
        """Count entries; return where the next piece continues, possibly behind the end."""
        while at < end:
            if self._left <= 0:
                found = data.find(FAT_BINARY, at, end)
                if found < 0:
                    return max(at, end - count_beginning(FAT_BINARY, data, end))
                if end - found < HEADER:
                    return found
                (self._left,) = struct.unpack_from("<Q", data, found + 8)
                at = found + HEADER
            elif end - at < ENTRY:
                return at
            else:
                size = self._count_entry(data, at)
                self._left = self._left - size if size else 0
                at += size
        return at

    def _count_entry(self, data: bytes, at: int) -> int:
        """Count an entry and return its bytes; 0 for anything else, such as the code of a program for fat binaries."""
        kind, _, header, size = struct.unpack_from("<HHIQ", data, at)
        (architecture,) = struct.unpack_from("<I", data, at + 28)
        (flags,) = struct.unpack_from("<Q", data, at + 40)
        if kind not in KINDS or not LEAST_HEADER <= header <= MOST_HEADER or header + size > self._left:
            return 0
        self._found[f"{KINDS[kind]}_{architecture}{'a' if flags & ONLY_THIS else ''}"] += header + size
        return int(header + size)


class _Bundles:
    """Finds the bundles of AMD's compiler; each begins with a table of its architectures."""

    def __init__(self, found: Counter[str]) -> None:
        self._found = found
        self._rest = b""

    def feed(self, chunk: bytes, start: int, end: int) -> None:
        data, at, end = join(self._rest, chunk, start, end)
        stop = max(at, end - count_beginning(BUNDLE, data, end))
        while (at := data.find(BUNDLE, at, end)) >= 0:
            table = read_table(data[at : min(end, at + MOST_TABLE)])
            if table is None and end - at < MOST_TABLE:
                stop = at
                break
            self._found.update(table or {})
            at += len(BUNDLE)
        self._rest = data[stop:end]


def join(rest: bytes, chunk: bytes, start: int, end: int) -> tuple[bytes, int, int]:
    """Return the rest of the last piece and this one as part of a text; no copy without a rest."""
    if not rest:
        return chunk, start, end
    return rest + chunk[start:end], 0, len(rest) + end - start


def count_beginning(text: bytes, data: bytes, end: int) -> int:
    """Return how many bytes at the end are the beginning of a text that may continue in the next piece."""
    return next((size for size in range(len(text) - 1, 0, -1) if data.endswith(text[:size], 0, end)), 0)


def read_table(data: bytes) -> Counter[str] | None:
    """Return the bytes of each architecture in a bundle's table; None for one that does not end in the data."""
    found: Counter[str] = Counter()
    at = len(BUNDLE) + 8
    try:
        (number,) = struct.unpack_from("<Q", data, len(BUNDLE))
        for _ in range(number):
            _, size, length = struct.unpack_from("<QQQ", data, at)
            (name,) = struct.unpack_from(f"{min(length, MOST_TABLE)}s", data, at + 24)
            at += 24 + length
            if match := GFX.search(name):
                found[match[1].decode()] += size
    except struct.error:
        return None
    return found
