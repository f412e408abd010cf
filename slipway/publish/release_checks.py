"""Checks the results of an image before it is published, and names each missing or failed document.

All of them must be about the image that is published: built from a clean commit, tested by a whole run, audited and
scanned, not longer ago than `results_days` of images.toml. "not run" and "not scanned" never count as "passed"; they
are accepted if the user allowed them in the test or scan session, and are part of what is attested.
"""

import contextlib
import hashlib
import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from slipway import junit, repository, results, sbom, tools
from slipway.errors import SlipwayError
from slipway.matrix import Image, load_matrix
from slipway.publish import oci_layout, tags
from slipway.publish.oci_layout import LocalImage

BUILD, AUDIT, SCAN = "build.json", "audit.json", "scan.json"
SBOMS = (sbom.CYCLONEDX, sbom.SPDX)
# Which session writes a file.
SESSIONS = {BUILD: "build", junit.WHOLE: "test"} | dict.fromkeys(SBOMS, "sbom") | {AUDIT: "audit", SCAN: "scan"}
REVISION = "org.opencontainers.image.revision"
SOURCE = "org.opencontainers.image.source"
ORIGIN = "slipway.base.origin"


@dataclass(frozen=True)
class Candidate:
    """An image with the results that its publication rests on, as the bytes that are examined and then attested.

    `staged` refers to the image in a staging repository; without it the image is the local engine's.
    """

    image: Image
    local: LocalImage
    files: Mapping[str, bytes]
    staged: str = ""

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """Its tags, the first of which revisions belong to; SlipwayError when its labels do not tell."""
        return tuple(tags.list_tags(self.image, self.local.labels))

    @cached_property
    def report(self) -> junit.Report:
        """The results of its checks."""
        return junit.parse_report(self.files[junit.WHOLE], self.image.name)

    @property
    def commit(self) -> str:
        """The commit of the build."""
        return self.local.labels.get(REVISION, "")

    def read(self, name: str) -> dict[str, Any]:
        """Return a JSON file; empty when it is missing or damaged."""
        try:
            found = json.loads(self.files.get(name, b""))
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def find_candidate(image: Image) -> Candidate:
    """Return an image of the local engine with its results; SlipwayError when it is not the one of its last build."""
    files = dict.fromkeys(SESSIONS, b"")  # empty where one cannot be read
    for name in SESSIONS:
        with contextlib.suppress(OSError):
            files[name] = (image.results / name).read_bytes()
    again = f"nox -s build -- {image.name}"
    local, built = oci_layout.inspect_image(image.tag), results.read_json(image.results / BUILD).get("image")
    if local is None or not built:
        raise SlipwayError(f"{image.name}: it was not built here, or its last build failed: {again}")
    if local.id != built:
        raise SlipwayError(f"{image.name}: {image.tag} is not the image of its last build: {again}")
    return Candidate(image, local, files)


def list_problems(candidate: Candidate, *, allow_local_base: bool = False) -> list[str]:
    """Return every reason why an image may not be published."""
    problems = [
        *examine_commit(candidate),
        *examine_build(candidate),
        *examine_base(candidate, allowed=allow_local_base),
        *examine_tests(candidate),
        *examine_documents(candidate),
    ]
    try:
        _ = candidate.tags
    except SlipwayError as error:
        problems.append(str(error))
    return [f"{candidate.image.name}: {problem}" for problem in problems]


def examine_commit(candidate: Candidate) -> Iterator[str]:
    """Yield the problems of the commit that an image was built from."""
    commit, dockerfile = candidate.commit, candidate.image.dockerfile
    again = f"commit, then nox -s build -- {candidate.image.name}"
    if commit.endswith("-dirty"):
        yield f"it was built from files that differ from commit {commit[:12]}: {again}"
    elif not re.fullmatch(r"[0-9a-f]{40}", commit):
        yield f"it was not built from a commit: {again}"
    elif repository.file_at(commit, dockerfile) is None:
        yield f"this repository has no {dockerfile} at commit {commit[:12]}: git fetch, or {again}"


def examine_build(candidate: Candidate) -> Iterator[str]:
    """Yield a problem when the record of the build lacks its times or its base, which its provenance names."""
    build = candidate.read(BUILD)
    try:
        read_times(build)
    except (KeyError, TypeError, ValueError, OverflowError):
        yield f"{BUILD} does not say when it was built: nox -s build -- {candidate.image.name}"
    match build.get("base"):
        case {"name": str(), "id": str(), "digest": str(), "origin": str()}:
            return
    yield f"{BUILD} does not say on which base image it was built: nox -s build -- {candidate.image.name}"


def read_times(build: Mapping[str, Any]) -> tuple[datetime, datetime]:
    """Return the start and the end of a build; KeyError, TypeError, ValueError or OverflowError without them."""
    end = datetime.fromisoformat(build["built"]).astimezone(UTC)
    return end - timedelta(seconds=build["seconds"]), end


def examine_base(candidate: Candidate, *, allowed: bool) -> Iterator[str]:
    """Yield a problem when the base image is not the one of a registry, unless that was accepted."""
    origin = candidate.local.labels.get(ORIGIN, "unknown")
    if origin != "pulled" and not allowed:
        yield (
            f"its base image is not verified by a registry's digest ({origin}): nox -s setup where one is reached, "
            "then build it again, or accept that: --allow-local-base"
        )


def find_age_problem(finished: object) -> str:
    """Return why a result of that time is too old to count, or an empty string."""
    days = load_matrix().results_days
    try:
        age = datetime.now(UTC) - datetime.fromisoformat(str(finished))
    except (ValueError, TypeError):  # no time, or one without a zone
        return "does not say when it was made"
    return f"is {age.days} days old, more than {days}" if age > timedelta(days=days) else ""


# --- checks --------------------------------------------------------------------------------------


def examine_tests(candidate: Candidate) -> Iterator[str]:
    """Yield the problem of the results of an image's checks."""
    if problem := find_test_problem(candidate):
        yield f"{problem}: nox -s test -- {candidate.image.name}"


def find_test_problem(candidate: Candidate) -> str:
    """Return why the results of an image's checks do not count, or an empty string."""
    if not candidate.files[junit.WHOLE]:
        is_partial = (candidate.image.results / junit.PARTIAL).is_file()
        return "only a part of its checks was run" if is_partial else "it was not tested"
    try:
        report = candidate.report
    except (ET.ParseError, ValueError):
        return f"{junit.WHOLE} is damaged"
    if report.image != candidate.local.id:
        return "its tests are about another image"
    counts = Counter(check.outcome for check in report.checks)
    if report.problems or counts["failed"] or not counts["passed"]:
        return f"its tests have not passed ({counts['failed']} failed, {counts['passed']} passed)"
    return find_run_problem(candidate.image, report.properties)


def find_run_problem(image: Image, run: Mapping[str, str]) -> str:
    """Return why a run of the checks does not count, or an empty string."""
    commit = run.get("commit", "")
    wanted = {"whole": "yes", "derived": "no", "contract": image.name}
    if any(run.get(name) != value for name, value in wanted.items()):
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


# --- SBOMs, audit, scan --------------------------------------------------------------------------


def examine_documents(candidate: Candidate) -> Iterator[str]:
    """Yield the problems of the SBOMs, the audit and the scan."""
    for name in (*SBOMS, AUDIT, SCAN):
        found = candidate.read(name)
        if not found:
            problem = f"there is no readable {name}"
        elif name in SBOMS:
            problem = "" if candidate.local.id in sbom.find_image_ids(found) else f"{name} is about another image"
        else:
            problem = find_verdict_problem(name, found, candidate)
        if problem:
            yield f"{problem}: nox -s {SESSIONS[name]} -- {candidate.image.name}"


def find_verdict_problem(name: str, found: Mapping[str, Any], candidate: Candidate) -> str:
    """Return why the audit or the scan does not allow publishing, or an empty string.

    "not scanned" is accepted where the scan was told --allow-not-scanned, which is recorded in it.
    """
    is_accepted = name == SCAN and found.get("verdict") == "not scanned" and found.get("allow_not_scanned") is True
    if found.get("image") != candidate.local.id:
        return f"{name} is about another image"
    if found.get("verdict") != "passed" and not is_accepted:
        return f"the verdict of {name} is {found.get('verdict')!r}"
    if not tools.is_built(program := found.get("program")):
        return f"{name} is by {program or 'an unknown program'}, not by the one built from tools/: take it off PATH"
    if not re.fullmatch(r"[0-9a-f]{40}", str(found.get("commit"))):
        return f"the policy or the code of {name} was changed and not committed when it was made"
    if found.get("sbom") != hashlib.sha256(candidate.files[sbom.CYCLONEDX]).hexdigest():
        return f"{name} is about another {sbom.CYCLONEDX}"
    problem = find_exception_problem(found.get("exceptions", [])) or find_age_problem(found.get("finished"))
    return f"{name} {problem}" if problem else ""


def find_exception_problem(exceptions: object) -> str:
    """Return why the exceptions of a scan do not count today, or an empty string."""
    today = datetime.now(UTC).date().isoformat()
    for item in exceptions if isinstance(exceptions, list) else [exceptions]:
        match item:
            case {"identifier": str(name), "expires": str(day)} if day < today:
                return f"rests on the exception {name}, which expired on {day}"
            case {"identifier": str(), "expires": str()}:
                continue
        return "has an exception without its identifier or its day of expiry"
    return ""
