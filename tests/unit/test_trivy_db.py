"""The vulnerability database: folders without one, damaged ones, and their age."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from slipway.scan import trivy_db
from slipway.scan.trivy import NotScannedError
from slipway.scan.trivy_db import Database

PROGRAM = Path("/nowhere/trivy")  # nothing here needs it
NOW = datetime.now(UTC)


def write(folder: Path, metadata: str) -> Path:
    """Write the metadata of a database."""
    folder.mkdir()
    (folder / "metadata.json").write_text(metadata)
    return folder.parent


@pytest.mark.parametrize(
    "metadata",
    ["", "[]", "{}", '{"UpdatedAt": 1}', '{"UpdatedAt": "yesterday"}', '{"UpdatedAt": "2026-02-30T00:00:00Z"}', None],
)
def test_a_folder_without_a_database_is_not_scanned(tmp_path: Path, metadata: str | None) -> None:
    """None, or one whose day cannot be read: a day that there is not, among others."""
    if metadata is not None:
        write(tmp_path / "db", metadata)
    message = (
        "there is no vulnerability database" if metadata is None else "metadata.json of the vulnerability database"
    )
    with pytest.raises(NotScannedError, match=message):
        trivy_db.provide_database(PROGRAM, "", tmp_path)


@pytest.mark.parametrize(
    ("days", "problem"),
    [(0, ""), (2.9, ""), (3.1, "3.1 days old, and 3 are allowed"), (-0.01, ""), (-1, "in the future")],
)
def test_an_age_is_judged(days: float, problem: str) -> None:
    """A clock that is some minutes off is none from the future."""
    found = list(trivy_db.explain_age(Database(Path(), "x", NOW - timedelta(days=days)), 3))
    assert len(found) == bool(problem)
    assert problem in "".join(found)


def test_an_earlier_database_that_is_too_old_says_why_it_was_not_renewed() -> None:
    found = trivy_db.explain_age(Database(Path(), "x", NOW - timedelta(days=9), note="not renewed: no way"), 3)
    assert next(found).endswith("(not renewed: no way)")


@pytest.mark.requirement("N4")
def test_the_index_of_java_archives_has_an_age_of_its_own(tmp_path: Path) -> None:
    """It is beside the database, and renewed apart."""
    write(tmp_path / "db", json.dumps({"UpdatedAt": NOW.isoformat()}))
    database = trivy_db.provide_database(PROGRAM, "", tmp_path)
    with pytest.raises(NotScannedError, match="there is no index of Java archives"):
        database.read_java()
    write(tmp_path / "java-db", json.dumps({"UpdatedAt": (NOW - timedelta(days=20)).isoformat()}))
    [problem] = trivy_db.explain_age(database.read_java(), 14)
    assert problem == "the index of Java archives is 20.0 days old, and 14 are allowed"
    assert not list(trivy_db.explain_age(database, 3))
