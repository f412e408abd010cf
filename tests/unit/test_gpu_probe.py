"""GPU code in a library, and the GPUs that it serves."""

import struct
from pathlib import Path

import pytest

from slipway.build import gpu_probe
from tests.helpers.gpu_binaries import bundle, elf, fat_binary

PTX, CODE = gpu_probe.PTX, gpu_probe.MACHINE_CODE
SM_75, SM_80, SM_86, SM_90A = (CODE, 75, False), (CODE, 80, False), (CODE, 86, False), (CODE, 90, True)
PTX_90 = (PTX, 90, False)


FATBIN = fat_binary([SM_75, PTX_90]) + bytes(8) + fat_binary([SM_90A])


@pytest.mark.parametrize(
    ("sections", "found"),
    [
        ({b".data": fat_binary([SM_86]), b".nv_fatbin": FATBIN, b".nv_fatbin.other": b"-"}, {SM_75, PTX_90, SM_90A}),
        ({b".data": b"data"}, set()),
    ],
)
def test_gpu_code_of_a_library_is_read(tmp_path: Path, sections: dict[bytes, bytes], found: set[object]) -> None:
    """Each piece of each fat binary of the section, and nothing that looks like one elsewhere."""
    file = tmp_path / "library.so"
    file.write_bytes(elf(sections))
    assert gpu_probe.read_library(file) == found


def test_code_of_an_unknown_form_is_an_error(tmp_path: Path) -> None:
    """A build ends there, instead of a label that leaves GPUs out."""
    file = tmp_path / "library.so"
    file.write_bytes(elf({b".nv_fatbin": struct.pack("<IHHQ72x", gpu_probe.MAGIC, 1, 16, 72)}))
    with pytest.raises(ValueError, match="fat binary of an unknown form"):
        gpu_probe.read_library(file)


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
    assert gpu_probe.describe_gpus(libraries) == gpus


def write_rocm(folder: Path, name: str, *bundles: bytes) -> None:
    """Write a library of ROCm, with its link as Debian's package has it."""
    file = folder / f"{name}.so.0.1"
    file.write_bytes(elf({b".hip_fatbin": bytes(64).join(bundles), b".hip_fatbin.other": b"-"}))
    (folder / f"{name}.so.0").symlink_to(file.name)


def test_gpus_of_rocm_are_those_that_each_bundle_has_code_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of their numbers; an empty piece serves no GPU, and what looks like a bundle in code is none."""
    monkeypatch.setattr(gpu_probe, "ROCM_LIBRARIES", tmp_path)
    code = gpu_probe.BUNDLE + bytes(64)
    first = bundle({"gfx1030": code, "gfx90a": code, "gfx803": code})
    write_rocm(tmp_path, "librocrand", first, bundle({"gfx90a": b"code", "gfx1030": b"code", "gfx803": b""}))
    assert dict(gpu_probe.find_rocm_gpus()) == {"gpus.rocrand": "gfx90a gfx1030"}


def test_gpus_of_rocblas_have_kernels_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library itself has code for more: without the files of its kernels it multiplies on none of them."""
    monkeypatch.setattr(gpu_probe, "ROCM_LIBRARIES", tmp_path)
    write_rocm(tmp_path, "librocblas", bundle({"gfx1030": b"code", "gfx90a": b"code"}))
    assert dict(gpu_probe.find_rocm_gpus()) == {"gpus.rocblas": ""}
    kernels = tmp_path / "rocblas" / "2.47.0" / "library"
    kernels.mkdir(parents=True)
    (kernels / "TensileLibrary_gfx1030.co").touch()
    assert dict(gpu_probe.find_rocm_gpus()) == {"gpus.rocblas": "gfx1030"}
