"""Machine code for GPUs: the architecture that an ELF file is for."""

# EF_AMDGPU_MACH, the last byte of the flags in an ELF header, as LLVM's guide to AMDGPU numbers the architectures.
AMD = {
    0x2A: "gfx803",
    0x2C: "gfx900",
    0x2F: "gfx906",
    0x30: "gfx908",
    0x33: "gfx1010",
    0x36: "gfx1030",
    0x3F: "gfx90a",
    0x41: "gfx1100",
    0x46: "gfx1101",
    0x47: "gfx1102",
    0x4C: "gfx942",
}
FLAGS = 48  # the offset of the flags in the header of a 64-bit ELF file


def flags_of(header: bytes) -> bytes:
    """Return the four bytes of flags of an ELF header."""
    assert header.startswith(b"\x7fELF"), header[:FLAGS]
    return header[FLAGS : FLAGS + 4]


def amd_architecture(header: bytes) -> str:
    """Return the architecture of AMD that machine code is for."""
    number = flags_of(header)[0]
    return AMD.get(number, f"unknown ({number:#x})")


def nvidia_architecture(header: bytes) -> str:
    """Return the architecture of NVIDIA that a cubin is for: the second byte of its flags."""
    return f"sm_{flags_of(header)[1]}"
