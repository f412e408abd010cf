"""BuildKit's cache: its records, those of Dockerfiles, and their removal."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from slipway import docker
from slipway.build.dockerfiles import Dockerfiles

RECORD = re.compile(
    r"(?:ID:)?\s*(\w+)\n(?:Parents?:\s*(.*)\n)?(?s:.*?)"
    r"\nDescription:\s*((?s:.*?))(?:\n(?:Usage count|Last used|Type):\t|$)"
)
STEP = "from exec "  # comes before the command of a RUN
CACHE_MOUNT = re.compile(r'cached mount .* with id "(?:.*/)?(.+)"', re.DOTALL)


@dataclass(frozen=True)
class Record:
    """A record of BuildKit's cache; it was built on its parents."""

    identifier: str
    parents: tuple[str, ...]
    description: str


Records = Mapping[str, Record]


def read_records() -> dict[str, Record]:
    """Return every record of the engine's build cache, by its identifier."""
    records = {}
    for block in docker.output("buildx", "du", "--verbose").split("\nID:"):
        if fields := RECORD.match(block):
            identifier, parents, description = fields.groups(default="")
            records[identifier] = Record(identifier, tuple(re.findall(r"\w+", parents)), description)
    return records


def find_steps(records: Records, dockerfiles: Dockerfiles) -> set[str]:
    """Return the records of the Dockerfiles' cache mounts, and of the RUN instructions with one."""
    return {identifier for identifier, record in records.items() if is_step(record.description, dockerfiles)}


def is_step(description: str, dockerfiles: Dockerfiles) -> bool:
    """Tell whether a description is of a cache mount of the Dockerfiles, or of a RUN instruction with one."""
    if mount := CACHE_MOUNT.match(description):
        return mount[1] in dockerfiles.cache_ids
    command = description.partition(STEP)[2]
    return bool(command) and dockerfiles.mounts_cache(f"RUN {command}")


def is_foreign(description: str, dockerfiles: Dockerfiles) -> bool:
    """Tell whether a description is of a step that the Dockerfiles do not have."""
    if CACHE_MOUNT.match(description):
        return False
    command = description.partition(STEP)[2]
    return bool(command) and not dockerfiles.contains(f"RUN {command}")


def add_parents(records: Records, found: Collection[str]) -> set[str]:
    """Return records with all that they were built on."""
    whole, new = set(found), list(found)
    while new:
        parents = {parent for parent in records[new.pop()].parents if parent in records} - whole
        whole |= parents
        new += parents
    return whole


def add_children(records: Records, found: Collection[str]) -> set[str]:
    """Return records with all that was built on them."""
    whole = set(found)
    while above := {record.identifier for record in records.values() if whole & set(record.parents)} - whole:
        whole |= above
    return whole


def remove_records(records: Records, identifiers: Collection[str]) -> None:
    """Remove records, the last steps first: BuildKit keeps a record that others are built on."""
    left = set(identifiers)
    while left:
        below = {parent for identifier in left for parent in records[identifier].parents}
        for identifier in left - below:
            docker.output("buildx", "prune", "--all", "--force", f"--filter=id={identifier}")
        left &= below
