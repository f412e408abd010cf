"""Scans an image with Trivy. The verdict is passed, vulnerable, failed or not scanned.

    python -m slipway.scan cpu-base                            exit code 0 passed, 1 vulnerable or failed, 3 not scanned
    python -m slipway.scan cpu-base --db-repository HOST/NAME  the vulnerability database from a mirror
    python -m slipway.scan cpu-base --database FOLDER          from a cache folder of Trivy's, without network
    python -m slipway.scan cpu-base --vex FILE                 with a VEX document
    python -m slipway.scan cpu-base --allow-not-scanned        succeed although the image was not scanned completely

Writes Trivy's report to dist/<image>/trivy.json, and the verdict with its reasons to scan.json.
"""

import argparse
import hashlib
import os
import resource
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from slipway import docker, repository, results, sbom, tools
from slipway.errors import SlipwayError
from slipway.matrix import Image, load_matrix
from slipway.scan import completeness, pending_updates, policy, trivy, trivy_db, vex
from slipway.scan.completeness import Kind, parse_package_url
from slipway.scan.pending_updates import NotRunError
from slipway.scan.policy import SEVERITIES, Entry, Policy
from slipway.scan.trivy import Finding, NotScannedError, Report
from slipway.scan.trivy_db import Database
from slipway.tables import make_table, show

PASSED, VULNERABLE, FAILED, NOT_SCANNED = "passed", "vulnerable", "failed", "not scanned"
EXIT_CODES = {PASSED: 0, VULNERABLE: 1, FAILED: 1, NOT_SCANNED: 3}
SHOWN = ("CRITICAL", "UNKNOWN")  # of these, each finding is shown although it does not fail the scan
WIDTH = 60  # characters of a title in the table
# What decides the verdict beside the image, its SBOM and the database.
RULES = ("policy", "requirements", "slipway/scan", "slipway/image")


@dataclass
class Scan:
    """A scan and its result. The verdict is the first key of `reasons` that has one, or passed."""

    image: Image
    id: str
    policy: Policy
    reasons: dict[str, list[str]] = field(default_factory=lambda: {VULNERABLE: [], FAILED: [], NOT_SCANNED: []})
    scanner: str = ""
    database: Database | None = None
    reports: list[Report] = field(default_factory=list)  # about the image, about its settings
    kinds: list[Kind] = field(default_factory=list)
    gating: list[Finding] = field(default_factory=list)
    shown: list[Finding] = field(default_factory=list)  # suppressed ones, and some that the policy allows
    needed: list[Entry] = field(default_factory=list)  # of the policy
    vex: list[dict[str, str]] = field(default_factory=list)  # the documents, as exceptions
    updates: list[str] | None = None  # None: not run

    @property
    def verdict(self) -> str:
        """The verdict: findings come before what was not scanned."""
        return next((verdict for verdict, reasons in self.reasons.items() if reasons), PASSED)

    @property
    def system(self) -> str:
        """Name and version of the operating system; empty when Trivy does not know it."""
        return self.reports[0].system if self.reports else ""

    @property
    def findings(self) -> list[Finding]:
        """All findings, the most severe first."""
        found = [finding for report in self.reports for finding in report.list_findings()]
        return sorted(found, key=lambda each: (SEVERITIES.index(each.severity), each.identifier, each.package))


# --- the scan ------------------------------------------------------------------------------------


def examine_image(scan: Scan, options: argparse.Namespace) -> None:
    """Run Trivy and compare the packages that it examined with the SBOM; NotScannedError when a step fails."""
    tool = tools.read_tool("trivy")
    program = tools.provide_program(tool)
    scan.scanner = f"Trivy {tool.version}"
    problems = scan.reasons[NOT_SCANNED]
    try:
        scan.database = trivy_db.provide_database(program, options.db_repository, options.database)
        problems += trivy_db.explain_age(scan.database, scan.policy.limits.database_days)
    except NotScannedError as error:
        problems.append(str(error))
    folder = scan.database.folder if scan.database else None
    inputs = {policy.ACCEPTED: scan.policy.accepted.make_copy()}
    given = {
        f"vex-{number}-{file.name}": file.read_text(errors="replace") for number, file in enumerate(options.vex, 1)
    }
    flags = [f"--vex={name}" for name in given] + (["--skip-java-db-update"] if options.database else [])
    text = trivy.scan_image(program, scan.image.tag, folder, inputs | given, *flags)
    report = trivy.read_report(text)
    found = docker.require_image(scan.image.tag)
    if not report.image == scan.id == found["Id"] or report.diff_ids != found["RootFS"]["Layers"]:
        raise NotScannedError(f"Trivy's report is about another image: {report.image or 'it names none'}")
    results.write_json(scan.image.results / "trivy.json", trivy.shorten_report(text))
    scan.reports = [report]
    settings = trivy.read_report(trivy.scan_settings(program, scan.image.name, found["Config"], inputs))
    scan.reports.append(settings)
    problems += list_unexamined(report, settings)
    compare_packages(scan, program, report)


def list_unexamined(report: Report, settings: Report) -> Iterator[str]:
    """Yield the reasons, by Trivy's reports, why the image was not scanned completely."""
    if not report.system:
        yield "Trivy does not know the image's operating system"
    elif report.outdated:
        yield f"{report.system} gets no security fixes any longer, so no database lists its vulnerabilities"
    if not settings.checks:
        yield "Trivy has checked none of the image's settings"


def compare_packages(scan: Scan, program: Path, report: Report) -> None:
    """Compare the packages that Trivy examined with the SBOM; without a database, only count them."""
    listed, database = completeness.read_sbom_packages(scan.image, scan.id), scan.database
    kinds = {package.type for package in listed}
    known = trivy_db.find_known_kinds(program, database.folder, report.system, kinds) if database else set()
    examined = {parse_package_url(purl) for purl in report.purls}
    scan.kinds, needed = completeness.compare_packages(listed, examined, known, scan.policy.limits.component)
    scan.needed += needed
    if database:
        scan.reasons[NOT_SCANNED] += (kind.problem for kind in scan.kinds if kind.missing)
    if database and "maven" in kinds:
        days = scan.policy.limits.java_database_days
        scan.reasons[NOT_SCANNED] += trivy_db.explain_age(database.read_java(), days)


# --- the verdict ---------------------------------------------------------------------------------


def judge_findings(scan: Scan) -> None:
    """Fail the scan for findings that the policy does not allow."""
    for finding in scan.findings:
        fails = finding.severity in scan.policy.limits.fails[finding.kind]
        if fails and not finding.is_suppressed:
            scan.gating.append(finding)
        elif fails or (finding.severity in SHOWN and not finding.is_suppressed):
            scan.shown.append(finding)
    used = {each.statement for each in scan.shown if each.is_suppressed and each.source == policy.ACCEPTED}
    scan.needed += (item for item in scan.policy.accepted.entries() if item.statement in used)
    if counts := Counter(finding.kind for finding in scan.gating):
        found = ", ".join(f"{kind} {count}" for kind, count in counts.items())
        scan.reasons[VULNERABLE].append(f"the policy does not allow: {found}")


def check_age(scan: Scan) -> None:
    """Fail the scan for expired entries of the policy, pending security updates and old locks."""
    for item in scan.policy.entries():
        if item.has_expired:
            reason = f"the exception for {item.identifier} has expired on {item.expired_at}: {item.statement}"
            scan.reasons[FAILED].append(reason)
    try:
        scan.updates = pending_updates.pending_updates(scan.id, scan.image.variant.distro.suite)
        scan.reasons[VULNERABLE] += (f"Debian has a security update: {update}" for update in scan.updates)
    except NotRunError as error:
        scan.reasons[NOT_SCANNED].append(str(error))
    scan.reasons[FAILED] += pending_updates.list_old_locks(scan.image, scan.policy.limits.lock_days)


# --- the output ----------------------------------------------------------------------------------


def count_findings(scan: Scan) -> dict[str, dict[str, int] | None]:
    """Return the number of findings by kind and severity; None for a kind that was not scanned for."""
    found = Counter((str(finding.kind), finding.severity) for finding in scan.findings)
    looked = dict.fromkeys(("vulnerability", "unfixed"), bool(scan.reports and scan.database))
    looked |= {"secret": bool(scan.reports), "misconfiguration": bool(scan.reports[1:])}
    numbers = {kind: {name: found[kind, name] for name in SEVERITIES if found[kind, name]} for kind in looked}
    return {kind: numbers[kind] if there else None for kind, there in looked.items()}


def format_head(scan: Scan) -> Iterator[str]:
    """Yield the lines about the image, the scanner, the database, what was examined and what was found."""
    used = scan.database
    note = f", {used.note}" if used and used.note else ""
    yield f"{scan.image.tag}  {scan.id.removeprefix('sha256:')[:12]}  {scan.system}".strip()
    yield f"scanner           {scan.scanner or 'none'}"
    yield f"database          {f'{used.source}, {used.days:.1f} days old{note}' if used else 'none'}"
    yield f"security updates  {'not run' if scan.updates is None else ', '.join(scan.updates) or 'none'}"
    for kind in scan.kinds:
        known = f"{'in' if kind.known else 'NOT in'} the database, {kind.accepted} accepted"
        yield f"{kind.name:18}{kind.examined} of {kind.listed} packages examined, {known}"
    for name, found in count_findings(scan).items():
        counts = ", ".join(f"{severity} {count}" for severity, count in (found or {}).items()) or "none"
        yield f"{name:18}{'not run' if found is None else counts}"


def make_table_of_findings(scan: Scan) -> Table:
    """Return the findings that fail the scan, and the others that are shown."""
    rows = []
    for finding in (*scan.gating, *scan.shown):
        package = f"{finding.package} {finding.installed}".strip()
        why = f"{finding.status}: {finding.statement}" if finding.is_suppressed else "allowed by the policy"
        fate = "fails" if finding in scan.gating else why
        rows.append((finding.severity, finding.identifier, package, finding.fixed, finding.title[:WIDTH], fate))
    return make_table(("severity", "finding", "package", "fixed in", "title", "verdict"), rows)


def read_peak(whose: int) -> int:
    """Return the peak memory of this process, or of its largest child, in MB."""
    return round(resource.getrusage(whose).ru_maxrss * 1024 / 1e6)


def make_record(scan: Scan, options: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """Return the content of scan.json. `memory_mb` is Trivy's peak, of the largest child, `own_memory_mb` Slipway's."""
    used = scan.database
    return {
        "image": scan.id,
        "verdict": scan.verdict,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "program": tools.describe_program(tools.read_tool("trivy")),
        "memory_mb": read_peak(resource.RUSAGE_CHILDREN),
        "own_memory_mb": read_peak(resource.RUSAGE_SELF),
        "allow_not_scanned": options.allow_not_scanned and scan.verdict == NOT_SCANNED,
        "reasons": [f"{verdict}: {reason}" for verdict, reasons in scan.reasons.items() for reason in reasons],
        "complete": not scan.reasons[NOT_SCANNED],
        "scanner": scan.scanner,
        "database": {"source": used.source, "updated": used.updated.isoformat(), "note": used.note} if used else None,
        "policy": scan.policy.digest,
        "commit": repository.describe_head(*RULES),
        "sbom": results.digest_file(scan.image.results / sbom.CYCLONEDX),
        "trivy": results.digest_file(scan.image.results / "trivy.json"),
        "vex": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in options.vex},
        "system": scan.system,
        "coverage": [asdict(kind) for kind in scan.kinds],
        "found": count_findings(scan),
        "gating": [finding.model_dump() for finding in scan.gating],
        "shown": [finding.model_dump() for finding in scan.shown],
        "exceptions": [*(item.record() for item in scan.needed), *scan.vex],
        "not needed": [item.record() for item in scan.policy.entries() if item not in scan.needed],
        "security updates": scan.updates,
    }


def read_arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m slipway.scan", allow_abbrev=False)
    parser.add_argument("image", help="an image of images.toml, such as cuda-devel")
    parser.add_argument("--allow-not-scanned", action="store_true", help="succeed although the image was not scanned")
    parser.add_argument("--vex", metavar="FILE", type=Path, action="append", default=[], help="a VEX document")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--db-repository", metavar="REF", default="", help="a mirror of Trivy's database")
    place.add_argument("--database", metavar="FOLDER", type=Path, help="a cache folder of Trivy's with its database")
    options = parser.parse_args(words)
    if missing := next((file for file in options.vex if not (file.is_file() and os.access(file, os.R_OK))), None):
        raise SlipwayError(f"--vex: there is no readable file {missing}")
    if options.database and not options.database.is_dir():
        raise SlipwayError(f"--database: there is no folder {options.database}")
    return options


def main(words: Sequence[str] | None = None) -> int:
    """Scan one image, print tables and the verdict, and write scan.json; the exit code is the verdict's."""
    options = read_arguments(words)
    image = load_matrix().find_image(options.image)
    for name in ("scan.json", "trivy.json"):
        results.remove(image.results / name)
    started = time.monotonic()
    scan = Scan(image, docker.require_image(image.tag)["Id"], policy.load())
    scan.vex = [vex.read_document(file).record(file.name) for file in options.vex]
    try:
        examine_image(scan, options)
    except NotScannedError as error:
        scan.reasons[NOT_SCANNED].append(str(error))
    judge_findings(scan)
    check_age(scan)
    record = make_record(scan, options, time.monotonic() - started)
    results.write_json(image.results / "scan.json", record)
    show(*format_head(scan), "")
    if scan.gating or scan.shown:
        show(make_table_of_findings(scan), "")
    show(*record["reasons"])
    allowed = record["allow_not_scanned"]
    show(f"verdict: {scan.verdict}" + (", which --allow-not-scanned accepts" if allowed else ""))
    return 0 if allowed else EXIT_CODES[scan.verdict]
