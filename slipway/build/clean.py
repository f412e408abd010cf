"""Free what Slipway made on this machine, and nothing else.

    python -m slipway.build.clean

The images of the matrix, BuildKit's records of their Python environments and downloads, dist/, and
Slipway's folder of the user's cache. The engine, the base image and what users keep in volumes stay.
"""

import argparse
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from slipway import docker, repository
from slipway.build.record import TAG_ENDS
from slipway.errors import run
from slipway.matrix import Matrix, load_matrix

MARKS = ("slipway", "/apt/install ")  # in what BuildKit says of a step that a Dockerfile here asked for


@dataclass(frozen=True)
class Record:
    """One record of BuildKit's cache; its parents are what it was built on."""

    identifier: str
    parents: tuple[str, ...]
    description: str


def remove_images(matrix: Matrix) -> None:
    """Untag the images of the matrix; the engine deletes what nothing else uses."""
    present = docker.output("image", "ls", "--format={{.Repository}}:{{.Tag}}").split()
    names = {f"{image.tag}{end}" for image in matrix.images for end in ("", *TAG_ENDS)}
    broken = f"{matrix.repository}-sabotage/"  # left behind by a run that was killed
    for tag in sorted(tag for tag in present if tag in names or tag.startswith(broken)):
        docker.output("image", "rm", "--force", tag)
        print(f"image {tag}")


def read_records() -> dict[str, Record]:
    """Return every record of the engine's build cache."""
    records = {}
    for block in docker.output("buildx", "du", "--verbose").split("\nID:"):
        fields = re.match(r"(?:ID:)?\s*(\w+)\n(?:Parents?:\s*(.*)\n)?(?s:.*?)\nDescription:\s*((?s:.*))", block)
        if fields:
            identifier, parents, description = fields.groups(default="")
            records[identifier] = Record(identifier, tuple(re.findall(r"\w+", parents)), description)
    return records


def find_own(records: dict[str, Record]) -> set[str]:
    """Return the records that bear the mark, what they were built from, and what was built on them."""
    own = {record.identifier for record in records.values() if any(mark in record.description for mark in MARKS)}
    below = list(own)
    while below:
        parents = records[below.pop()].parents
        new = [p for p in parents if p in records and p not in own and "from exec" in records[p].description]
        own.update(new)
        below += new
    while above := {r.identifier for r in records.values() if r.identifier not in own and own & set(r.parents)}:
        own |= above
    return own


def remove_build_cache() -> None:
    """Drop the records of the Dockerfiles here; a record goes once nothing stands on it any more."""
    before = len(read_records())
    left = find_own(read_records())
    while left:
        for identifier in left:
            docker.output("buildx", "prune", "--all", "--force", f"--filter=id={identifier}")
        still = left & set(read_records())
        if still == left:
            break
        left = still
    print(f"build cache: {before - len(read_records())} records")


def remove_folder(folder: Path) -> None:
    """Delete a folder that only Slipway writes to."""
    if folder.is_dir():
        shutil.rmtree(folder)
        print(folder)


def main() -> int:
    """Free all of it and say what went."""
    remove_images(load_matrix())
    remove_build_cache()
    remove_folder(repository.ROOT / "dist")
    remove_folder(repository.cache_folder())
    return 0


if __name__ == "__main__":
    argparse.ArgumentParser(prog="nox -s clean", description=__doc__.partition("\n")[0]).parse_args()
    sys.exit(run(main))
