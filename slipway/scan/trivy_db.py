"""Trivy's vulnerability database, from its default place, a mirror, a folder or an archive.

Trivy reports 0 findings for a distribution or language that its database lacks. Each kind of package is therefore
tested with a package that is known to be vulnerable. The age of the database is limited, too.
"""

import contextlib
import json
import os
import shutil
import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from slipway import files
from slipway.errors import SlipwayError
from slipway.repository import cache_folder
from slipway.scan import trivy
from slipway.scan.trivy import NotScannedError

FILES = ("trivy.db", "metadata.json")
LARGEST = 8 << 30  # bytes of one file of an archive; the real database has about a tenth of this
DAY = 86400
# Packages that every database of their kind lists as vulnerable. `deb` has the name of a source package.
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
    """The source of the database: a repository, a path, or Trivy's default place."""

    repository: str = ""
    path: Path | None = None

    def __str__(self) -> str:
        """Return its name in reports."""
        return str(self.path) if self.path else self.repository or "Trivy's default place"


@dataclass(frozen=True)
class Database:
    """A database in a folder with Trivy's layout: db/trivy.db and db/metadata.json."""

    folder: Path
    source: str
    updated: datetime
    note: str = ""  # why an earlier one could not be renewed

    @property
    def days(self) -> float:
        """Its age in days."""
        return (datetime.now(UTC) - self.updated).total_seconds() / DAY


@contextlib.contextmanager
def provide_database(program: Path, source: Source) -> Iterator[Database]:
    """Yield the database; NotScannedError without one."""
    with files.temporary_folder() as temporary:
        if source.path is None:
            yield download_database(program, source)
        elif source.path.is_dir():
            yield read_database(link_folder(source.path.absolute(), Path(temporary)), source)
        elif source.path.is_file():
            yield read_database(unpack_archive(source.path, Path(temporary)), source)
        else:
            raise NotScannedError(f"there is no vulnerability database: {source.path} does not exist")


def download_database(program: Path, source: Source) -> Database:
    """Download or renew the database in Slipway's cache; if that fails, return the earlier one."""
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
    """Link a folder into a cache for Trivy; it holds the database's files or is a cache of Trivy itself."""
    inside = folder / "db" if (folder / "db").is_dir() else folder
    (cache / "db").symlink_to(inside)
    if (folder / "java-db").is_dir():
        (cache / "java-db").symlink_to(folder / "java-db")
    return cache


def unpack_archive(archive: Path, cache: Path) -> Path:
    """Unpack only the database's two files from an archive."""
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
    """Write a file of an archive."""
    if source is not None:
        with source, target.open("wb") as output:
            shutil.copyfileobj(source, output)


def read_database(cache: Path, source: Source, note: str = "") -> Database:
    """Return the database in a folder; NotScannedError for a missing or damaged one."""
    missing = [name for name in FILES if not (cache / "db" / name).is_file()]
    if missing:
        raise NotScannedError(f"there is no vulnerability database: {source} holds no {missing[0]}")
    try:
        metadata = json.loads((cache / "db" / "metadata.json").read_text(encoding="utf-8"))
        updated = datetime.fromisoformat(metadata["UpdatedAt"])
        return Database(cache, str(source), updated.astimezone(UTC), note)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotScannedError(f"the vulnerability database's metadata.json cannot be read: {error}") from None


# --- age and content -----------------------------------------------------------------------------


def explain_age(database: Database, most_days: int) -> str:
    """Return why a database is too old or dated in the future; empty when its age is right."""
    if database.days < -1 / 24:
        return f"the vulnerability database is dated {database.updated:%F %T} UTC, in the future"
    if database.days > most_days:
        old = f"the vulnerability database is {database.days:.1f} days old, and {most_days} are allowed"
        return f"{old} ({database.note})" if database.note else old
    return ""


def find_known_kinds(program: Path, folder: Path, system: str, kinds: Collection[str]) -> set[str]:
    """Return the kinds of packages whose well-known vulnerable package the database finds."""
    asked = [kind for kind in kinds if kind in VULNERABLE]
    report = trivy.read_report(trivy.scan_sbom(program, make_vulnerable_sbom(system, asked), folder))
    return {finding.type for finding in report.findings}


def make_vulnerable_sbom(system: str, kinds: Collection[str]) -> dict[str, object]:
    """Return an SBOM of packages with well-known vulnerabilities on a system such as `debian 13.2`."""
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
    """Return the path of a folder or archive; SlipwayError when it does not exist."""
    found = Path(path)
    if not found.exists():
        raise SlipwayError(f"--database: there is no {path}; name a folder with trivy.db, or an archive of it")
    return found
