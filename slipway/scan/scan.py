"""Scans an image with Trivy. The verdict is passed, vulnerable, failed or not scanned.

    python -m slipway.scan cpu-base                            exit code 0 passed, 1 vulnerable or failed, 3 not scanned
    python -m slipway.scan cpu-base --db-repository HOST/NAME  the vulnerability database from a mirror
    python -m slipway.scan cpu-base --database PATH            from a folder or an archive, without network
    python -m slipway.scan cpu-base --allow-not-scanned        succeed although the image was not scanned completely

Writes Trivy's report to dist/<image>/trivy.json, and the verdict with its reasons to scan.json.
"""

import argparse
import contextlib
import resource
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from slipway import docker, results, tools
from slipway.errors import SlipwayError
from slipway.matrix import Image, Matrix, load_matrix
from slipway.scan import accepted_findings, completeness, pending_updates, trivy, trivy_db
from slipway.scan.accepted_findings import Accepted
from slipway.scan.completeness import Kind
from slipway.scan.pending_updates import NotRunError
from slipway.scan.trivy import Finding, NotScannedError, Report
from slipway.scan.trivy_db import Database, Source
from slipway.tables import NOTHING, make_table, show

PASSED, VULNERABLE, FAILED, NOT_SCANNED = "passed", "vulnerable", "failed", "not scanned"
EXIT_CODES = {PASSED: 0, VULNERABLE: 1, FAILED: 1, NOT_SCANNED: 3}
SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "UNKNOWN")
SETTINGS = "the image's settings"  # in place of a package or file, for findings in the image's configuration
WIDTH = 60  # characters of a title in the table


@dataclass
class Result:
    """The result of a scan. The verdict is the first key of `reasons` that has one, or passed."""

    image: str
    reasons: dict[str, list[str]] = field(default_factory=lambda: {VULNERABLE: [], FAILED: [], NOT_SCANNED: []})
    scanner: str = ""
    database: Database | None = None
    report: Report | None = None
    kinds: list[Kind] = field(default_factory=list)
    gating: list[Finding] = field(default_factory=list)
    accepted: list[Accepted] = field(default_factory=list)
    updates: list[str] | None = None  # None: not run

    @property
    def verdict(self) -> str:
        """The verdict: findings come before what was not scanned."""
        return next((verdict for verdict, reasons in self.reasons.items() if reasons), PASSED)


# --- the image -----------------------------------------------------------------------------------


def find_image(image: Image) -> dict[str, Any]:
    """Return the engine's description of the last built image; SlipwayError when the tag names another one or none."""
    found = docker.inspect(image.tag)
    build = f"nox -s build -- {image.name}"
    if found is None:
        raise SlipwayError(f"there is no {image.tag}. Run: {build}")
    if results.read_json(image.results / "build.json").get("image") != found["Id"]:
        raise SlipwayError(
            f"{image.tag} is not the image that was built here last, as build.json names it. Run: {build}"
        )
    return found


# --- the scan ------------------------------------------------------------------------------------


def scan_image(matrix: Matrix, image: Image, source: Source, accepted: Sequence[Accepted]) -> Result:
    """Scan an image and write Trivy's report; return the result."""
    found = find_image(image)
    result = Result(found["Id"])
    concerned = [item for item in accepted if item.applies_to(image.name)]
    try:
        examine_image(matrix, image, found, source, result)
    except NotScannedError as error:
        result.reasons[NOT_SCANNED].append(str(error))
    check_findings(result, concerned)
    check_exceptions(result, concerned)
    check_updates_and_locks(matrix, image, result)
    return result


def examine_image(matrix: Matrix, image: Image, found: dict[str, Any], source: Source, result: Result) -> None:
    """Run Trivy and compare the packages that it examined with the SBOM; NotScannedError when a step fails."""
    tool = tools.read_tool("trivy")
    program = tools.provide_program(tool)
    result.scanner = f"Trivy {tool.version}"
    problems = result.reasons[NOT_SCANNED]
    with contextlib.ExitStack() as stack:
        try:
            result.database = stack.enter_context(trivy_db.provide_database(program, source))
            problems += filter(None, [trivy_db.explain_age(result.database, matrix.scan.database_days)])
        except NotScannedError as error:
            problems.append(str(error))
        folder = result.database.folder if result.database else None
        result.report = scan_layers(program, image, found, folder)
        result.report = report = add_settings(program, result.report, found["Config"])
        problems += list_unexamined(report)
        packages = completeness.read_sbom_packages(image, result.image)
        kinds = {package.type for package in packages}
        known = trivy_db.find_known_kinds(program, folder, report.system, kinds) if folder else set()
    result.kinds = completeness.compare_packages(packages, report, known, matrix.scan.unknown)
    problems += (kind.problem for kind in result.kinds if kind.problem and folder)


def scan_layers(program: Path, image: Image, found: dict[str, Any], folder: Path | None) -> Report:
    """Run Trivy on an image with the database in a folder, write trivy.json, and return the report."""
    text = trivy.scan_image(program, found["Id"], folder)
    report = trivy.read_report(text)
    if report.image != found["Id"] or report.diff_ids != tuple(found["RootFS"]["Layers"]):
        raise NotScannedError(f"Trivy's report is about another image: {report.image or 'it names none'}")
    results.write_json(image.results / "trivy.json", trivy.remove_secrets(text))
    # Trivy names the image's ID as the file of a secret in the settings. An exception needs a name that stays the same.
    named = (replace(f, package=SETTINGS) if f.package == report.image else f for f in report.findings)
    return replace(report, findings=tuple(named))


def add_settings(program: Path, report: Report, config: dict[str, Any]) -> Report:
    """Return the report with the findings in the image's settings added."""
    settings = trivy.read_report(trivy.scan_settings(program, config))
    findings = (replace(finding, package=SETTINGS) for finding in settings.findings)
    return replace(report, checks=settings.checks, findings=(*report.findings, *findings))


def list_unexamined(report: Report) -> Iterator[str]:
    """Yield the reasons, by Trivy's report, why the image was not scanned completely."""
    if not report.system:
        yield "Trivy does not know the image's operating system"
    elif report.outdated:
        yield f"{report.system} gets no security fixes any longer, so no database lists its vulnerabilities"
    if not report.checks:
        yield "Trivy has checked none of the image's settings"


# --- the verdict ---------------------------------------------------------------------------------


def check_findings(result: Result, accepted: Sequence[Accepted]) -> None:
    """Fail the scan for HIGH or CRITICAL findings that have a fix, except those with a valid exception."""
    holding = {(item.identifier, item.package): item for item in accepted if not item.has_expired()}
    for finding in result.report.findings if result.report else ():
        exception = holding.get((finding.identifier, finding.package))
        if finding.is_gating and exception:
            result.accepted.append(exception)
        elif finding.is_gating:
            result.gating.append(finding)
    result.accepted = list(dict.fromkeys(result.accepted))
    result.gating = list(dict.fromkeys(result.gating))
    if result.gating:
        counts = Counter(finding.kind for finding in result.gating)
        found = ", ".join(f"{kind} {count}" for kind, count in counts.items())
        result.reasons[VULNERABLE].append(f"HIGH or CRITICAL with a fix: {found}")


def check_exceptions(result: Result, accepted: Sequence[Accepted]) -> None:
    """Fail the scan for expired exceptions and, after a complete scan, for unused ones."""
    complete = not result.reasons[NOT_SCANNED]
    for item in accepted:
        if item.has_expired():
            result.reasons[FAILED].append(f"the exception for {item} has expired on {item.expires}: {item.owner}")
        elif complete and item not in result.accepted:
            result.reasons[FAILED].append(f"the exception for {item} matches no finding: remove it")


def check_updates_and_locks(matrix: Matrix, image: Image, result: Result) -> None:
    """Fail the scan for pending security updates and old locks; it is not scanned when they cannot be determined."""
    try:
        result.updates = pending_updates.pending_updates(result.image, image.variant.distro.suite)
        result.reasons[VULNERABLE] += [f"Debian has a security update: {update}" for update in result.updates]
    except NotRunError as error:
        result.reasons[NOT_SCANNED].append(str(error))
    try:
        result.reasons[FAILED] += pending_updates.list_old_locks(image, matrix.scan.lock_days)
    except NotRunError as error:
        result.reasons[NOT_SCANNED].append(str(error))


# --- the output ----------------------------------------------------------------------------------


def make_coverage_table(result: Result) -> Table:
    """Return a row for each kind of package: listed in the SBOM, examined, known to the database."""
    rows = []
    for kind in result.kinds:
        knows = f"none: {kind.unknown_because}" if kind.unknown_because else "knows them" if kind.known else "NO"
        rows.append((kind.name, str(kind.listed), str(kind.examined), knows))
    return make_table(("packages", "in the SBOM", "examined", "database"), rows)


def count_findings(result: Result) -> dict[str, dict[str, int] | None]:
    """Return the number of findings by kind and severity; None for a kind that was not scanned for.

    Vulnerabilities without a fix are a kind of their own.
    """
    report = result.report
    looked = {
        "vulnerability": report and result.database,
        "no fix yet": report and result.database,
        "secret": report,
        "misconfiguration": report and report.checks,
    }
    found: dict[str, Counter[str]] = {kind: Counter() for kind in looked}
    for finding in report.findings if report else ():
        unmended = finding.kind == "vulnerability" and not finding.fixed
        found["no fix yet" if unmended else finding.kind][finding.severity] += 1
    return {kind: dict(found[kind]) if there else None for kind, there in looked.items()}


def make_counts_table(result: Result) -> Table:
    """Return a row for each kind of finding, with the number of each severity; a dash when it was not scanned for."""
    rows = [
        (kind, *(NOTHING if found is None else str(found.get(severity, 0)) for severity in SEVERITIES))
        for kind, found in count_findings(result).items()
    ]
    return make_table(("found", *SEVERITIES), rows)


def make_findings_table(result: Result) -> Table:
    """Return the findings that fail the scan, the most severe first."""
    rows = [
        (f.severity, f.identifier, f"{f.package} {f.installed}".strip(), f.fixed, f.title[:WIDTH])
        for f in sorted(result.gating, key=lambda f: (SEVERITIES.index(f.severity), f.identifier, f.package))
    ]
    return make_table(("severity", "finding", "package", "fixed in", "title"), rows)


def format_verdict(result: Result, *, allowed: bool) -> list[str]:
    """Return the lines with all reasons, the accepted findings and the verdict."""
    lines = [f"{verdict}: {reason}" for verdict, reasons in result.reasons.items() for reason in reasons]
    lines += [f"accepted until {item.expires}: {item}, {item.reason} ({item.owner})" for item in result.accepted]
    lines.append(f"verdict: {result.verdict}" + (", which --allow-not-scanned accepts" if allowed else ""))
    return lines


def format_head(image: Image, result: Result) -> list[str]:
    """Return the lines with the image, the scanner, the database and the security updates."""
    age = f"{result.database.source}, {result.database.days:.1f} days old" if result.database else "none"
    updates = "not run" if result.updates is None else ", ".join(result.updates) or "none"
    system = result.report.system if result.report else ""
    note = f", {result.database.note}" if result.database and result.database.note else ""
    return [
        f"{image.tag}  {result.image.removeprefix('sha256:')[:12]}  {system}".strip(),
        f"scanner           {result.scanner or 'none'}",
        f"database          {age}{note}",
        f"security updates  {updates}",
    ]


def make_record(result: Result, seconds: float, *, allowed: bool) -> dict[str, Any]:
    """Return the content of scan.json. `memory_mb` is the peak memory of Trivy, the largest child process."""
    used = result.database
    return {
        "image": result.image,
        "verdict": result.verdict,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "memory_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6),
        "allow_not_scanned": allowed,
        "reasons": [f"{verdict}: {reason}" for verdict, reasons in result.reasons.items() for reason in reasons],
        "scanner": result.scanner,
        "database": {"source": used.source, "updated": used.updated.isoformat(), "note": used.note} if used else None,
        "system": result.report.system if result.report else "",
        "coverage": [asdict(kind) for kind in result.kinds],
        "found": count_findings(result),
        "gating": [asdict(finding) for finding in result.gating],
        "exceptions": [item.model_dump() | {"expires": str(item.expires)} for item in result.accepted],
        "security updates": result.updates,
        "licenses": dict(result.report.licenses) if result.report else {},
    }


def read_arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m slipway.scan", allow_abbrev=False)
    parser.add_argument("image", help="an image of images.toml, such as cuda-devel")
    parser.add_argument("--allow-not-scanned", action="store_true", help="succeed although the image was not scanned")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--db-repository", metavar="REF", default="", help="a mirror of Trivy's database")
    place.add_argument("--database", metavar="PATH", help="a folder with Trivy's database, or an archive of it")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Scan one image, print tables and the verdict, and write scan.json; the exit code is the verdict's."""
    options = read_arguments(words)
    matrix = load_matrix()
    image = matrix.find_image(options.image)
    for name in ("scan.json", "trivy.json"):
        (image.results / name).unlink(missing_ok=True)
    accepted = accepted_findings.load_accepted([each.name for each in matrix.images])
    source = Source(options.db_repository, trivy_db.require_path(options.database) if options.database else None)
    started = time.monotonic()
    result = scan_image(matrix, image, source, accepted)
    allowed = options.allow_not_scanned and result.verdict == NOT_SCANNED
    results.write_json(image.results / "scan.json", make_record(result, time.monotonic() - started, allowed=allowed))
    show(*format_head(image, result))
    for table in (make_coverage_table(result), make_counts_table(result), make_findings_table(result)):
        if table.row_count:
            show("", table)
    show("", *format_verdict(result, allowed=allowed))
    return 0 if allowed else EXIT_CODES[result.verdict]
