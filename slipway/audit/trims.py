"""The entries of trims.toml and trims-workbench.toml that concern an image, and whether they still apply."""

import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from re import Pattern

from slipway import matrix
from slipway.audit import globs
from slipway.audit.findings import Finding, at
from slipway.image.filesystem import FileSystem
from slipway.matrix import Image

VARIANTS = "trims.toml"
WORKBENCH = "trims-workbench.toml"


@dataclass(frozen=True)
class Trim:
    """Files that are left out: the glob as it is written, what it matches, its file."""

    path: str
    matches: Pattern[str]
    file: str


def of_image(image: Image) -> list[Trim]:
    """Return the entries by which an image lacks files: its variant's flavor, and its targets."""
    found = list(read(image, VARIANTS, image.variant.locks, image.flavor))
    if image.workload and WORKBENCH.removesuffix(".toml").removeprefix("trims-") in image.workload.targets:
        found += read(image, WORKBENCH, "workbench", "workbench")
    return found


def read(image: Image, name: str, variant: str, stage: str) -> Iterator[Trim]:
    """Yield the entries of a file for a variant's lock name and a stage, as slipway.trim applies them."""
    packages = f"/opt/venv/lib/python{image.variant.versions['python']}/site-packages"
    for entry in tomllib.loads((matrix.ROOT / name).read_text(encoding="utf-8"))["trim"]:
        if variant.startswith(tuple(entry["accelerators"])) and stage in entry["stages"]:
            path = entry["path"] if entry["path"].startswith("/") else f"{packages}/{entry['path']}"
            yield Trim(entry["path"], globs.compiled([path], folders=True), name)


def problems(trims: Collection[Trim], system: FileSystem, missing: Collection[str]) -> Iterator[Finding]:
    """Yield the entries that name nothing any package lacks, and the files that are there in spite of one."""
    there = list(system.files())
    for trim in trims:
        if not any(trim.matches.fullmatch(path) for path in missing):
            yield Finding(
                "trim no longer applies", trim.path, f"{trim.file}: no package of the image lacks such a file"
            )
        for path in (path for path in there if trim.matches.fullmatch(path)):
            yield at(system, "not trimmed", path, f"{trim.file} leaves it out")
