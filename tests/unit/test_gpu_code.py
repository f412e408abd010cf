"""GPU code of a library that is read in pieces."""

from collections.abc import Iterable

import pytest

from slipway.build import gpu_probe
from slipway.image.gpu_code import BUNDLE, GpuCode
from tests.helpers.archives import file_system
from tests.helpers.gpu_binaries import bundle, elf, fat_binary

PTX, CODE = gpu_probe.PTX, gpu_probe.MACHINE_CODE
ENTRY = 80  # bytes of an entry of fat_binary()
SECTION = (
    fat_binary([(CODE, 75, False), (PTX, 90, False)]) + bytes(8) + fat_binary([(CODE, 90, True), (CODE, 75, False)])
)
LIBRARY = elf({b".data": b"data" * 100, b".nv_fatbin": SECTION})


def count(pieces: Iterable[bytes]) -> dict[str, int]:
    """Return the bytes by architecture, each piece read as the middle of a longer text."""
    code = GpuCode()
    for piece in pieces:
        code.feed(b"--" + piece + b"--", 2, 2 + len(piece))
    return dict(code.bytes)


@pytest.mark.parametrize("size", [1, 7, 64, 1000, len(LIBRARY)])
def test_fat_binaries_are_counted_however_they_are_cut(size: int) -> None:
    """Header and code of each entry; what is no fat binary counts nothing."""
    pieces = (LIBRARY[at : at + size] for at in range(0, len(LIBRARY), size))
    assert count(pieces) == {"sm_75": 2 * ENTRY, "compute_90": ENTRY, "sm_90a": ENTRY}


@pytest.mark.parametrize("size", [1, 50, 10_000])
def test_bundles_are_counted_however_they_are_cut(size: int) -> None:
    first, second = bundle({"gfx1030": bytes(500), "gfx90a": bytes(70)}), bundle({"gfx1030": bytes(30)})
    library = elf({b".hip_fatbin": first + second})
    assert count(library[at : at + size] for at in range(0, len(library), size)) == {"gfx1030": 530, "gfx90a": 70}


@pytest.mark.parametrize(
    "text", [b"", LIBRARY[:-10], SECTION[:40], SECTION[:16] + bytes(200), BUNDLE, BUNDLE + b"\xff" * 90]
)
def test_what_is_damaged_ends_no_reading(text: bytes) -> None:
    assert set(count([text])) <= {"sm_75", "compute_90", "sm_90a"}


def test_an_image_has_the_gpu_code_of_its_libraries() -> None:
    """A text with the same bytes is no library."""
    system = file_system(("COPY", [("lib.so", LIBRARY), ("notes", b"text " + LIBRARY)]))
    assert system.paths["/lib.so"][0].gpu == f"compute_90={ENTRY} sm_75={2 * ENTRY} sm_90a={ENTRY}"
    assert not system.paths["/notes"][0].gpu
