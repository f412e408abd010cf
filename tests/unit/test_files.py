"""Files that are written whole or not at all."""

import os
from pathlib import Path

import pytest

from slipway import files
from slipway.errors import SlipwayError
from slipway.files import write_whole


def test_a_file_has_its_name_when_all_is_written(tmp_path: Path) -> None:
    """In a folder that was not there; others may read it, whatever the umask."""
    path = tmp_path / "a" / "b"
    before = os.umask(0o077)
    try:
        with write_whole(path) as file:
            file.write(b"content")
            assert not path.exists()
    finally:
        os.umask(before)
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o644


def write_half(path: Path) -> None:
    """Fail in the middle."""
    with write_whole(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt


def test_a_failure_leaves_what_there_was(tmp_path: Path) -> None:
    """Ctrl-C as well, and nothing beside it."""
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt):
        write_half(path)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"before"]


def test_a_folder_for_what_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where TMPDIR says, also with a space; a job's folder that is gone is named."""
    place = tmp_path / "a b"
    monkeypatch.setenv("TMPDIR", str(place))
    with pytest.raises(SlipwayError, match="a b is no folder that can be written: set TMPDIR"):
        files.temporary_folder()
    place.mkdir()
    with files.temporary_folder() as folder, files.temporary_file() as file:
        assert Path(folder).parent == Path(file.name).parent == place
