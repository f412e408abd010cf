"""Compares Debian packages with the Dockerfiles, Python distributions with the locks, and both with the SBOM."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.utils import canonicalize_name

from slipway import repository
from slipway.audit import debian_packages, npm_files, python_packages, wheel_records
from slipway.audit.findings import Finding
from slipway.audit.python_packages import Distribution
from slipway.audit.state import Audit
from slipway.matrix import Image
from slipway.python_locks import Requirement, read_locks
from slipway.sbom import Component

VENV = "/opt/venv/"


def check_packages(audit: Audit) -> None:
    """Find Debian packages that no instruction names, except dependencies of named ones."""
    origins = audit.origins
    needed = debian_packages.find_dependencies(audit.packages, origins.named | origins.base_packages)
    for name in sorted((set(audit.packages) - needed) | (set(audit.packages) & set(origins.unnamed))):
        package = audit.packages[name]
        if name in needed:
            reason = f"it was requested from apt, and the instruction of layer {origins.unnamed[name]} does not name it"
        else:
            reason = "no instruction names it, and no named package depends on it"
        audit.add_finding(
            "outside the lock", f"deb:{name}", f"{package.version}: {reason}", f"{package.info_prefix}.list"
        )


def check_distributions(audit: Audit, records: wheel_records.Records) -> None:
    """Compare the Python distributions with the locks: name, version and RECORD."""
    for folder, files in list_environments(audit.contract).items():
        inside = [distribution for distribution in audit.distributions if distribution.record.startswith(folder)]
        check_environment(audit, inside, read_locks(files), records)
    folders = tuple(list_environments(audit.contract))
    elsewhere = [distribution for distribution in audit.distributions if not distribution.record.startswith(folders)]
    for distribution in elsewhere:
        if not any(claim.owner.startswith("deb:") for claim in audit.claims.get(distribution.record, ())):
            detail = f"{distribution.version}: it is in no environment that has a lock"
            audit.add_finding("outside the lock", f"pypi:{distribution.name}", detail, distribution.record)


def list_environments(contract: Image) -> dict[str, list[Path]]:
    """Return the locks of each Python environment by its folder."""
    found = {VENV: contract.locks}
    if contract.workload and contract.workload.arguments.get("ELYRA") == "true":
        found["/opt/elyra/"] = [repository.ROOT / "requirements" / "elyra.txt"]
    return found


def check_environment(
    audit: Audit,
    inside: list[Distribution],
    locked: Mapping[str, dict[str, Requirement]],
    records: wheel_records.Records,
) -> None:
    """Compare the distributions of one environment with its locks."""
    environment = wheel_records.name_image_environment(audit.contract)
    for distribution in inside:
        versions = locked.get(distribution.name, {})
        what = f"pypi:{distribution.name}"
        if not versions:
            detail = f"{distribution.version}: no lock has it"
            audit.add_finding("outside the lock", what, detail, distribution.record)
        elif distribution.version not in versions:
            detail = f"{distribution.version} where the lock has {', '.join(versions)}"
            audit.add_finding("other version", what, detail, distribution.record)
        else:
            check_record(audit, distribution, records.find_digest(versions[distribution.version], environment))
    for name in sorted(set(locked) - {distribution.name for distribution in inside}):
        audit.findings.append(Finding("not installed", f"pypi:{name}", "the lock has it"))


def check_record(audit: Audit, distribution: Distribution, expected: str) -> None:
    """Compare a RECORD, which could be changed with its files, with that of the locked wheel."""
    if distribution.name in wheel_records.read_source_packages():
        name = distribution.name
        audit.notes.append(
            f"pypi:{name} is built from source: its files have no digest outside the image, and its RECORD can name "
            "any file of its environment that has no other owner."
        )
        return
    if not expected:
        audit.add_finding("no record", distribution.record, "requirements/records.list lacks it: run nox -s lock")
        return
    found = python_packages.digest_record(
        distribution.rows,
        lambda row: audit.system.read_content(distribution.make_path(row)),
        f"{distribution.environment}/bin/python",
    )
    if found != expected:
        wheel = f"the locked wheel of {distribution.name} {distribution.version}"
        detail = (
            f"it is not that of {wheel}, or a script's first line is neither the wheel's nor the environment's Python"
        )
        audit.add_finding("record edited", distribution.record, detail)


def check_npm_packages(audit: Audit) -> None:
    """Find npm packages of which an image lacks files that it should have; npm.list tells not which."""
    if audit.contract.workload:
        for package, number in npm_files.count_missing(audit.system).items():
            audit.add_finding("deleted", f"npm:{package}", f"it lacks {number} of the package's files", package)


# --- the SBOM ------------------------------------------------------------------------------------


def check_sbom(audit: Audit, components: Iterable[Component]) -> None:
    """Compare Syft's list with dpkg's database, the Python metadata and code-server's lock."""
    listed = {
        (c.kind, canonicalize_name(c.name) if c.kind == "pypi" else c.name, c.version)
        for c in components
        if c.kind in ("deb", "pypi") or (c.kind == "npm" and npm_files.is_locked(c.path))
    }
    inside = {("deb", package.name, package.version) for package in audit.packages.values()}
    inside |= {("pypi", name, version) for name, version in python_packages.read_metadata(audit.system)}
    if f"{npm_files.CODE_SERVER}/node_modules/code-server/package.json" in audit.system:
        inside |= {("npm", name, version) for name, version in npm_files.list_packages()}
    for kind, name, version in sorted(inside - listed):
        audit.findings.append(Finding("not in the SBOM", f"{kind}:{name}", version))
    for kind, name, version in sorted(listed - inside):
        audit.findings.append(Finding("only in the SBOM", f"{kind}:{name}", version))
