"""GPU code in a library, and the GPUs that it serves."""

import struct
from pathlib import Path

import pytest

from slipway.build import gpu_probe
from tests.helpers.gpu_binaries import elf, fat_binary

PTX, CODE = gpu_probe.PTX, gpu_probe.MACHINE_CODE
SM_75, SM_80, SM_86, SM_90A = (CODE, 75, False), (CODE, 80, False), (CODE, 86, False), (CODE, 90, True)
PTX_90 = (PTX, 90, False)


def test_gpu_code_of_a_library_is_read(tmp_path: Path) -> None:
    """Each piece of each fat binary of the section, and nothing that looks like one elsewhere."""
    file = tmp_path / "library.so"
    section = fat_binary([SM_75, PTX_90]) + bytes(8) + fat_binary([SM_90A])
    file.write_bytes(elf({b".data": fat_binary([SM_86]), b".nv_fatbin": section, b".nv_fatbin.other": b"-"}))
    assert gpu_probe.read_library(file) == {SM_75, PTX_90, SM_90A}


def test_code_of_an_unknown_form_is_an_error(tmp_path: Path) -> None:
    """A build ends there, instead of a label that leaves GPUs out."""
    file = tmp_path / "library.so"
    file.write_bytes(elf({b".nv_fatbin": struct.pack("<IHHQ72x", gpu_probe.MAGIC, 1, 16, 72)}))
    with pytest.raises(ValueError, match="fat binary of an unknown form"):
        gpu_probe.read_library(file)


def test_library_without_gpu_code_has_none(tmp_path: Path) -> None:
    """Most libraries have no such section."""
    file = tmp_path / "library.so"
    file.write_bytes(elf({b".data": b"data"}))
    assert gpu_probe.read_library(file) == set()


@pytest.mark.parametrize(
    ("libraries", "gpus"),
    [
        ([{SM_75, SM_80}], "7.5 8.0 8.6 8.9"),  # machine code runs on the later GPUs of its major version
        ([{SM_86}], "8.6 8.9"),
        ([{SM_90A}], "9.0"),
        ([{(CODE, 100, True)}], "10.0"),  # and that for sm_100a on no other
        ([{(CODE, 100, False)}], "10.0 10.3"),
        ([{SM_75, SM_80}, {SM_80, PTX_90}], "8.0 8.6 8.9"),  # what each library serves
        ([{SM_80, PTX_90}, {SM_86, PTX_90}], "8.6 8.9+PTX"),
    ],
)
def test_gpus_that_libraries_serve(libraries: list[set[tuple[int, int, bool]]], gpus: str) -> None:
    """In the order of their compute capabilities."""
    assert gpu_probe.describe_gpus(libraries) == gpus
