"""Trivy's vulnerability database, from its default place, a mirror, a folder or an archive; its age and what it knows.

A database that lacks a distribution or a language finds nothing in it, and Trivy says "0". So it is asked: it must find
packages that everybody knows to be vulnerable.
"""

import contextlib
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from slipway.errors import SlipwayError
from slipway.repository import cache_folder
from slipway.scan import trivy
from slipway.scan.trivy import NotScannedError

FILES = ("trivy.db", "metadata.json")
LARGEST = 8 << 30  # bytes of one file of an archive; the real database has about a tenth of it
DAY = 86400
# Vulnerable since long ago, in every database that knows anything of their kind. `deb` is a source package's name.
VULNERABLE = {
    "deb": ("openssl", "0.0.1"),
    "pypi": ("django", "1.0"),
    "npm": ("lodash", "1.0.0"),
    "golang": ("golang.org/x/crypto", "0.0.1"),
    "maven": ("org.apache.logging.log4j/log4j-core", "2.0"),
    "cargo": ("time", "0.1.0"),
    "gem": ("rails", "2.0.0"),
}


@dataclass(frozen=True)
class Source:
    """Where the database comes from; with neither of the two from Trivy's default place."""

    repository: str = ""
    path: Path | None = None

    def __str__(self) -> str:
        """Return how a report names it."""
        return str(self.path) if self.path else self.repository or "Trivy's default place"


@dataclass(frozen=True)
class Database:
    """A database that lies in a folder, as Trivy has it: db/trivy.db and db/metadata.json."""

    folder: Path
    source: str
    updated: datetime
    note: str = ""  # why it could not be renewed, where it is an earlier one

    @property
    def days(self) -> float:
        """Its age in days."""
        return (datetime.now(UTC) - self.updated).total_seconds() / DAY


@contextlib.contextmanager
def provide_database(program: Path, source: Source) -> Iterator[Database]:
    """Provide the database; NotScannedError says why there is none."""
    with tempfile.TemporaryDirectory() as temporary:
        if source.path is None:
            yield download_database(program, source)
        elif source.path.is_dir():
            yield read_database(link_folder(source.path.absolute(), Path(temporary)), source)
        elif source.path.is_file():
            yield read_database(unpack_archive(source.path, Path(temporary)), source)
        else:
            raise NotScannedError(f"there is no vulnerability database: {source.path} does not exist")


def download_database(program: Path, source: Source) -> Database:
    """Fetch or renew the database in Slipway's cache; the one that is there may serve where that fails."""
    cache = Path(os.environ.get("TRIVY_CACHE_DIR") or cache_folder("trivy"))
    mirror = [f"--db-repository={source.repository}"] if source.repository else []
    try:
        trivy.run_trivy(program, "image", "--download-db-only", "--no-progress", f"--cache-dir={cache}", *mirror)
        return read_database(cache, source)
    except NotScannedError as error:
        with contextlib.suppress(NotScannedError):
            return read_database(cache, source, note=f"not renewed: {error}")
        raise NotScannedError(f"there is no vulnerability database: {error}") from None


def link_folder(folder: Path, cache: Path) -> Path:
    """Show Trivy a folder as its cache: the folder holds the database's files, or is such a cache itself."""
    inside = folder / "db" if (folder / "db").is_dir() else folder
    (cache / "db").symlink_to(inside)
    if (folder / "java-db").is_dir():
        (cache / "java-db").symlink_to(folder / "java-db")
    return cache


def unpack_archive(archive: Path, cache: Path) -> Path:
    """Unpack the database's two files and nothing else, whatever else an archive holds."""
    (cache / "db").mkdir()
    try:
        with tarfile.open(archive, "r:*") as members:
            for member in members:
                name = member.name.removeprefix("./").removeprefix("db/")
                if name in FILES and member.isreg() and member.size <= LARGEST:
                    copy_member(members.extractfile(member), cache / "db" / name)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise NotScannedError(
            f"there is no vulnerability database: {archive} is no readable archive: {error}"
        ) from None
    return cache


def copy_member(source: IO[bytes] | None, target: Path) -> None:
    """Write one file of an archive."""
    if source is not None:
        with source, target.open("wb") as output:
            shutil.copyfileobj(source, output)


def read_database(cache: Path, source: Source, note: str = "") -> Database:
    """Return the database in a folder; NotScannedError when it is none."""
    missing = [name for name in FILES if not (cache / "db" / name).is_file()]
    if missing:
        raise NotScannedError(f"there is no vulnerability database: {source} holds no {missing[0]}")
    try:
        metadata = json.loads((cache / "db" / "metadata.json").read_text(encoding="utf-8"))
        updated = datetime.fromisoformat(metadata["UpdatedAt"])
        return Database(cache, str(source), updated.astimezone(UTC), note)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotScannedError(f"the vulnerability database's metadata.json is not understood: {error}") from None


# --- may it be relied on -------------------------------------------------------------------------


def explain_age(database: Database, most_days: int) -> str:
    """Say why a database is older than a limit, or that it is from the future; empty for one that serves."""
    if database.days < -1 / 24:
        return f"the vulnerability database says it is of {database.updated:%F %T} UTC, which is to come"
    if database.days > most_days:
        old = f"the vulnerability database is {database.days:.1f} days old, and {most_days} are allowed"
        return f"{old} ({database.note})" if database.note else old
    return ""


def find_known_kinds(program: Path, folder: Path, system: str, kinds: Collection[str]) -> set[str]:
    """Return the kinds of packages, of those given, in which the database of a folder finds what everybody knows."""
    asked = [kind for kind in kinds if kind in VULNERABLE]
    report = trivy.read_report(trivy.scan_sbom(program, make_vulnerable_sbom(system, asked), folder))
    return {finding.type for finding in report.findings}


def make_vulnerable_sbom(system: str, kinds: Collection[str]) -> dict[str, object]:
    """Return an SBOM of packages that have well-known vulnerabilities, on a system such as `debian 13.2`."""
    family, _, release = system.partition(" ")
    components: list[dict[str, object]] = [
        {"type": "operating-system", "name": family, "version": release, "bom-ref": "system"}
    ]
    for kind in kinds:
        name, version = VULNERABLE[kind]
        vendor = f"{family}/" if kind == "deb" else ""
        url = f"pkg:{kind}/{vendor}{name}@{version}"
        source = {"SrcName": name, "SrcVersion": version} if kind == "deb" else {}
        properties = [{"name": f"aquasecurity:trivy:{key}", "value": value} for key, value in source.items()]
        components.append(
            {
                "type": "library",
                "name": name,
                "version": version,
                "purl": url,
                "bom-ref": url,
                "properties": properties,
            }
        )
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}


def require_path(path: str) -> Path:
    """Return a folder or archive that the user names; SlipwayError where it is not there."""
    found = Path(path)
    if not found.exists():
        raise SlipwayError(f"--database: there is no {path}; name a folder with trivy.db, or an archive of it")
    return found
