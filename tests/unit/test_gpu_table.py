"""The table of drivers and GPUs in the documentation."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from slipway.report import gpu_table
from slipway.results import write_json

LABELS = {
    "slipway.cuda": "13.0",
    "slipway.driver": "580.65.06",
    "slipway.gpus.torch": "9.0+PTX",
    "slipway.python": "3.13",
}
LABELS_OF_ROCM = {"slipway.hip": "5.7", "slipway.gpus.rccl": "gfx90a gfx1030"}
COLUMN = {"driver": "580.65.06", "gpus.torch": "9.0+PTX"}


@pytest.fixture
def document(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A document whose table knows another version, and results of one image."""
    file = root / "choosing.md"
    tables = "".join(f"<!-- {name}: command -->\n| |\n|---|\n<!-- /{name} -->\n" for name in ("gpus", "amd-gpus"))
    file.write_text(gpu_table.replace_columns(f"before\n{tables}after\n", "cuda", {"9.0": {"driver": "1.2.3"}}))
    monkeypatch.setattr(gpu_table, "DOCUMENT", file)
    gpus = {root: "", root / "not-built": "", root / "rocm": "", root / "gfx90a": "gfx90a"}
    images = [SimpleNamespace(results=folder, variant=SimpleNamespace(gpu=gpu)) for folder, gpu in gpus.items()]
    matrix = SimpleNamespace(images=images)
    monkeypatch.setattr(gpu_table, "load_matrix", lambda: matrix)
    write_json(root / "build.json", {"labels": LABELS})
    write_json(root / "rocm" / "build.json", {"labels": LABELS_OF_ROCM})
    write_json(root / "gfx90a" / "build.json", {"labels": LABELS_OF_ROCM})
    return file


def test_table_takes_the_labels_of_what_is_built(document: Path) -> None:
    """The columns of other versions stay, in the order of the versions; so does the text around the tables."""
    gpu_table.main()
    text = document.read_text()
    served = {"gpus.rccl": "gfx90a gfx1030"}
    assert gpu_table.read_columns(text, "hip") == {"5.7": served, "5.7 gfx90a": served}
    assert list(gpu_table.read_columns(text, "cuda").items()) == [("9.0", {"driver": "1.2.3"}), ("13.0", COLUMN)]
    assert text.startswith("before\n<!-- gpus")
    assert text.endswith("<!-- /amd-gpus -->\nafter\n")
