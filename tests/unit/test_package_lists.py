"""The packages of Alpine, RPM and conda are components of images from elsewhere."""

import json
import sqlite3
import struct
from pathlib import Path

import pytest

from slipway.image import package_lists
from slipway.report import contents_tables
from tests.helpers.contents import describe, sizes

APK = b"""C:Q1abc=
P:musl
V:1.2.5-r9
F:lib
R:ld-musl-x86_64.so.1
a:0:0:755
Z:Q1def=

P:busybox
V:1.37.0-r12
F:
R:.hidden
F:bin
R:busybox
"""


def make_header(name: str, *files: str, epoch: int | None = None) -> bytes:
    """Return what RPM's database has about a package."""
    folders = sorted({file.rpartition("/")[0] + "/" for file in files})
    indexes = [folders.index(file.rpartition("/")[0] + "/") for file in files]
    values: dict[int, tuple[bytes, int]] = {
        tag: (b"".join(text.encode() + b"\0" for text in texts), len(texts))
        for tag, texts in (
            (1000, [name]),
            (1001, ["1.2"]),
            (1002, ["3.el9"]),
            (1117, [file.rpartition("/")[2] for file in files]),
            (1118, folders),
        )
        if texts
    }
    values[1116] = (struct.pack(f">{len(indexes)}I", *indexes), len(indexes))
    if epoch is not None:
        values[1003] = (struct.pack(">I", epoch), 1)
    rows, data = b"", b""
    for tag, (value, count) in values.items():
        rows += struct.pack(">4I", tag, 0, len(data), count)
        data += value
    return struct.pack(">2I", len(values), len(data)) + rows + data


def make_database(folder: Path, *headers: bytes) -> bytes:
    """Return a database as RPM leaves it in an image: with the mark of a journal that is not there."""
    file = folder / "rpmdb.sqlite"
    database = sqlite3.connect(file)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
    database.executemany("INSERT INTO Packages (blob) VALUES (?)", [(header,) for header in headers])
    database.commit()
    database.close()
    return file.read_bytes()


@pytest.mark.parametrize("place", ["lib/apk/db/installed", "usr/lib/apk/db/installed"])
def test_alpine_s_packages_are_components(place: str) -> None:
    files = [("lib/ld-musl-x86_64.so.1", b"m" * 30), ("bin/busybox", b"b" * 50), (".hidden", b"h")]
    found = describe(("RUN", [*files, (place, APK), ("etc/motd", b"e" * 4)]))
    assert sizes(found) == {
        "apk busybox 1.37.0-r12": 51,
        "apk musl 1.2.5-r9": 30,
        "system /etc": 4,
        f"system /{'/'.join(place.split('/')[:2])}": len(APK),
    }
    assert found["notes"] == []


@pytest.mark.parametrize("folder", ["var/lib/rpm", "usr/lib/sysimage/rpm"])
def test_packages_of_rpm_are_components(tmp_path: Path, folder: str) -> None:
    """Through links of folders; with the epoch, without files, and with a name beyond ASCII."""
    database = make_database(
        tmp_path,
        make_header("bash", "/bin/bash", "/usr/share/doc/bash/\xfc", epoch=2),
        make_header("libcublas-13-0", "/usr/local/cuda/lib64/libcublas.so"),
        make_header("gpg-pubkey"),
    )
    files = [
        ("usr/bin/bash", b"b" * 20),
        ("usr/share/doc/bash/\xfc", b"d" * 3),
        ("usr/local/cuda/lib64/libcublas.so", b"c" * 40),
    ]
    found = describe(("RUN", [("bin", "usr/bin"), *files, (f"{folder}/rpmdb.sqlite", database)]))
    place = "/".join(folder.split("/")[:2])
    assert sizes(found) == {
        f"system /{place}": len(database),
        "cuda libcublas-13-0 1.2-3.el9": 40,
        "rpm bash 2:1.2-3.el9": 23,
    }
    assert found["bytes"] == sum(sizes(found).values())


def test_conda_s_packages_are_components() -> None:
    """What conda keeps about a package is a part of it; its Python distributions are conda's."""
    record = json.dumps(
        {"name": "numpy", "version": "2.4.0", "files": ["lib/python3.13/site-packages/numpy/core.so", "bin/f2py"]}
    ).encode()
    site = "opt/conda/lib/python3.13/site-packages"
    files = [
        ("opt/conda/conda-meta/numpy-2.4.0-py313_0.json", record),
        (f"{site}/numpy/core.so", b"n" * 60),
        (f"{site}/numpy-2.4.0.dist-info/RECORD", b"numpy/core.so,sha256=abc,60\n"),
        ("opt/conda/bin/f2py", b"f" * 5),
        (f"{site}/pip_only/a.py", b"p" * 7),
        ("opt/conda/conda-meta/history", b"h" * 2),
    ]
    assert sizes(describe(("RUN", [*files]))) == {
        "conda numpy 2.4.0": 65 + len(record),
        "python numpy 2.4.0": len("numpy/core.so,sha256=abc,60\n"),
        "python pip-only": 7,
        "application /opt/conda": 2,
    }


def test_a_later_layer_has_the_packages_that_count(tmp_path: Path) -> None:
    """Each layer with packages has a whole database; files that a later layer deletes are still a package's."""
    first = make_database(tmp_path, make_header("old", "/usr/bin/old", "/usr/bin/tool"))
    (tmp_path / "rpmdb.sqlite").unlink()
    second = make_database(tmp_path, make_header("new", "/usr/bin/new", "/usr/bin/tool"))
    path = "var/lib/rpm/rpmdb.sqlite"
    found = describe(
        ("RUN", [(path, first), ("usr/bin/tool", b"1" * 10), ("usr/bin/old", b"2" * 20)]),
        ("RUN", [(path, second), ("usr/bin/new", b"3" * 30), ("usr/bin/.wh.tool", b"")]),
    )
    assert sizes(found) == {"system /var/lib": len(first) + len(second), "rpm new 1.2-3.el9": 40, "system /usr/bin": 20}


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("var/lib/rpm/Packages", b"\0\0\0\0\x61\x15\x06\0Berkeley DB"),
        ("var/lib/rpm/rpmdb.sqlite", b"SQLite format 3\0 and no more"),
        ("opt/conda/conda-meta/a-1-0.json", b"[" * 100_000),
        ("opt/conda/conda-meta/a-1-0.json", b'{"name": "a", "version": "1"}'),
    ],
)
def test_a_database_that_cannot_be_read_is_named(path: str, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """Its files are of the system or the application, and the output says so."""
    found = describe(("RUN", [(path, content), ("usr/bin/tool", b"x" * 9)]))
    assert sizes(found)["system /usr/bin"] == 9
    manager = "rpm" if "rpm" in path else "conda"
    assert [note.partition(":")[0] for note in found["notes"]] == [f"packages of {manager} are not named"]
    contents_tables.show_contents(found)
    assert f"are not named: /{path}" in capsys.readouterr().out


def test_a_header_that_leads_nowhere_is_damage(tmp_path: Path) -> None:
    """Nothing at all, tags or data that are cut off, and folders without base names."""
    sound = make_header("bash", "/bin/bash")
    for damaged in (b"", sound[:20], sound[:-8], sound.replace(struct.pack(">I", 1117), struct.pack(">I", 9999))):
        (tmp_path / "rpmdb.sqlite").unlink(missing_ok=True)
        (tmp_path / "rpmdb.sqlite").write_bytes(make_database(tmp_path, damaged))
        with (tmp_path / "rpmdb.sqlite").open("rb") as file:
            assert package_lists.make_list(package_lists.read_rpm, file) == b""


def test_a_view_in_place_of_the_table_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database of an image may compute for ever."""
    monkeypatch.setattr(package_lists, "MOST_STEPS", 10_000)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS blob FROM n WHERE i < 0"
    database = sqlite3.connect(tmp_path / "rpmdb.sqlite")
    database.execute(f"CREATE VIEW Packages AS {endless}")
    database.close()
    with (tmp_path / "rpmdb.sqlite").open("rb") as file:
        assert package_lists.make_list(package_lists.read_rpm, file) == b""


@pytest.mark.parametrize(("limit", "most"), [("MOST_TEXT", len(APK) - 1), ("MOST_MEMORY", 100)])
def test_a_database_beyond_the_limits_is_not_read(monkeypatch: pytest.MonkeyPatch, limit: str, most: int) -> None:
    monkeypatch.setattr(package_lists, limit, most)
    assert sizes(describe(("RUN", [("lib/apk/db/installed", APK), ("bin/busybox", b"b")])))["system /bin"] == 1
