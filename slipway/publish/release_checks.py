"""Checks the evidence in dist/ before an image is published, and names each missing or failed document.

All evidence must be about the image that the engine has: built from a clean commit, tested, audited and scanned.
"not run" and "not scanned" never count as "passed"; they are accepted if the user allowed them in the test or scan
session, and are part of the published evidence.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway import junit, repository, results, sbom
from slipway.errors import SlipwayError
from slipway.matrix import Image
from slipway.publish import oci_image, tags
from slipway.publish.oci_image import LocalImage

SBOMS = (sbom.CYCLONEDX, sbom.SPDX)
REVISION = "org.opencontainers.image.revision"
SOURCE = "org.opencontainers.image.source"


@dataclass(frozen=True)
class Candidate:
    """An image that may be published, with its tags, the first of which revisions belong to."""

    image: Image
    local: LocalImage
    tags: tuple[str, ...]
    build: dict[str, Any]
    tests: dict[str, Any]

    @property
    def commit(self) -> str:
        """The commit of the build."""
        return self.local.labels[REVISION]


def examine_image(image: Image) -> tuple[Candidate | None, list[str]]:
    """Return an image with its evidence, or None; and every reason why it may not be published."""
    build = results.read_json(image.results / "build.json")
    identity = str(build.get("image", ""))
    local = oci_image.inspect_image(identity) if identity else None
    tagged = oci_image.inspect_image(image.tag)
    again = f"nox -s build -- {image.name}"
    if local is None:
        return None, [f"{image.name}: it was not built here, or its last build failed: {again}"]
    if tagged is None or tagged.id != local.id:
        return None, [f"{image.name}: {image.tag} is not the image of its last build: {again}"]
    tests, failed = examine_tests(image, local.id)
    problems = [*examine_commit(image, local), *failed, *examine_verdicts(image, local.id)]
    try:
        names = tuple(tags.list_tags(image, local.labels))
    except SlipwayError as error:
        problems.append(f"{image.name}: {error}")
        names = ()
    return (None if problems else Candidate(image, local, names, build, tests)), problems


def examine_commit(image: Image, local: LocalImage) -> Iterator[str]:
    """Yield the problems of the commit that an image was built from."""
    commit = local.labels.get(REVISION, "")
    again = f"commit, then nox -s build -- {image.name}"
    if commit.endswith("-dirty"):
        yield f"{image.name}: it was built from files that differ from commit {commit[:12]}: {again}"
    elif not re.fullmatch(r"[0-9a-f]{40}", commit):
        yield f"{image.name}: it was not built from a commit: {again}"
    elif repository.file_at(commit, image.dockerfile) is None:
        yield f"{image.name}: this repository has no {image.dockerfile} at commit {commit[:12]}: git fetch, or {again}"


def examine_tests(image: Image, identity: str) -> tuple[dict[str, Any], list[str]]:
    """Return the results of an image's checks, and their problems."""
    again = f"nox -s test -- {image.name}"
    file = image.results / "tests.xml"
    if not file.is_file():
        return {}, [f"{image.name}: it was not tested: {again}"]
    try:
        found = read_tests(file)
    except SlipwayError:
        return {}, [f"{image.name}: {file.name} is damaged: {again}"]
    if found["image"] != identity:
        return {}, [f"{image.name}: its tests are of another image: {again}"]
    if found["verdict"] != "passed":
        counts = f"{len(found['failed'])} failed, {found['passed']} passed"
        return {}, [f"{image.name}: its tests have not passed ({counts}): {again}"]
    return found, []


def read_tests(file: Path) -> dict[str, Any]:
    """Return the outcomes in a JUnit file without facts about the machine; a run without checks has failed."""
    report = junit.read_report(file)
    found = Counter(check.outcome for check in report.checks)
    good = found["passed"] and not found["failed"] and not report.problems
    return {
        "image": report.image,
        "verdict": "passed" if good else "failed",
        "passed": found["passed"],
        "failed": [check.name for check in report.checks if check.outcome == "failed"],
        "not run": dict(Counter(check.reason for check in report.checks if check.outcome == "not run")),
    }


def examine_verdicts(image: Image, identity: str) -> Iterator[str]:
    """Yield the problems of the SBOMs, the audit and the scan."""
    verb = f"nox -s sbom -- {image.name}"
    documents = {name: results.read_json(image.results / name) for name in SBOMS}
    yield from (f"{image.name}: there is no readable {name}: {verb}" for name, found in documents.items() if not found)
    yield from (
        f"{image.name}: {name} is about another image: {verb}"
        for name, found in documents.items()
        if found and identity not in sbom.find_image_ids(found)
    )
    yield from examine_verdict(image, identity, "audit.json", f"nox -s audit -- {image.name}", lambda _: "")
    yield from examine_verdict(image, identity, "scan.json", f"nox -s scan -- {image.name}", read_allowed_verdict)


def examine_verdict(
    image: Image, identity: str, name: str, verb: str, accepted: Callable[[dict[str, Any]], str]
) -> Iterator[str]:
    """Yield the problems of a document with a verdict; `accepted` returns a verdict that is accepted besides passed."""
    found = results.read_json(image.results / name)
    verdict = found.get("verdict")
    if not found:
        yield f"{image.name}: there is no readable {name}: {verb}"
    elif found.get("image") != identity:
        yield f"{image.name}: {name} is about another image: {verb}"
    elif verdict != "passed" and (not verdict or verdict != accepted(found)):
        yield f"{image.name}: the verdict of {name} is {verdict!r}: {verb}"


def read_allowed_verdict(scan: dict[str, Any]) -> str:
    """Return the verdict that the user allowed by --allow-not-scanned; empty without it."""
    return "not scanned" if scan.get("allow_not_scanned") is True else ""
