"""Evidence is written whole or not at all, and a damaged file is no evidence."""

import os
from pathlib import Path

import pytest

from slipway import results
from slipway.errors import SlipwayError


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """In a folder that was not there."""
    file = tmp_path / "dist" / "build.json"
    results.write_json(file, {"image": "sha256:1"})
    assert results.read_json(file) == {"image": "sha256:1"}
    assert [path.name for path in file.parent.iterdir()] == ["build.json"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk in the middle leaves what there was, and no half file beside it."""
    file = tmp_path / "build.json"
    results.write_json(file, {"old": 1})

    def full(_descriptor: int, _mode: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fchmod", full)
    with pytest.raises(SlipwayError, match="No space left on device"):
        results.write_json(file, {"new": 2})
    assert results.read_json(file) == {"old": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["build.json"]


@pytest.mark.parametrize("content", ["", "{", "[1]", "\xff"])
def test_a_damaged_file_counts_as_none(tmp_path: Path, content: str) -> None:
    """It is made anew."""
    file = tmp_path / "versions.json"
    file.write_bytes(content.encode("latin-1"))
    assert results.read_json(file) == {}
