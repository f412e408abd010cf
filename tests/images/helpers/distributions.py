"""Python distributions: those in an environment, and those that a lock names."""

from pathlib import Path

from slipway.python_locks import read_lock

# Prints name and version of each distribution, sorted, as JSON.
INSTALLED = """
import json, re
from importlib import metadata
names = [(re.sub(r"[-_.]+", "-", d.name).lower(), d.version) for d in metadata.distributions()]
print(json.dumps(sorted(names)))
"""


def read_pins(*locks: Path) -> dict[str, str]:
    """Return the version of each distribution of the locks by its name as PyPI normalizes it."""
    return {requirement.name: requirement.version for lock in locks for requirement in read_lock(lock)}
