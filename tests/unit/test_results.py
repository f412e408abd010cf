"""Evidence is written whole or not at all, and a damaged file is no evidence."""

import os
import threading
import time
from pathlib import Path

import pytest

from slipway import results
from slipway.errors import SlipwayError
from slipway.matrix import load_matrix


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


@pytest.mark.parametrize("content", ["", "{", "[1]", "\xff", "[" * 100_000], ids=range(5))
def test_a_damaged_file_counts_as_none(tmp_path: Path, content: str) -> None:
    file = tmp_path / "versions.json"
    file.write_bytes(content.encode("latin-1"))
    assert results.read_json(file) == {}


def test_a_file_that_cannot_be_removed_is_one_message(tmp_path: Path) -> None:
    results.remove(tmp_path / "scan.json")
    (tmp_path / "cpu-base").touch()
    with pytest.raises(SlipwayError, match=r"cannot remove .*Not a directory"):
        results.remove(tmp_path / "cpu-base" / "scan.json")


@pytest.mark.usefixtures("root")
def test_a_second_build_of_an_image_waits_for_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    """It says so, and goes on as soon as the first has ended."""
    image = load_matrix().find_image("cpu-base")
    order = []

    def second() -> None:
        with results.exclusive(image):
            order.append("second")

    thread = threading.Thread(target=second)
    with results.exclusive(image):
        thread.start()
        while "waiting for it" not in (shown := capsys.readouterr().out):
            time.sleep(0.01)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert shown.strip() == "cpu-base is being built by another run; waiting for it"


@pytest.mark.usefixtures("root")
def test_another_image_waits_for_nothing() -> None:
    """And the same one not for a build that failed."""
    matrix = load_matrix()
    with results.exclusive(matrix.find_image("cpu-base")), results.exclusive(matrix.find_image("cuda-base")):
        pass
    with pytest.raises(SlipwayError), results.exclusive(matrix.find_image("cpu-base")):
        raise SlipwayError("the build failed")
    with results.exclusive(matrix.find_image("cpu-base")):
        pass


def test_a_folder_that_cannot_be_written_is_named(root: Path) -> None:
    """As after one run by sudo; here a file is in its place, which stops root, too."""
    (root / "dist").write_text("")
    with pytest.raises(SlipwayError, match=r"cannot write .*/dist/cpu-base: Not a directory"):
        results.exclusive(load_matrix().find_image("cpu-base")).__enter__()
