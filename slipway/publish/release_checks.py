"""Checks the evidence in dist/ before an image is published, and names each missing or failed document.

All evidence must be about the image that the engine has: built from a clean commit, tested by a whole run, audited and
scanned, not longer ago than `results_days` of images.toml. "not run" and "not scanned" never count as "passed"; they
are accepted if the user allowed them in the test or scan session, and are part of the published evidence.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from slipway import junit, repository, results, sbom
from slipway.errors import SlipwayError
from slipway.matrix import Image, load_matrix
from slipway.publish import oci_image, tags
from slipway.publish.oci_image import LocalImage

SBOMS = (sbom.CYCLONEDX, sbom.SPDX)
AUDIT, SCAN = "audit.json", "scan.json"
SESSIONS = dict.fromkeys(SBOMS, "sbom") | {AUDIT: "audit", SCAN: "scan"}  # which session writes a document
REVISION = "org.opencontainers.image.revision"
SOURCE = "org.opencontainers.image.source"


@dataclass(frozen=True)
class Candidate:
    """An image that may be published, with its tags, the first of which revisions belong to.

    `documents` are the SBOMs, the audit and the scan as they were examined: these bytes are published.
    """

    image: Image
    local: LocalImage
    tags: tuple[str, ...]
    build: dict[str, Any]
    tests: dict[str, Any]
    documents: dict[str, bytes]

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
    documents = read_documents(image)
    problems = [*examine_commit(image, local), *failed, *examine_documents(image, local.id, documents)]
    try:
        names = tuple(tags.list_tags(image, local.labels))
    except SlipwayError as error:
        problems.append(f"{image.name}: {error}")
        names = ()
    return (None if problems else Candidate(image, local, names, build, tests, documents)), problems


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


def find_age_problem(finished: object) -> str:
    """Return why a result of that time is too old to count, or an empty string."""
    days = load_matrix().results_days
    try:
        age = datetime.now(UTC) - datetime.fromisoformat(str(finished))
    except (ValueError, TypeError):  # no time, or one without a zone
        return "does not say when it was made"
    return f"is {age.days} days old, more than {days}" if age > timedelta(days=days) else ""


# --- checks --------------------------------------------------------------------------------------


def examine_tests(image: Image, identity: str) -> tuple[dict[str, Any], list[str]]:
    """Return the results of an image's checks, and their problems."""
    again = f"nox -s test -- {image.name}"
    file = image.results / junit.WHOLE
    if not file.is_file():
        is_partial = (image.results / junit.PARTIAL).is_file()
        what = "only a part of its checks was run" if is_partial else "it was not tested"
        return {}, [f"{image.name}: {what}: {again}"]
    try:
        report = junit.read_report(file)
    except SlipwayError:
        return {}, [f"{image.name}: {file.name} is damaged: {again}"]
    if report.image != identity:
        return {}, [f"{image.name}: its tests are about another image: {again}"]
    counts = Counter(check.outcome for check in report.checks)
    if report.problems or counts["failed"] or not counts["passed"]:
        told = f"{counts['failed']} failed, {counts['passed']} passed"
        return {}, [f"{image.name}: its tests have not passed ({told}): {again}"]
    if problem := examine_run(image, report.properties):
        return {}, [f"{image.name}: {problem}: {again}"]
    return summarize(report), []


def examine_run(image: Image, run: Mapping[str, str]) -> str:
    """Return why a run of the checks does not count, or an empty string."""
    commit = run.get("commit", "")
    if run.get("whole") != "yes" or run.get("contract") != image.name:
        return "its tests are not a whole run of the checks of this image"
    if run.get("exit status") != "0":
        return "its tests ended with an error, although no check failed"
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        return "its tests were changed and not committed when they ran"
    try:
        changed = repository.git("diff", "--name-only", commit, "HEAD", "--", *junit.CHECKS)
    except repository.GitError:
        return f"its tests are of commit {commit[:12]}, which this repository does not have"
    if changed:
        return f"its tests have changed since they ran at commit {commit[:12]}"
    problem = find_age_problem(run.get("finished"))
    return f"the result of its tests {problem}" if problem else ""


def summarize(report: junit.Report) -> dict[str, Any]:
    """Return the outcomes of a passed run for publishing, without what the file says of the machine."""
    not_run = Counter(check.reason for check in report.checks if check.outcome == "not run")
    passed = sum(check.outcome == "passed" for check in report.checks)
    run = dict(report.properties)
    return {"image": report.image, "verdict": "passed", "passed": passed, "not run": dict(not_run), "run": run}


# --- SBOMs, audit, scan --------------------------------------------------------------------------


def read_documents(image: Image) -> dict[str, bytes]:
    """Return the documents that are published as they are; empty where a file cannot be read."""
    documents = {}
    for name in SESSIONS:
        try:
            documents[name] = (image.results / name).read_bytes()
        except OSError:
            documents[name] = b""
    return documents


def examine_documents(image: Image, identity: str, documents: Mapping[str, bytes]) -> Iterator[str]:
    """Yield the problems of the SBOMs, the audit and the scan."""
    for name, data in documents.items():
        try:
            found = json.loads(data)
        except ValueError:
            found = None
        if not isinstance(found, dict) or not found:
            problem = f"there is no readable {name}"
        elif name in SBOMS:
            problem = "" if identity in sbom.find_image_ids(found) else f"{name} is about another image"
        else:
            problem = find_verdict_problem(name, found, identity)
        if problem:
            yield f"{image.name}: {problem}: nox -s {SESSIONS[name]} -- {image.name}"


def find_verdict_problem(name: str, found: dict[str, Any], identity: str) -> str:
    """Return why the audit or the scan does not allow publishing, or an empty string.

    "not scanned" is accepted where the scan was told --allow-not-scanned, which is recorded in it.
    """
    is_accepted = name == SCAN and found.get("verdict") == "not scanned" and found.get("allow_not_scanned") is True
    if found.get("image") != identity:
        return f"{name} is about another image"
    if found.get("verdict") != "passed" and not is_accepted:
        return f"the verdict of {name} is {found.get('verdict')!r}"
    today = datetime.now(UTC).date().isoformat()
    for item in found.get("exceptions", []):
        if item["expires"] < today:
            return f"{name} rests on the exception {item['identifier']}, which expired on {item['expires']}"
    problem = find_age_problem(found.get("finished"))
    return f"{name} {problem}" if problem else ""
