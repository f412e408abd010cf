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
from slipway.build.dockerfiles import Dockerfiles
from slipway.errors import run
from slipway.matrix import Matrix, load_matrix

RECORD = re.compile(
    r"(?:ID:)?\s*(\w+)\n(?:Parents?:\s*(.*)\n)?(?s:.*?)\nDescription:\s*((?s:.*?))\n(?:Usage count|Last used|Type):\t"
)
CACHE_MOUNT = re.compile(r'cached mount .* with id "(?:.*/)?(.+)"', re.DOTALL)


@dataclass(frozen=True)
class Record:
    """One record of BuildKit's cache; its parents are what it was built on."""

    identifier: str
    parents: tuple[str, ...]
    description: str


def remove_images(matrix: Matrix) -> None:
    """Untag the images of the matrix; the engine deletes what nothing else uses."""
    present = docker.output("image", "ls", "--format={{.Repository}}:{{.Tag}}").split()
    names = {image.tag for image in matrix.images}
    broken = f"{matrix.repository}-sabotage/"  # left behind by a run that was killed
    for tag in sorted(tag for tag in present if tag in names or tag.startswith(broken)):
        docker.output("image", "rm", "--force", tag)
        print(f"image {tag}")


def read_records() -> dict[str, Record]:
    """Return every record of the engine's build cache."""
    records = {}
    for block in docker.output("buildx", "du", "--verbose").split("\nID:"):
        if fields := RECORD.match(block):
            identifier, parents, description = fields.groups(default="")
            records[identifier] = Record(identifier, tuple(re.findall(r"\w+", parents)), description)
    return records


def find_own(records: dict[str, Record], dockerfiles: Dockerfiles) -> set[str]:
    """Return the records of the Dockerfiles' steps and cache mounts, those below a step and those built on one."""
    own = {record.identifier for record in records.values() if is_own(record.description, dockerfiles)}
    below = list(own)
    while below:
        parents = records[below.pop()].parents
        new = [p for p in parents if p in records and p not in own and "from exec" in records[p].description]
        own.update(new)
        below += new
    while above := {r.identifier for r in records.values() if r.identifier not in own and own & set(r.parents)}:
        own |= above
    return own


def is_own(description: str, dockerfiles: Dockerfiles) -> bool:
    """Tell whether a record is of a cache mount or a RUN of the Dockerfiles."""
    if mount := CACHE_MOUNT.match(description):
        return mount[1] in dockerfiles.cache_ids
    command = description.partition("from exec ")[2]
    return bool(command) and dockerfiles.has(f"RUN {command}")


def remove_records(records: set[str]) -> None:
    """Remove records of the build cache, except those that others are built on or a build is using."""
    left = records
    while left:
        for identifier in left:
            docker.output("buildx", "prune", "--all", "--force", f"--filter=id={identifier}")
        still = left & set(read_records())
        if still == left:
            break
        left = still


def remove_build_cache() -> None:
    """Remove the records of the repository's Dockerfiles."""
    before = read_records()
    texts = [file.read_text(encoding="utf-8") for file in sorted(repository.ROOT.glob("Dockerfile*"))]
    remove_records(find_own(before, Dockerfiles(texts)))
    print(f"build cache: {len(before) - len(read_records())} records")


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
