"""Sources of the vulnerability database: the files of an archive, and invalid databases."""

import io
import json
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from slipway.scan import trivy_db
from slipway.scan.trivy import NotScannedError
from slipway.scan.trivy_db import Database, Source

PROGRAM = Path("/nowhere/trivy")  # nothing here needs it
NOW = datetime.now(UTC)
METADATA = json.dumps({"Version": 2, "UpdatedAt": NOW.isoformat()})


def pack(archive: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    """Write an archive."""
    with tarfile.open(archive, "w") as output:
        for info, content in members:
            info.size = len(content)
            output.addfile(info, io.BytesIO(content))
    return archive


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    """A symbolic link in an archive."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info, b""


def refusal(path: Path) -> str:
    """Provide a database and return why there is none."""
    with pytest.raises(NotScannedError) as caught, trivy_db.provide_database(PROGRAM, Source(path=path)):
        pass
    return str(caught.value)


@pytest.mark.parametrize("prefix", ["", "./", "db/", "./db/"])
def test_an_archive_is_unpacked_for_as_long_as_it_is_used(tmp_path: Path, prefix: str) -> None:
    """As registries hold it, or as Trivy's cache has it."""
    members = [(tarfile.TarInfo(f"{prefix}{name}"), METADATA.encode()) for name in trivy_db.FILES]
    with trivy_db.provide_database(PROGRAM, Source(path=pack(tmp_path / "db.tar", *members))) as found:
        assert sorted(file.name for file in (found.folder / "db").iterdir()) == sorted(trivy_db.FILES)
        assert abs(found.days) < 1
    assert not found.folder.exists()


def test_a_hostile_archive_writes_nothing_outside(tmp_path: Path) -> None:
    """Paths that climb, links in place of the files, files of other names."""
    target = tmp_path / "target"
    target.write_text("whole")
    members = [
        (tarfile.TarInfo("../../../escaped"), b"x"),
        (tarfile.TarInfo(f"{tmp_path}/absolute"), b"x"),
        link("db/metadata.json", str(target)),
        (tarfile.TarInfo("trivy.db"), b"x"),
        (tarfile.TarInfo("../db/metadata.json"), b"x"),
    ]
    assert "holds no metadata.json" in refusal(pack(tmp_path / "db.tar", *members))
    assert target.read_text() == "whole"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["db.tar", "target"]


def test_a_file_of_an_archive_that_is_too_large_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is far above the real database."""
    monkeypatch.setattr(trivy_db, "LARGEST", 10)
    members = [(tarfile.TarInfo(name), METADATA.encode()) for name in trivy_db.FILES]
    assert "holds no trivy.db" in refusal(pack(tmp_path / "db.tar", *members))


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b broken", b"\x28\xb5\x2f\xfd"])
def test_what_is_no_archive_is_said(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "db.tar.gz"
    file.write_bytes(content)
    assert "is no readable archive" in refusal(file)


@pytest.mark.parametrize(
    "metadata",
    ["", "[]", "{}", '{"UpdatedAt": 1}', '{"UpdatedAt": "yesterday"}', '{"UpdatedAt": "2026-02-30T00:00:00Z"}'],
)
def test_metadata_that_is_not_understood_is_said(tmp_path: Path, metadata: str) -> None:
    """A day that there is not, among others."""
    (tmp_path / "trivy.db").touch()
    (tmp_path / "metadata.json").write_text(metadata)
    assert "metadata.json cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("days", "problem"),
    [(0, ""), (2.9, ""), (3.1, "3.1 days old, and 3 are allowed"), (-0.01, ""), (-1, "in the future")],
)
def test_an_age_is_judged(days: float, problem: str) -> None:
    """A clock that is some minutes off is none from the future."""
    found = trivy_db.explain_age(Database(Path(), "x", NOW - timedelta(days=days)), 3)
    assert bool(found) is bool(problem)
    assert problem in found


def test_an_earlier_database_that_is_too_old_says_why_it_was_not_renewed() -> None:
    found = Database(Path(), "x", NOW - timedelta(days=9), note="not renewed: connection refused")
    assert trivy_db.explain_age(found, 3).endswith("(not renewed: connection refused)")
