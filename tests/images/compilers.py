"""The parts of a host compiler: in devel flavors and in no other."""

import re

from slipway.image.layers import SavedImage
from tests.images.nvidia import all_files

PARTS = {
    "Python headers": r"/usr/include/python3.*/Python\.h",
    "C library headers": r"/usr/include/(.*/)?(stdio|stdlib)\.h",
    "host compiler": r"(/usr)?/bin/([\w-]+-)?(gcc|g\+\+|cc|c\+\+|cpp|clang)(-\d+)?",
    "linker and assembler": r"(/usr)?/bin/([\w-]+-)?(ld|as|ar)(\.bfd|\.gold)?",
    "make": r"(/usr)?/bin/make",
    "CMake": r".*/bin/cmake",  # Ninja is there as well, but deepspeed, too, asks for it
}


def found(saved: SavedImage, pattern: str) -> list[str]:
    """The files of a part in any layer: a deleted compiler is still carried."""
    return [path for path in all_files(saved) if re.fullmatch(pattern, path)]
