"""Libraries with GPU code, as compilers write them."""

import struct
from collections.abc import Iterable

from slipway.build import gpu_probe


def fat_binary(code: Iterable[tuple[int, int, bool]]) -> bytes:
    """Return a fat binary as CUDA's compiler writes it, each piece with 8 bytes of code."""
    entries = b""
    for kind, architecture, only_this in code:
        flags = 0x11 | (gpu_probe.ONLY_THIS if only_this else 0)
        entries += (
            struct.pack("<HHIQIIHHIIIQQQ8x", kind, 0x101, 72, 8, 0, 0, 0, 0, architecture, 0, 0, flags, 0, 0)
            + b"the code"
        )
    return struct.pack("<IHHQ", gpu_probe.MAGIC, 1, 16, len(entries)) + entries


def bundle(pieces: dict[str, bytes]) -> bytes:
    """Return a bundle as clang writes it, with the code for each GPU of AMD; that for the processor is empty."""
    named = {
        "host-x86_64-unknown-linux-gnu-": b"",
        **{f"hipv4-amdgcn-amd-amdhsa--{gpu}": pieces[gpu] for gpu in pieces},
    }
    place = len(gpu_probe.BUNDLE) + 8 + sum(24 + len(name) for name in named)
    head = gpu_probe.BUNDLE + struct.pack("<Q", len(named))
    for name, code in named.items():
        head += struct.pack("<QQQ", place, len(code), len(name)) + name.encode()
        place += len(code)
    return head + b"".join(named.values())


def elf(sections: dict[bytes, bytes]) -> bytes:
    """Return an ELF file of 64 bits with these sections."""
    sections = {b"": b"", **sections, b".shstrtab": b"\0".join([b"", *sections, b".shstrtab", b""])}
    names, content, headers = sections[b".shstrtab"], b"", b""
    for name, data in sections.items():
        headers += struct.pack(
            "<IIQQQQIIQQ", names.index(name + b"\0"), 1, 0, 0, 64 + len(content), len(data), 0, 0, 8, 0
        )
        content += data
    table = struct.pack("<40xQ10xHHH", 64 + len(content), 64, len(sections), len(sections) - 1)
    return b"\x7fELF" + table[4:] + content + headers
