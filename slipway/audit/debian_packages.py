"""The Debian packages of an image: their files and checksums in dpkg's database, and their dependencies."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from debian.deb822 import Packages

from slipway.audit.findings import Claim, Claims
from slipway.image.filesystem import FileSystem

STATUS = "/var/lib/dpkg/status"
INFO = "/var/lib/dpkg/info"
NO_FILES = {"/.", ""}


@dataclass(frozen=True)
class Package:
    """An installed package. `depends` has the names of the alternatives of each dependency."""

    name: str
    version: str
    architecture: str
    is_multiarch: bool  # `Multi-Arch: same`; then the names of dpkg's files about it have the architecture
    depends: tuple[frozenset[str], ...]
    provides: frozenset[str]
    conffiles: Mapping[str, str]  # MD5 by path

    @property
    def info_prefix(self) -> str:
        """The beginning of the paths of dpkg's files about it."""
        return f"{INFO}/{self.name}:{self.architecture}" if self.is_multiarch else f"{INFO}/{self.name}"


def read_packages(status: str) -> dict[str, Package]:
    """Return the installed packages of dpkg's status, by name."""
    return {package.name: package for package in map(read_package, iterate_installed(status))}


def iterate_installed(status: str) -> Iterator[Packages]:
    """Yield the fields of each installed package of dpkg's status."""
    paragraphs = Packages.iter_paragraphs(status, use_apt_pkg=False)
    return (fields for fields in paragraphs if fields.get("Status", "").endswith(" installed"))


def read_package(fields: Packages) -> Package:
    """Return the package with some fields of dpkg's status."""
    relations = {kind: fields.relations[kind] or [] for kind in ("pre-depends", "depends", "provides")}
    rows = (line.split() for line in fields.get("Conffiles", "").splitlines())
    return Package(
        name=fields.get("Package", ""),
        version=fields.get("Version", ""),
        architecture=fields.get("Architecture", ""),
        is_multiarch=fields.get("Multi-Arch") == "same",
        depends=tuple(map(read_names, relations["pre-depends"] + relations["depends"])),
        provides=frozenset().union(*map(read_names, relations["provides"])),
        conffiles={row[0]: row[1] for row in rows if len(row) > 1 and row[-1] not in ("obsolete", "newconffile")},
    )


def read_names(alternatives: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the names of a relation's alternatives."""
    return frozenset(str(alternative["name"]) for alternative in alternatives)


# --- the owners of files --------------------------------------------------------------------------


def claim_files(system: FileSystem, packages: Mapping[str, Package]) -> Claims:
    """Return the packages that own each path, by dpkg's lists and checksums."""
    found: Claims = {}
    moved = read_diversions(system)
    for package in packages.values():
        digests = read_checksums(system, package)
        owner = f"deb:{package.name}"
        for line in system.read_text(f"{package.info_prefix}.list").splitlines():
            path = moved.get(line, (line, ""))[0] if moved.get(line, ("", package.name))[1] != package.name else line
            if line not in NO_FILES:
                claim = Claim(owner, "md5", digests.get(line, ""))
                found.setdefault(system.resolve_folders(path), []).append(claim)
    return found


def read_checksums(system: FileSystem, package: Package) -> dict[str, str]:
    """Return the MD5 of a package's files by path, from dpkg's database."""
    rows = (line.split(maxsplit=1) for line in system.read_text(f"{package.info_prefix}.md5sums").splitlines())
    return {**{f"/{row[1]}": row[0] for row in rows if len(row) > 1}, **package.conffiles}


def read_diversions(system: FileSystem) -> dict[str, tuple[str, str]]:
    """Return the new path of each diverted file and the package that diverted it, by the path in its package."""
    lines = system.read_text("/var/lib/dpkg/diversions").splitlines()
    return {lines[at]: (lines[at + 1], lines[at + 2]) for at in range(0, len(lines) - 2, 3)}


# --- dependencies --------------------------------------------------------------------------


def find_dependencies(packages: Mapping[str, Package], roots: Iterable[str]) -> set[str]:
    """Return the packages that have or provide some names, and all their dependencies."""
    providers: dict[str, set[str]] = {}
    for package in packages.values():
        for name in (package.name, *package.provides):
            providers.setdefault(name, set()).add(package.name)
    found: set[str] = set()
    new = {package for root in roots for package in providers.get(root, ())}
    while new:
        found |= new
        needed = {name for package in new for choice in packages[package].depends for name in choice}
        new = {package for name in needed for package in providers.get(name, ())} - found
    return found
