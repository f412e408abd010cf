"""Compares an image with its locks and its SBOM, file by file.

    python -m slipway.audit cpu-base                    the image that was built here
    python -m slipway.audit cpu-base --image REFERENCE  another image, against the same contract

Each file must belong to a Debian package (MD5 in dpkg's database), a Python distribution (SHA-256 in its RECORD, which
is compared with the locked wheel's), this repository, or a rule of policy/unpackaged-files.toml. Writes
dist/IMAGE/audit.json; exit code 1 when there are findings.
"""

import argparse
import datetime
import hashlib
import time
from pathlib import Path
from typing import Any

from slipway import matrix, repository, results, sbom
from slipway.audit import (
    debian_packages,
    display,
    duplicates,
    file_checks,
    licenses,
    package_checks,
    python_packages,
    settings,
    syft,
    trims,
    unpackaged_files,
)
from slipway.audit.duplicates import DuplicatesToml
from slipway.audit.findings import Claim, Claims
from slipway.audit.origins import read_origins
from slipway.audit.rules import RuleContext
from slipway.audit.state import Audit
from slipway.audit.unpackaged_files import UnpackagedFiles
from slipway.audit.wheel_records import read_records
from slipway.build import images
from slipway.build.commit import find_commit, list_context
from slipway.build.dockerfiles import read_dockerfiles
from slipway.build.labels import COMMIT
from slipway.errors import SlipwayError
from slipway.image import saved_image
from slipway.image.filesystem import FileSystem
from slipway.image.layers import SavedImage
from slipway.matrix import Image
from slipway.sbom import Component
from slipway.toml import read_toml

# What decides the verdict beside the image and its SBOM.
RULES = ("policy", "requirements", "slipway/audit", "slipway/image")


def require_commit(contract: Image, image_id: str) -> None:
    """Raise SlipwayError when the files that an image was built from differ from those of the checkout.

    An image that was built from uncommitted files is compared with the files that are there.
    """
    commit = (images.inspect_labels(image_id) or {}).get(COMMIT, "")
    if commit and not commit.endswith("-dirty") and commit != find_commit(list_context(contract)):
        raise SlipwayError(
            f"{contract.name} was built from commit {commit[:12]}, and files of its build are others now: "
            f"git checkout {commit[:12]}, or nox -s build -- {contract.name}"
        )


def find_owners(contract: Image, image: SavedImage) -> Audit:
    """Find the owners of an image's files and the origins of its layers."""
    system = FileSystem(image)
    packages = debian_packages.read_packages(system.read_text(debian_packages.STATUS))
    found = python_packages.find_distributions(system)
    claims = debian_packages.claim_files(system, packages)
    for path, more in (*python_packages.claim_files(found).items(), *claim_repository_files(contract).items()):
        claims.setdefault(path, []).extend(more)
    return Audit(contract, system, packages, found, claims, read_origins(system, read_dockerfiles(contract)))


def claim_repository_files(contract: Image) -> Claims:
    """Return this repository's claims to the files that it copies into an image: docker/rootfs/ and app/."""
    targets = ("variant", *(contract.workload.targets if contract.workload else ()))
    folders = [(repository.ROOT / "docker" / "rootfs" / target, "/") for target in targets]
    found: Claims = {}
    for folder, root in (*folders, (repository.ROOT / "app", "/opt/app/app/")):
        for file in folder.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                digest = hashlib.sha256(file.read_bytes()).hexdigest()
                claim = Claim("repository", "sha256", digest)
                found[root + file.relative_to(folder).as_posix()] = [claim]
    return found


def audit_files(contract: Image, image: SavedImage) -> Audit:
    """Run the checks that need nothing but the image and this repository."""
    audit = find_owners(contract, image)
    rules, records = read_toml(unpackaged_files.FILE, UnpackagedFiles), read_records()
    context = RuleContext(audit.system, audit.packages, records, audit.origins)
    file_checks.check_files(audit, rules, context)
    file_checks.check_folders(audit, rules, context)
    file_checks.check_instructions(audit)
    file_checks.check_missing(audit, rules, trims.find_trims(contract))
    file_checks.check_rights(audit)
    audit.findings += duplicates.find_duplicates(audit.system, read_toml(duplicates.FILE, DuplicatesToml).copies)
    settings.check_settings(audit)
    package_checks.check_packages(audit)
    package_checks.check_distributions(audit, records)
    package_checks.check_npm_packages(audit)
    unchecked = sorted(context.unchecked.items())
    audit.notes += [f"{number} files are known by their layer alone: {why}" for why, number in unchecked if number]
    return audit


def audit_image(contract: Image, image_id: str, components: list[Component]) -> Audit:
    """Run all checks on an image of the engine."""
    audit = audit_files(contract, saved_image.read_image(image_id))
    package_checks.check_sbom(audit, components)
    scanned = licenses.read_trivy(contract.results / "trivy.json", image_id)
    audit.licenses = licenses.check_licenses(components, read_toml(licenses.FILE, licenses.Policy), scanned)
    audit.findings += audit.licenses.findings
    audit.findings.sort(key=lambda finding: (finding.kind, finding.what))
    return audit


def make_report(audit: Audit, image_id: str, seconds: float) -> dict[str, Any]:
    """Return the content of audit.json."""
    explained = sum(audit.owners.values())
    return {
        "image": image_id,
        "verdict": "failed" if audit.findings else "passed",
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "files": {
            "all": sum(1 for _ in audit.system.list_files()),
            "explained": explained,
            "owners": dict(audit.owners),
        },
        "packages": {"deb": len(audit.packages), "pypi": len(audit.distributions)},
        "licenses": {
            "known": dict(sorted(audit.licenses.known.items())),
            "accepted": audit.licenses.accepted,
            "proprietary": audit.licenses.proprietary,
            "unknown": sorted(audit.licenses.unknown),
        },
        "findings": [finding.as_json() for finding in audit.findings],
        "limits": audit.notes,
    }


def main() -> int:
    """Audit one image."""
    parser = argparse.ArgumentParser(prog="python -m slipway.audit")
    parser.add_argument("name", help="an image of images.toml, such as cpu-base")
    parser.add_argument("--image", metavar="REFERENCE", help="audit this image against the contract of the one named")
    options = parser.parse_args()
    contract = matrix.load_matrix().find_image(options.name)
    reference = options.image or contract.tag
    folder = contract.results / "of-another" if options.image else contract.results
    image_id = saved_image.find_id(reference)
    require_commit(contract, image_id)
    listed = syft.provide_sbom(contract, image_id, folder)
    components = sbom.read_components(listed)
    started = time.monotonic()
    audit = audit_image(contract, image_id, components)
    result = make_report(audit, image_id, time.monotonic() - started)
    result["program"] = sbom.find_program(results.read_json(listed))
    result["commit"] = repository.describe_head(*RULES)
    result["sbom"] = results.digest_file(listed)
    result["trivy"] = results.digest_file(contract.results / "trivy.json")
    results.write_json(Path(folder) / "audit.json", result)
    display.show_audit(contract.name, result, audit.findings)
    return 0 if result["verdict"] == "passed" else 1
