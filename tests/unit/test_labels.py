"""The labels of an image: what was read from it."""

from pathlib import Path
from typing import cast

import pytest

from slipway.build import labels
from slipway.matrix import Image, load_matrix


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    """An image whose results are in a folder of the test's own."""
    monkeypatch.setattr(Image, "results", tmp_path)
    return load_matrix().find_image("rocm-runtime")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The image and the name of each probe that was run; each finds HIP."""
    found: list[tuple[str, str]] = []

    def run_probe(image_id: str, probe: Path) -> dict[str, str]:
        found.append((image_id, probe.name))
        return {"hip": "5.7"} if probe.name == "probe.py" else {"gpus.rocblas": "gfx1030"}

    for name in ("PROBE", "GPU_PROBE"):
        probe = tmp_path / cast("Path", getattr(labels, name)).name
        probe.write_text("first")
        monkeypatch.setattr(labels, name, probe)
    monkeypatch.setattr(labels, "run_probe", run_probe)
    return found


def test_an_image_for_amd_gpus_is_asked_for_them(image: Image, runs: list[tuple[str, str]]) -> None:
    assert labels.find_facts(image, "sha256:1") == {"hip": "5.7", "gpus.rocblas": "gfx1030"}
    assert runs == [("sha256:1", "probe.py"), ("sha256:1", "gpu_probe.py")]


def test_an_image_is_asked_again_by_another_probe(image: Image, runs: list[tuple[str, str]]) -> None:
    """Else a label that a new probe finds would be missing until the image itself changes."""
    for _ in range(2):
        labels.find_facts(image, "sha256:1")
    assert len(runs) == 2
    labels.GPU_PROBE.write_text("second")
    labels.find_facts(image, "sha256:1")
    assert len(runs) == 4
