"""Trivy's vulnerability database, from its default place, a mirror or a folder.

Trivy reports 0 findings for a distribution or language that its database lacks. Each kind of package is therefore
tested with a package that is known to be vulnerable. The age of the database is limited, too.
"""

import json
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from slipway.repository import cache_folder
from slipway.scan import trivy
from slipway.scan.completeness import parse_package_url
from slipway.scan.trivy import NotScannedError

DAY = 86400
MAIN, JAVA = "vulnerability database", "index of Java archives"
PLACES = {MAIN: "db", JAVA: "java-db"}  # in a cache folder of Trivy's
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
class Database:
    """A database of a cache folder of Trivy's. The source is a mirror, a folder or Trivy's default place."""

    folder: Path
    source: str
    updated: datetime
    name: str = MAIN
    note: str = ""  # why an earlier one could not be renewed

    @property
    def days(self) -> float:
        """Its age in days."""
        return (datetime.now(UTC) - self.updated).total_seconds() / DAY

    def read_java(self) -> "Database":
        """Return the index of Java archives beside it, which Trivy takes or downloads when it finds such an archive."""
        return replace(self, updated=read_day(self.folder, JAVA), name=JAVA, note="")


def provide_database(program: Path, mirror: str, folder: Path | None) -> Database:
    """Return the database of a folder, else download or renew it; NotScannedError without one.

    Where it cannot be renewed, an earlier one serves.
    """
    if folder:
        return Database(folder.absolute(), str(folder), read_day(folder, MAIN))
    folder = Path(os.environ.get("TRIVY_CACHE_DIR") or cache_folder("trivy")).absolute()
    options = ["--download-db-only", f"--cache-dir={folder}", *([f"--db-repository={mirror}"] if mirror else [])]
    note = ""
    try:
        trivy.run_trivy(program, "image", *options)
    except NotScannedError as error:
        note = f"not renewed: {error}"
    try:
        return Database(folder, mirror or "Trivy's default place", read_day(folder, MAIN), note=note)
    except NotScannedError as error:
        raise NotScannedError(f"{error}; {note}" if note else str(error)) from None


def read_day(folder: Path, name: str) -> datetime:
    """Return the day of a database in a cache folder of Trivy's; NotScannedError for a missing or damaged one."""
    file = folder / PLACES[name] / "metadata.json"
    if not file.is_file():
        raise NotScannedError(f"there is no {name} in {folder}, which needs {file.relative_to(folder)}")
    try:
        return datetime.fromisoformat(json.loads(file.read_text(encoding="utf-8"))["UpdatedAt"]).astimezone(UTC)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotScannedError(f"{file.name} of the {name} cannot be read: {error}") from None


# --- age and content -----------------------------------------------------------------------------


def explain_age(database: Database, most_days: int) -> Iterator[str]:
    """Yield why a database is too old or dated in the future."""
    if database.days < -1 / 24:
        yield f"the {database.name} is dated {database.updated:%F %T} UTC, in the future"
    elif database.days > most_days:
        note = f" ({database.note})" if database.note else ""
        yield f"the {database.name} is {database.days:.1f} days old, and {most_days} are allowed{note}"


def find_known_kinds(program: Path, folder: Path, system: str, kinds: Collection[str]) -> set[str]:
    """Return the kinds of packages whose well-known vulnerable package the database finds."""
    family, _, release = system.partition(" ")
    components: list[dict[str, object]] = [
        {"type": "operating-system", "name": family, "version": release, "bom-ref": "system"}
    ]
    for kind in set(kinds) & set(VULNERABLE):
        name, version = VULNERABLE[kind]
        url = f"pkg:{kind}/{f'{family}/' if kind == 'deb' else ''}{name}@{version}"
        source = {"SrcName": name, "SrcVersion": version} if kind == "deb" else {}
        properties = [{"name": f"aquasecurity:trivy:{key}", "value": text} for key, text in source.items()]
        package = {"type": "library", "name": name, "version": version, "purl": url, "bom-ref": url}
        components.append({**package, "properties": properties})
    document = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}
    report = trivy.read_report(trivy.scan_sbom(program, document, folder))
    return {parse_package_url(finding.purl).type for finding in report.list_findings()}
