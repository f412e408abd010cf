"""Trivy's report: which findings are suppressed, what is kept of it, and the memory that it takes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slipway import repository
from slipway.scan import trivy
from slipway.scan.policy import ACCEPTED
from slipway.scan.trivy import NotScannedError

LEAST = {"VulnerabilityID": "CVE-2026-1", "Severity": "HIGH", "PkgName": "shop", "InstalledVersion": "1"}
CHECK = {"ID": "DS-0002", "Severity": "HIGH", "Title": "root", "Status": "FAIL"}
SECRET = {"RuleID": "private-key", "Severity": "HIGH", "Title": "key", "Code": {"Lines": ["key"]}}


def report(**result: Any) -> bytes:
    """Return a report with one result."""
    return json.dumps({"SchemaVersion": 2, "Metadata": {}, "Results": [{"Target": "x", **result}]}).encode()


def modified(kind: str, finding: dict[str, Any], source: str = ACCEPTED) -> dict[str, Any]:
    """Return a suppressed finding as Trivy writes it."""
    return {"Type": kind, "Status": "ignored", "Statement": "why", "Source": source, "Finding": finding}


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (modified("vulnerability", {**LEAST, "PkgIdentifier": {"PURL": "pkg:pypi/shop@1"}}), False),
        (modified("vulnerability", {**LEAST, "PkgIdentifier": {}}), True),
        (modified("vulnerability", {**LEAST, "PkgIdentifier": {}}, "vex"), True),
        (modified("misconfiguration", CHECK), False),
        (modified("secret", SECRET), False),
    ],
    ids=["bound", "without purl", "without purl by VEX", "misconfiguration", "secret"],
)
def test_a_suppressed_finding_counts_where_nothing_binds_it(change: dict[str, Any], counts: bool) -> None:  # noqa: FBT001
    """Trivy lets an entry's purls match a package that has none."""
    [found] = trivy.read_report(report(ExperimentalModifiedFindings=[change])).list_findings()
    assert found.is_suppressed is not counts
    assert (found.statement, found.severity) == ("why", "HIGH")


def test_a_check_that_finds_nothing_needs_no_exception() -> None:
    """Trivy suppresses it all the same."""
    change = modified("misconfiguration", {**CHECK, "Status": "PASS"})
    assert trivy.read_report(report(ExperimentalModifiedFindings=[change])).list_findings() == []


def test_the_lines_around_a_secret_are_not_kept() -> None:
    """Neither of one that counts nor of one that is suppressed."""
    text = report(Secrets=[SECRET], ExperimentalModifiedFindings=[modified("secret", SECRET)])
    assert b"Lines" in text
    assert "Lines" not in json.dumps(trivy.shorten_report(text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (report(ExperimentalModifiedFindings=[modified("omen", LEAST)]), "ExperimentalModifiedFindings.0.Type"),
        (report(Secrets=[{}]), "Results.0.Secrets.0.VulnerabilityID Field required"),
        (report()[:-10], ""),
        (b"", ""),
        (b"[]", ""),
        (b'{"SchemaVersion": 3}', "SchemaVersion Input should be 2"),
        (b"{}", "SchemaVersion Field required"),
    ],
    ids=["unknown type", "nameless finding", "cut off", "empty", "a list", "another schema", "no schema"],
)
@pytest.mark.requirement("T11", "N4")
def test_a_report_of_another_form_is_not_scanned(text: bytes, reason: str) -> None:
    with pytest.raises(NotScannedError, match=f"Trivy's report cannot be read.*{reason}"):
        trivy.read_report(text)


READ = """
import sys
from pathlib import Path
from slipway import results
from slipway.scan import trivy
from tests.helpers.peak_memory import read_peak_memory
text = Path(sys.argv[1]).read_bytes()
found = trivy.read_report(text)
results.write_json(Path(sys.argv[1] + ".kept"), trivy.shorten_report(text))
print(len(found.list_findings()), len(found.purls), read_peak_memory())
"""
DESCRIPTION = "A flaw was found in the parser of the example library. " * 20


def test_a_large_report_is_read_in_little_memory(tmp_path: Path) -> None:
    """12,000 packages with 240,000 files and 6,000 findings: more than any image has. In MB of the whole process."""
    packages = [
        {
            "ID": f"p{n}@1",
            "Name": f"p{n}",
            "Version": "1",
            "Identifier": {"PURL": f"pkg:pypi/p{n}@1", "UID": f"{n:016x}"},
        }
        | {
            "Licenses": ["MIT"],
            "DependsOn": [f"p{n + k}@1" for k in range(6)],
            "InstalledFiles": [f"/usr/share/p{n}/file{k}" for k in range(20)],
        }
        for n in range(12000)
    ]
    findings = [
        {**LEAST, "PkgName": f"p{n}", "PkgIdentifier": {"PURL": f"pkg:pypi/p{n}@1"}, "Description": DESCRIPTION}
        | {"References": [f"https://example.com/{n}/{k}" for k in range(15)], "CVSS": {"nvd": {"V3Score": 7.5}}}
        for n in range(6000)
    ]
    file = tmp_path / "report.json"
    file.write_bytes(report(Packages=packages, Vulnerabilities=findings))
    done = subprocess.run(
        [sys.executable, "-c", READ, file], cwd=repository.ROOT, capture_output=True, text=True, check=True
    )
    findings_read, packages_read, megabytes = map(int, done.stdout.split())
    assert (findings_read, packages_read) == (6000, 12000)
    assert megabytes <= 300
