"""The packages of Alpine, RPM and conda in an image, with their files, from the databases of their managers.

A database can be large, and each layer that installs something has a whole one. The reader of a layer keeps a list of
names, versions and paths in its place, in one form for all three managers.
"""

import json
import posixpath
import re
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from sys import getsizeof
from typing import IO, NamedTuple
from urllib.parse import quote

CONDA = re.compile(r"(.*)/conda-meta/[^/]+-[^/]+-[^/]+\.json")
DATABASES = {
    "conda": CONDA,
    "apk": re.compile(r"/(?:usr/)?lib/apk/db/installed"),
    "rpm": re.compile(r"/(?:var/lib|usr/lib/sysimage|usr/share)/rpm/(?:rpmdb\.sqlite|Packages|Packages\.db)"),
}
ENDS = ("/db/installed", ".json", "/rpmdb.sqlite", "/Packages", "/Packages.db")  # of their paths
# Limits far above those of any real database, against one that is made to exhaust memory or time.
MOST_TEXT = 8 << 20  # bytes of a text
MOST_RPM = 1 << 30  # bytes of a database, which is read from disk
MOST_HEADER = 16 << 20  # bytes of what RPM has about one package
MOST_FILES = 1 << 18  # of one package
MOST_MEMORY = 48 << 20  # of the paths of all packages
MOST_STEPS = 50_000_000  # of SQLite's virtual machine
# The tags of RPM's headers. The files are in three lists: base names, the number of each one's folder, folders.
NAME, VERSION, RELEASE, EPOCH, INDEXES, BASES, FOLDERS = 1000, 1001, 1002, 1003, 1116, 1117, 1118

Make = Callable[[IO[bytes]], bytes]
Read = Callable[[IO[bytes]], Iterable["Package"]]


class Package(NamedTuple):
    """An installed package with the paths of its files."""

    name: str
    version: str
    files: Iterable[str]


def choose_list(path: str) -> tuple[Make, int] | None:
    """Return what makes the list of packages of a database, and the most bytes that it reads; None for another file."""
    if not path.endswith(ENDS):
        return None
    makers = {"apk": (read_apk, MOST_TEXT), "conda": (read_conda, MOST_TEXT), "rpm": (read_rpm, MOST_RPM)}
    read, size = makers.get(find_manager(path), (None, 0))
    return (partial(make_list, read), size) if read else None


def find_databases(paths: Iterable[str]) -> list[tuple[str, str]]:
    """Return the paths of databases, each with its manager: those of conda first, so that the system's come last."""
    found = [(path, find_manager(path)) for path in paths if path.endswith(ENDS)]
    return sorted((each for each in found if each[1]), key=lambda each: (list(DATABASES).index(each[1]), each[0]))


def find_manager(path: str) -> str:
    """Return the manager that has its database at a path: conda, apk or rpm; empty for another path."""
    return next((name for name, form in DATABASES.items() if form.fullmatch(path)), "")


def read_list(path: str, kept: bytes) -> list[Package]:
    """Return the packages of the list that is kept of a database, with absolute paths."""
    root = match[1] if (match := CONDA.fullmatch(path)) else ""
    return [
        Package(name, version, [posixpath.normpath(f"{root}/{file.lstrip('/')}") for file in files])
        for name, version, files in json.loads(zlib.decompress(kept))
    ]


def make_list(read: Read, file: IO[bytes]) -> bytes:
    """Return the list of a database in the form that is kept; empty for one that is damaged or of another form."""
    try:
        return pack_list(read(file))
    except (ValueError, LookupError, TypeError, RecursionError, struct.error, sqlite3.Error):
        return b""


def pack_list(packages: Iterable[Package]) -> bytes:
    """Return a list in the form that is kept; ValueError for one that is too long."""
    rows, memory = [], 0
    for package in packages:
        files = []
        for file in package.files:
            memory += getsizeof(file)
            if memory > MOST_MEMORY:
                raise ValueError("too many files")
            files.append(file)
        rows.append((package.name, package.version, files))
    return zlib.compress(json.dumps(rows).encode())


# --- Alpine and conda ---


def read_apk(file: IO[bytes]) -> Iterator[Package]:
    """Yield the packages of apk's database: a paragraph for each, a letter for each line."""
    for text in file.read().decode(errors="surrogateescape").split("\n\n"):
        if text.strip():
            yield read_apk_package(text)


def read_apk_package(text: str) -> Package:
    """Return the package of a paragraph: P is its name, V its version, F a folder, R a file of the folder before."""
    fields = [line.partition(":")[::2] for line in text.splitlines()]
    first = dict(reversed(fields))

    def list_files() -> Iterator[str]:
        folder = ""
        for key, value in fields:
            if key == "F":
                folder = value
            elif key == "R":
                yield f"{folder}/{value}"

    return Package(first.get("P", ""), first.get("V", ""), list_files())


def read_conda(file: IO[bytes]) -> Iterator[Package]:
    """Yield the package of a document of conda-meta; ValueError for one without name, version and files."""
    match json.load(file):
        case {"name": str(name), "version": str(version), "files": list(files)}:
            yield Package(name, version, map(str, files))
        case _:
            raise ValueError("no package")


# --- RPM ---


def read_rpm(file: IO[bytes]) -> Iterator[Package]:
    """Yield the packages of RPM's database, which is one of SQLite; sqlite3.Error for the forms of older releases."""
    # RPM leaves a database with a journal beside it, which is empty; `immutable` reads it without.
    with closing(sqlite3.connect(f"file:{quote(file.name)}?immutable=1", uri=True)) as database:
        database.execute("PRAGMA trusted_schema=OFF")
        database.set_progress_handler(lambda: 1, MOST_STEPS)
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_HEADER)
        for (header,) in database.execute("SELECT blob FROM Packages"):
            yield read_rpm_package(header)


def read_rpm_package(header: bytes) -> Package:
    """Return the package of a header: two numbers, a row for each tag, the data. struct.error for a damaged one."""
    rows, _ = struct.unpack_from(">2I", header)
    data = header[8 + 16 * rows :]
    tags = {tag: rest for tag, *rest in struct.iter_unpack(">4I", header[8 : 8 + 16 * rows])}

    def read_texts(tag: int) -> list[str]:
        _, offset, count = tags.get(tag, (0, 0, 0))
        if count > MOST_FILES:
            raise ValueError("too many files")
        return [text.decode(errors="surrogateescape") for text in data[offset:].split(b"\0", count)[:count]]

    def read_numbers(tag: int) -> tuple[int, ...]:
        _, offset, count = tags.get(tag, (0, 0, 0))
        return struct.unpack_from(f">{min(count, MOST_FILES)}I", data, offset)

    [name], [version], [release] = map(read_texts, (NAME, VERSION, RELEASE))
    epoch = "".join(f"{number}:" for number in read_numbers(EPOCH))
    folders = read_texts(FOLDERS)
    files = (folders[index] + base for index, base in zip(read_numbers(INDEXES), read_texts(BASES), strict=True))
    return Package(name, f"{epoch}{version}-{release}", files)
