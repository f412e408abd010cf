"""Pending security updates and old locks: found without a database; "not run" where they cannot be known."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from slipway import docker, matrix
from slipway.build import locks
from slipway.build.locks import Lock
from slipway.errors import SlipwayError
from slipway.host import downloads
from slipway.scan import pending_updates
from slipway.scan.pending_updates import NotRunError


@pytest.mark.parametrize(
    "output", ["", "E: no\n", "Listing...\nlibssl3t64 is upgradable\n", "libc6/a 2 amd64 [upgradable from: 1]"]
)
def test_a_list_that_reads_otherwise_is_not_run(output: str) -> None:
    """apt says itself that its list has no stable form."""
    with pytest.raises(NotRunError, match="unknown form"):
        pending_updates.read_updates(output)
    assert pending_updates.read_updates("Listing...\n") == []


def test_a_version_that_no_suite_has_is_named() -> None:
    """A package that a Dockerfile makes is in no suite either."""
    names = {"tini": 99, **dict.fromkeys(pending_updates.OWN, 1)}
    lines = [f"{name}/now {version} all [installed,local]" for name, version in names.items()]
    found = pending_updates.read_updates("\n".join(["Listing...", "a/trixie 2 all [upgradable from: 1]", *lines, ""]))
    assert found == ["a 1 -> 2", f"tini 99 {pending_updates.STRANGE}"]


def test_an_answer_that_does_not_come_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The container that waits for it is removed."""
    calls: list[tuple[str, ...]] = []

    def call(*words: str, timeout: float | None = None, **_: object) -> None:
        calls.append(words)
        if timeout:
            raise subprocess.TimeoutExpired(words, timeout)

    monkeypatch.setattr(docker, "call", call)
    monkeypatch.setattr(downloads, "find", lambda _: downloads.Host())
    with pytest.raises(NotRunError, match=rf"^apt gave no answer within {pending_updates.PATIENCE} s$"):
        pending_updates.pending_updates("sha256:0123456789ab", "trixie")
    run, removed = calls
    assert removed == ("rm", "--force", next(word for word in run if word.startswith("--name="))[7:])


# --- locks ---------------------------------------------------------------------------------------


IMAGE = matrix.load_matrix().find_image("cpu-base")


def test_a_lock_older_than_the_limit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the day on which it was resolved, whatever was committed since."""
    monkeypatch.setattr(locks, "read_days", lambda: {"cpu-base": datetime.now(UTC).date() - timedelta(days=10)})
    lines = list(pending_updates.list_old_locks(IMAGE, 9))
    assert lines == ["requirements/cpu-base.txt is 10 days old, and 9 are allowed: nox -s lock"]
    assert list(pending_updates.list_old_locks(IMAGE, 10)) == []
    monkeypatch.setattr(locks, "read_days", dict)
    (line,) = pending_updates.list_old_locks(IMAGE, 9)
    assert line == "requirements/cpu-base.txt has no date in requirements/resolved.toml: nox -s lock"


def test_a_lock_that_finds_the_same_versions_is_new_and_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing newer may exist; the file of its layer must not change then."""
    monkeypatch.setattr(locks, "FOLDER", tmp_path)
    monkeypatch.setattr(locks, "RESOLVED", tmp_path / "resolved.toml")
    (tmp_path / "a.in").write_text("a\n")
    (tmp_path / "resolved.toml").write_text('"a" = 2020-01-01\n"b" = 2020-01-02\n')
    lock = Lock("a", "a.in", (), ())
    locks.write_lock(lock, "a==1\n")
    written = lock.file.read_bytes()
    locks.write_lock(lock, "a==1\n")
    assert lock.file.read_bytes() == written
    assert locks.read_days() == {"a": datetime.now(UTC).date(), "b": datetime(2020, 1, 2, tzinfo=UTC).date()}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<<<<<<< HEAD\n", "cannot be read .*"),
        ("a = 2026-02-30\n", "cannot be read .*"),
        ('a = "2026-01-01"\n', "has no date for a"),
        ("a = 2026-01-01T00:00:00\n", "has no date for a"),
    ],
)
def test_damaged_dates_are_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str) -> None:
    monkeypatch.setattr(locks, "RESOLVED", tmp_path / "resolved.toml")
    (tmp_path / "resolved.toml").write_text(text)
    with pytest.raises(SlipwayError, match=rf"resolved.toml {reason}: run nox -s lock"):
        locks.read_days()


def test_every_lock_has_a_date() -> None:
    files = {file.stem for file in locks.FOLDER.glob("*.txt")}
    assert set(locks.read_days()) == files
