"""Compares an image with docker/trims/: which files of packages are left out, and whether packages still have them."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from re import Pattern

from pydantic import Field

from slipway import repository
from slipway.audit import globs
from slipway.audit.findings import Finding, make_finding
from slipway.audit.globs import Glob
from slipway.image.filesystem import FileSystem
from slipway.images_toml import FLAVORS, LAYERS
from slipway.matrix import Image
from slipway.toml import Table, read_toml

FOLDER = repository.ROOT / "docker" / "trims"
WORKBENCH = "workbench"


class TrimTable(Table):
    """A row of a file; its keys are explained there."""

    path: Glob
    layer: str
    reason: str
    locks: list[str] = Field(default=[""])
    restored: bool = False


class TrimsToml(Table):
    """A file of docker/trims/."""

    trim: list[TrimTable]


@dataclass(frozen=True)
class Trim:
    """A row: its glob, the regular expression of its paths, and its file."""

    path: str
    matches: Pattern[str]
    file: str


def find_trims(image: Image) -> list[Trim]:
    """Return the rows for the layers of an image, except those that its flavor restores."""
    layers = {layer for flavor in image.flavors for layer in (flavor, *LAYERS[image.variant.accelerator][flavor])}
    found = list(read_trims(image, image.variant.accelerator, layers))
    if image.workload and WORKBENCH in image.workload.targets:
        elyra = ["elyra"] if image.arguments.get("ELYRA") == "true" else []
        inside = {"variant", *LAYERS[WORKBENCH][WORKBENCH], *elyra}
        found += read_trims(image, WORKBENCH, inside)
    return found


def read_trims(image: Image, name: str, layers: Collection[str]) -> Iterator[Trim]:
    """Yield the rows of a file for some layers, selected in the same way as by docker/build/python/trim.py."""
    packages = f"/opt/venv/lib/python{image.variant.versions['python']}/site-packages"
    file = FOLDER / f"{name}.toml"
    for row in read_toml(file, TrimsToml).trim:
        is_restored = row.restored and image.flavor == FLAVORS[-1]
        if row.layer in layers and image.variant.locks.startswith(tuple(row.locks)) and not is_restored:
            path = row.path if row.path.startswith("/") else f"{packages}/{row.path}"
            yield Trim(row.path, globs.compile_globs([path], folders=True), file.name)


def check_trims(trims: Collection[Trim], system: FileSystem, missing: Collection[str]) -> Iterator[Finding]:
    """Yield findings for rows that match no missing file of a package, and for files that a row should leave out."""
    files = list(system.list_files())
    for trim in trims:
        if not any(trim.matches.fullmatch(path) for path in missing):
            yield Finding(
                "trim no longer applies", trim.path, f"{trim.file}: no package of the image lacks such a file"
            )
        for path in (path for path in files if trim.matches.fullmatch(path)):
            yield make_finding(system, "not trimmed", path, f"{trim.file} leaves it out")
