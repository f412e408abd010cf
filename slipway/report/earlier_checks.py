"""Checks of an image that need not run again: the same image, the same checks, on the same day."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from slipway import docker, junit, repository, results
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
    # Its checks compare it with its variant's image, or with the flavor before.
    name = image.variant_image if image.workload else image.parent
    parent = docker.inspect(f"{image.variant.repository}:{name}") if name else None
    parts = (f"{file.relative_to(repository.ROOT)} {results.digest_file(file)}\n" for file in list_inputs(image))
    return hashlib.sha256("".join([*parts, str(parent["Id"]) if parent else ""]).encode()).hexdigest()


def find_passed(image: Image) -> datetime | None:
    """Return when all checks of the image that the engine has passed, or None when they must run."""
    report = find_whole(image)
    if not report or report.properties.get("exit status") != "0" or report.problems:
        return None
    # A GPU that is here now was not there.
    has_gpu = bool(devices.gpu_options(image.variant.accelerator))
    is_open = has_gpu and any(check.needs_gpu and check.outcome == "not run" for check in report.checks)
    return None if is_open else datetime.fromisoformat(report.properties["finished"])


def find_whole(image: Image) -> junit.Report | None:
    """Return the whole run of these checks on the image that the engine has, passed or failed; None without one."""
    found = docker.inspect(image.tag)
    try:
        report = junit.read_report(image.results / junit.WHOLE)
        finished = datetime.fromisoformat(report.properties.get("finished", ""))
    except (SlipwayError, ValueError):
        return None
    same = {"image": (found or {}).get("Id"), "inputs": digest_inputs(image), "derived": "no", "allow not run": "no"}
    holds = all(report.properties.get(name) == value for name, value in same.items())
    is_old = datetime.now(UTC) - finished > HOLDS
    return report if holds and report.is_whole and not is_old else None
