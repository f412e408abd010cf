"""Checks of an image that need not run again: the same image, the same checks, on the same day."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from slipway import docker, junit, repository
from slipway.errors import SlipwayError
from slipway.host import devices
from slipway.matrix import Image

# Debian has updates each day, and a check asks for them.
HOLDS = timedelta(days=1)
# What checks read of the repository, beside the locks of the image.
FILES = (
    *("tests/images/**/*", "tests/helpers/*.py", "slipway/**/*.py", "images.toml", "pyproject.toml"),
    *("requirements/uv.txt", "requirements/checks.txt", "requirements/elyra.txt", "requirements/*.list"),
    *("policy/*.toml", "Dockerfile*", "docker/**/*", "app/**/*.py", "tools/code-server/*", "tools/mathjax/*"),
    "docs/choosing.md",
)


def list_inputs(image: Image) -> list[Path]:
    """Return the files of the repository that the checks of an image read."""
    found = {file for pattern in FILES for file in repository.ROOT.glob(pattern)}
    return sorted(file for file in found.union(image.locks) if file.is_file() and "__pycache__" not in file.parts)


def digest_inputs(image: Image) -> str:
    """Return the SHA-256 of all but the image that its checks read: files of the repository, and its parent."""
    parts = (f"{file.relative_to(repository.ROOT)} {_digest(file)}\n" for file in list_inputs(image))
    return hashlib.sha256("".join([*parts, find_parent(image)]).encode()).hexdigest()


def find_parent(image: Image) -> str:
    """Return the ID of the image that an image is compared with, its variant's or the flavor before; else nothing."""
    name = image.variant_image if image.workload else image.parent
    found = docker.inspect(f"{image.variant.repository}:{name}") if name else None
    return str(found["Id"]) if found else ""


def find_passed(image: Image) -> datetime | None:
    """Return when all checks of the image that the engine has passed, or None when they must run."""
    found = docker.inspect(image.tag)
    try:
        report = junit.read_report(image.results / junit.WHOLE)
        finished = datetime.fromisoformat(report.properties.get("finished", ""))
    except (SlipwayError, ValueError):
        return None
    same = {"image": (found or {}).get("Id"), "inputs": digest_inputs(image)}
    same |= {"derived": "no", "exit status": "0", "allow not run": "no"}
    holds = all(report.properties.get(name) == value for name, value in same.items())
    # A GPU that is here now was not there.
    has_gpu = bool(devices.gpu_options(image.variant.accelerator))
    is_open = has_gpu and any(check.needs_gpu and check.outcome == "not run" for check in report.checks)
    is_old = datetime.now(UTC) - finished > HOLDS
    return finished if holds and report.is_whole and not (report.problems or is_open or is_old) else None


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
