"""Lock files of Python packages, as uv writes them: each requirement with its version and hashes."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from packaging.utils import canonicalize_name

from slipway.errors import SlipwayError


@dataclass(frozen=True)
class Requirement:
    """A requirement of a lock: name, version, a digest of the hashes that it allows, and its lines as written."""

    name: str
    version: str
    hashes: str
    text: str = field(default="", compare=False, repr=False)


def read_lock(file: Path) -> list[Requirement]:
    """Return the requirements of a lock; SlipwayError when one has no version or no hash."""
    found = []
    for block in re.findall(r"^([a-zA-Z0-9].*(?:\n +.*)*)", file.read_text(encoding="utf-8"), re.MULTILINE):
        match = re.match(r"([\w.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", block)
        hashes = sorted(re.findall(r"--hash=sha256:([0-9a-f]{64})", block))
        if match is None or not hashes:
            raise SlipwayError(f"{file}: `{block.splitlines()[0]}` has no version or no hash: run nox -s lock")
        digest = hashlib.sha256("\n".join(hashes).encode()).hexdigest()[:16]
        found.append(Requirement(canonicalize_name(match[1]), match[2], digest, block))
    return found


def read_locks(files: Iterable[Path]) -> Mapping[str, dict[str, Requirement]]:
    """Return the requirements of several locks by name and version."""
    found: dict[str, dict[str, Requirement]] = {}
    for file in files:
        for requirement in read_lock(file):
            found.setdefault(requirement.name, {})[requirement.version] = requirement
    return found
