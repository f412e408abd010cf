"""What is attested about a published image: signed statements with the predicates that other tools know.

CycloneDX, SPDX, SLSA provenance, cosign's vulnerability report, and in-toto's test result for the checks and for the
audit. Sources: https://cyclonedx.org/bom, https://spdx.dev/Document, https://slsa.dev/provenance/v1,
https://github.com/sigstore/cosign/blob/main/specs/COSIGN_VULN_ATTESTATION_SPEC.md,
https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md
"""

import concurrent.futures
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from slipway import sbom
from slipway.errors import SlipwayError
from slipway.publish import provenance, registry
from slipway.publish.cosign import Signer
from slipway.publish.registry import Manifest, Repository
from slipway.publish.release_checks import AUDIT, SCAN, SOURCE, Candidate

Json = Mapping[str, Any]
CYCLONEDX = "https://cyclonedx.org/bom"
SPDX = "https://spdx.dev/Document"
PROVENANCE = "https://slsa.dev/provenance/v1"
VULNERABILITIES = "https://cosign.sigstore.dev/attestation/vuln/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
DEPRECATION = "urn:slipway:deprecation:v1"  # no standard has a predicate for it
CHECKS = "checks"  # names the test result of the checks; AUDIT that of the audit

# What each published image has, by the name that reports use.
KINDS = {
    "CycloneDX": (CYCLONEDX, ""),
    "SPDX": (SPDX, ""),
    "provenance": (PROVENANCE, ""),
    "checks": (TEST_RESULT, CHECKS),
    "audit": (TEST_RESULT, AUDIT),
    "scan": (VULNERABILITIES, ""),
}


def make_predicates(candidate: Candidate) -> dict[str, Json]:
    """Return the predicates of an image by their names in KINDS; the same for the same results."""
    return {
        "CycloneDX": candidate.read(sbom.CYCLONEDX),
        "SPDX": candidate.read(sbom.SPDX),
        "provenance": provenance.make_predicate(candidate),
        "checks": make_checks(candidate),
        "audit": make_audit(candidate),
        "scan": make_vulnerability_report(candidate.read(SCAN)),
    }


def make_checks(candidate: Candidate) -> Json:
    """Return the test result of the checks of an image, without what the file says of the machine."""
    report = candidate.report
    not_run = Counter(check.reason for check in report.checks if check.outcome == "not run")
    source = candidate.local.labels.get(SOURCE, "")
    return {
        "result": "PASSED",
        "configuration": [
            {"name": CHECKS, "uri": f"git+{source}", "digest": {"gitCommit": report.properties.get("commit", "")}}
        ],
        "passedTests": [check.name for check in report.checks if check.outcome == "passed"],
        "warnedTests": [],
        "failedTests": [],
        "notRun": dict(not_run),
        "run": dict(report.properties),
    }


def make_audit(candidate: Candidate) -> Json:
    """Return the test result of the audit, with the whole of it."""
    found = candidate.read(AUDIT)
    return {
        "result": "PASSED" if found.get("verdict") == "passed" else "FAILED",
        "configuration": [{"name": AUDIT, "uri": f"git+{candidate.local.labels.get(SOURCE, '')}"}],
        "passedTests": [AUDIT],
        "warnedTests": [],
        "failedTests": [],
        "audit": found,
    }


def make_vulnerability_report(scan: Json) -> Json:
    """Return the vulnerability report of a scan, with the whole of it as the scanner's result."""
    database = scan.get("database") or {}
    return {
        "invocation": {"parameters": None, "uri": "", "event_id": "", "builder.id": ""},
        "scanner": {
            "uri": "pkg:golang/github.com/aquasecurity/trivy",
            "version": scan.get("scanner", ""),
            "db": {"uri": database.get("source", ""), "version": "", "lastUpdate": database.get("updated", "")},
            "result": scan,
        },
        "metadata": {"scanStartedOn": scan.get("finished", ""), "scanFinishedOn": scan.get("finished", "")},
    }


# --- beside an image in a registry ---


def find_predicates(signer: Signer, reference: str) -> dict[str, list[Json]]:
    """Return the predicates that the signer has attested about an image, by their names in KINDS."""
    types = {kind for kind, _ in signer.list_signed(reference)}
    wanted = sorted(types & {kind for kind, _ in KINDS.values()})
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(KINDS)) as pool:
        predicates = pool.map(lambda kind: signer.find_attestations(reference, kind), wanted)
        found = dict(zip(wanted, predicates, strict=True))
    return {
        name: [each for each in found.get(kind, []) if not part or is_about(each, part)]
        for name, (kind, part) in KINDS.items()
    }


def is_about(test_result: Json, part: str) -> bool:
    """Tell whether a test result is the one of the checks or of the audit."""
    return [row.get("name") for row in test_result.get("configuration") or ()] == [part]


def attest_missing(repository: Repository, signer: Signer, candidate: Candidate, digest: str) -> list[str]:
    """Attest what the signer has not attested about the image yet; return the names of that."""
    reference = repository.refer(digest)
    there = find_predicates(signer, reference)
    missing = {name: each for name, each in make_predicates(candidate).items() if each not in there[name]}
    for name, predicate in missing.items():
        signer.attest(reference, KINDS[name][0], json.dumps(predicate).encode())
    return list(missing)


def compute_digest(candidates: Iterable[Candidate]) -> str:
    """Return the digest of all that is attested about some images."""
    return registry.compute_digest(json.dumps([make_predicates(each) for each in candidates]).encode())


def has_all(signer: Signer, reference: str) -> bool:
    """Tell whether an image has an attestation by each name in KINDS, whatever it says."""
    there = {kind for kind, _ in signer.list_signed(reference)}
    tests = signer.find_attestations(reference, TEST_RESULT) if TEST_RESULT in there else []
    return all(any(is_about(each, part) for each in tests) if part else kind in there for kind, part in KINDS.values())


def verify_attestations(repository: Repository, signer: Signer, manifest: Manifest) -> list[str]:
    """Return notes about an image's attestations; SlipwayError when one is missing or says that it is not in order.

    Each is bound to the image by the digest in what is signed; the SBOMs, the audit and the scan name its ID, too.
    """
    reference = repository.refer(manifest.digest)
    found = find_predicates(signer, reference)
    missing = [name for name in KINDS if not found[name]]
    if missing:
        raise SlipwayError(f"{reference} has no {', '.join(missing)} that {signer} attested; publish it again")
    own = {manifest.configuration, *(provenance.read_image(each) for each in found["provenance"])}
    notes = list(KINDS)
    for name, predicates in found.items():
        for predicate in predicates:
            if problem := find_problem(name, predicate, own):
                raise SlipwayError(f"{reference}: its {name} {problem}")
            if name == "scan" and predicate["scanner"]["result"]["verdict"] != "passed":
                notes.append("NOT SCANNED")
    return notes


def find_problem(name: str, predicate: Json, own: set[str]) -> str:
    """Return what is wrong with a predicate about an image with these IDs, or an empty string."""
    match name, predicate:
        case (("CycloneDX" | "SPDX"), _):
            return "" if sbom.find_image_ids(predicate) & own else "is about another image"
        case "provenance", _:
            return ""
        case "checks", {"result": result, "run": {"image": str(about)}}:
            is_passed = result == "PASSED"
        case "audit", {"result": result, "audit": {"image": str(about), "verdict": verdict}}:
            is_passed = result == "PASSED" and verdict == "passed"
        case "scan", {"scanner": {"result": {"image": str(about), "verdict": verdict}}}:
            is_passed = verdict in {"passed", "not scanned"}
        case _:
            return "is not what this version of Slipway attests"
    if about not in own:
        return "is about another image"
    return "" if is_passed else "says that the image is not in order"
