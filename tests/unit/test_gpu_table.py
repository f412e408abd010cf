"""The table of drivers and GPUs in the documentation."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from slipway.errors import SlipwayError
from slipway.report import gpu_table
from slipway.results import write_json

LABELS = {
    "slipway.cuda": "13.0",
    "slipway.driver": "580.65.06",
    "slipway.gpus.torch": "9.0+PTX",
    "slipway.python": "3.13",
}
COLUMN = {"driver": "580.65.06", "gpus.torch": "9.0+PTX"}


@pytest.fixture
def document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A document whose table knows another version, and results of one image."""
    file = tmp_path / "choosing.md"
    table = gpu_table.write_table({"9.0": {"driver": "1.2.3"}})
    file.write_text(f"before\n<!-- gpus: python -m slipway.report.gpu_table -->\n{table}<!-- /gpus -->\nafter\n")
    monkeypatch.setattr(gpu_table, "DOCUMENT", file)
    matrix = SimpleNamespace(
        images=[SimpleNamespace(results=tmp_path), SimpleNamespace(results=tmp_path / "not-built")]
    )
    monkeypatch.setattr(gpu_table, "load_matrix", lambda: matrix)
    write_json(tmp_path / "build.json", {"labels": LABELS})
    return file


def test_table_takes_the_labels_of_what_is_built(document: Path) -> None:
    """The columns of other versions stay, in the order of the versions; so does the text around the table."""
    gpu_table.main()
    text = document.read_text()
    assert list(gpu_table.read_columns(gpu_table.find_table(text)).items()) == [
        ("9.0", {"driver": "1.2.3"}),
        ("13.0", COLUMN),
    ]
    assert text.startswith("before\n<!-- gpus")
    assert text.endswith("<!-- /gpus -->\nafter\n")


def test_document_without_the_markers_is_an_error(document: Path) -> None:
    """There is no place to write to."""
    document.write_text("nothing")
    with pytest.raises(SlipwayError, match="has lost the markers"):
        gpu_table.main()
