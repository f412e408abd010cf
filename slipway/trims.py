"""The entries of docker/trims/ that concern an image, and whether they still apply."""

import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from re import Pattern

from slipway import globs, matrix
from slipway.filesystem import FileSystem
from slipway.findings import Finding, at
from slipway.matrix import Image

FOLDER = matrix.ROOT / "docker" / "trims"
WORKBENCH = "workbench"


@dataclass(frozen=True)
class Trim:
    """Files that are left out: the glob as it is written, what it matches, its file."""

    path: str
    matches: Pattern[str]
    file: str


def of_image(image: Image) -> list[Trim]:
    """Return the entries by which an image lacks files: its variant's flavor, and its targets."""
    layers = {layer for flavor in image.lineage for layer in (flavor, *matrix.LAYERS[image.family.accelerator][flavor])}
    found = list(read(image, image.family.accelerator, layers))
    if image.workload and WORKBENCH in image.workload.targets:
        inside = {
            "variant",
            *matrix.LAYERS[WORKBENCH][WORKBENCH],
            *(["elyra"] if image.arguments.get("ELYRA") == "true" else []),
        }
        found += read(image, WORKBENCH, inside)
    return found


def read(image: Image, name: str, layers: Collection[str]) -> Iterator[Trim]:
    """Yield the entries of a file for some layers, as docker/build/python/trim.py applies them."""
    packages = f"/opt/venv/lib/python{image.family.versions['python']}/site-packages"
    file = FOLDER / f"{name}.toml"
    for entry in tomllib.loads(file.read_text(encoding="utf-8"))["trim"]:
        restored = entry.get("restored", False) and image.flavor == matrix.FLAVORS[-1]
        of_locks = image.family.locks.startswith(tuple(entry.get("locks", [""])))
        if entry["layer"] in layers and of_locks and not restored:
            path = entry["path"] if entry["path"].startswith("/") else f"{packages}/{entry['path']}"
            yield Trim(entry["path"], globs.compiled([path], folders=True), file.name)


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
