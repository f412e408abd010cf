"""AMD's machine code and libraries: for which GPU, and in which version."""

from collections.abc import Callable

# EF_AMDGPU_MACH, the last byte of the flags in an ELF header, as LLVM's guide to AMDGPU numbers the architectures.
MACHINES = {
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
FLAGS = 48  # where the flags stand in the header of a 64-bit ELF file


def architecture_of(header: bytes) -> str:
    """The architecture that machine code is for."""
    assert header.startswith(b"\x7fELF"), header[:FLAGS]
    return MACHINES.get(header[FLAGS], f"unknown ({header[FLAGS]:#x})")


def own_version(python: Callable[[str], str], soname: str, function: str) -> str:
    """The version that a library tells: a text, or a number."""
    call = f"ctypes.CDLL({soname!r}).{function}"
    if function.endswith("_string"):
        program = f"text = ctypes.create_string_buffer(64); assert {call}(text, ctypes.c_size_t(64)) == 0"
        return python(f"import ctypes; {program}; print(text.value.decode().strip('.'))")
    program = f"number = ctypes.c_int(); assert {call}(ctypes.byref(number)) == 0"
    return python(f"import ctypes; {program}; print(number.value)")
