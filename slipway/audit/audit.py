"""Compares an image with its locks and its SBOM, file by file.

    python -m slipway.audit cpu-base                    the image that was built here
    python -m slipway.audit cpu-base --image REFERENCE  another image, against the same contract

Each file must belong to a Debian package (MD5 as dpkg has it), a Python distribution (SHA-256 as its RECORD has it, and
the RECORD that of the locked wheel), this repository, or a rule of generated.toml. Leaves dist/<image>/audit.json; exit
code 1 when there are findings.
"""

import argparse
import datetime
import hashlib
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from slipway import matrix, repository, results, sbom
from slipway.audit import (
    debian_packages,
    display,
    dockerfiles,
    licenses,
    python_packages,
    rules,
    syft,
    trims,
    wheel_records,
)
from slipway.audit.debian_packages import Package
from slipway.audit.findings import Claim, Claims, Finding, at
from slipway.audit.licenses import Licenses
from slipway.audit.python_packages import Distribution
from slipway.audit.rules import Judge
from slipway.image import saved_image
from slipway.image.filesystem import FileSystem
from slipway.image.layers import Entry, Kind
from slipway.matrix import Image
from slipway.python_locks import Requirement, read_locks
from slipway.sbom import Component
from slipway.toml import read_toml

SET_ID = 0o6000
VENV = "/opt/venv/"
LIMITS = (
    "A Debian package is taken at dpkg's word: its checksums lie in the image, and nothing outside it has them.",
    "A file that a rule explains by the instruction of its layer alone has no digest outside the image.",
    "Bytecode is compared with its source by its header, and must be of the same layer; it is not compiled again.",
)


@dataclass
class Audit:
    """One image under audit: what was read of it, whose its files are, what was found."""

    contract: Image
    system: FileSystem
    packages: Mapping[str, Package]
    distributions: list[Distribution]
    claims: Claims
    findings: list[Finding] = field(default_factory=list)
    owners: Counter[str] = field(default_factory=Counter)
    licenses: Licenses = field(default_factory=Licenses)
    notes: list[str] = field(default_factory=lambda: list(LIMITS))

    @property
    def missing(self) -> list[str]:
        """The paths that a package or a distribution claims and that are not there."""
        return [path for path in self.claims if path not in self.system]

    def blame(self, kind: str, path: str, detail: str) -> None:
        """Note a finding about a file that is there."""
        self.findings.append(at(self.system, kind, path, detail))


def begin(contract: Image, reference: str) -> Audit:
    """Read an image of the engine."""
    system = FileSystem(saved_image.read_image(reference))
    packages = debian_packages.read_packages(system.text(debian_packages.STATUS))
    found = python_packages.find(system)
    claims = debian_packages.claims(system, packages)
    for path, more in (*python_packages.claims(found).items(), *own_files(contract).items()):
        claims.setdefault(path, []).extend(more)
    return Audit(contract, system, packages, found, claims)


def own_files(contract: Image) -> Claims:
    """Return what this repository copies into an image: docker/rootfs/ and app/."""
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


# --- file by file --------------------------------------------------------------------------------


def check_files(audit: Audit, rules: rules.Generated, judge: Judge) -> None:
    """Find the owner of each file, and what is wrong with those that have none."""
    for path in audit.system.files():
        claims = audit.claims.get(path)
        if claims is None:
            problem = judge.problem(path, rules.rules)
            if problem is None:
                audit.owners["generated"] += 1
            else:
                audit.blame("unowned", path, problem)
        elif holder := find_holder(audit.system, path, claims):
            audit.owners[holder.owner.partition(":")[0]] += 1
        else:
            audit.blame("changed", path, f"it is not the file of {claims[0].owner}")


def find_holder(system: FileSystem, path: str, claims: Iterable[Claim]) -> Claim | None:
    """Return the claim that a file meets. A link or a device has no content; its name is all that an owner knows."""
    content = system.paths[path][0].kind in (Kind.FILE, Kind.HARDLINK)
    return next((claim for claim in claims if (not content and not claim.digest) or claim.holds(system, path)), None)


def check_missing(audit: Audit, rules: rules.Generated, found: Collection[trims.Trim]) -> None:
    """Name what a package or distribution has and the image lacks, unless it is left out on purpose."""
    missing = audit.missing
    for path in missing:
        claim = audit.claims[path][0]
        if not rules.leaves_out(path) and not any(trim.matches.fullmatch(path) for trim in found):
            audit.findings.append(Finding("deleted", path, f"{claim.owner} has it", *deleter(audit.system, path)))
    audit.findings += trims.problems(found, audit.system, missing)


def deleter(system: FileSystem, path: str) -> tuple[int | None, str]:
    """Return the layer whose whiteout took a path away, and its instruction."""
    for number in reversed(range(len(system.image.layers))):
        hidden = (e.path for e in system.image.layers[number].entries if e.kind in (Kind.WHITEOUT, Kind.OPAQUE))
        if any(path == folder or path.startswith(f"{folder}/") for folder in hidden):
            return number, system.instruction(number)
    return None, ""


def check_rights(audit: Audit) -> None:
    """Find programs that act with more rights than their user: only a package gives them, when it is installed."""
    for path in audit.system.files():
        entry = audit.system.entry(path)
        if entry.kind in (Kind.FILE, Kind.HARDLINK) and entry.mode & SET_ID:
            owners = [c.owner.removeprefix("deb:") for c in audit.claims.get(path, ()) if c.owner.startswith("deb:")]
            lists = [f"{audit.packages[owner].documents}.list" for owner in owners]
            if not any(audit.system.layer(path) == audit.system.layer(file) for file in lists):
                audit.blame("set-ID", path, f"mode {entry.mode:o} is not from the installation of a Debian package")


def check_twice(audit: Audit) -> None:
    """Find paths that a layer has twice: which one counts is up to who unpacks it."""
    for number, layer in enumerate(audit.system.image.layers):
        for path, times in Counter(entry.path for entry in layer.entries if is_thing(entry)).items():
            if times > 1:
                detail = f"{times} times in one layer"
                audit.findings.append(Finding("twice", path, detail, number, audit.system.instruction(number)))


def check_layers(audit: Audit, base: int) -> None:
    """Find layers above the base image that no instruction of the Dockerfiles made."""
    text = dockerfiles.instructions(audit.contract)
    for number in range(base, len(audit.system.image.layers)):
        made_by = audit.system.instruction(number)
        if not made_by or not dockerfiles.is_own(made_by, text):
            detail = "no Dockerfile of the image has this instruction"
            audit.findings.append(Finding("foreign layer", f"layer {number}", detail, number, made_by))


def is_thing(entry: Entry) -> bool:
    """Tell a file or link from a folder and from what says that something is gone."""
    return entry.kind in (Kind.FILE, Kind.HARDLINK, Kind.SYMLINK, Kind.DEVICE)


# --- packages against the Dockerfile, distributions against the locks ----------------------------


def check_packages(audit: Audit) -> None:
    """Require that the Dockerfiles name what apt was asked for, and that all else is what that depends on."""
    asked = dockerfiles.find_asked(audit.system, audit.packages)
    text = dockerfiles.instructions(audit.contract)
    named = dockerfiles.find_named(audit.system, audit.packages, asked, text)
    needed = debian_packages.reached(audit.packages, named | debian_packages.of_layer(audit.system, 0))
    for name in sorted(set(audit.packages) - needed):
        package = audit.packages[name]
        detail = f"{package.version}: no Dockerfile asks for it, and nothing that one asks for depends on it"
        audit.findings.append(at(audit.system, "outside the lock", f"deb:{name}", detail, f"{package.documents}.list"))


def check_distributions(audit: Audit, known: wheel_records.Records) -> None:
    """Compare Python's distributions with the locks: name, version, and what the RECORD says."""
    for folder, files in environments(audit.contract).items():
        inside = [one for one in audit.distributions if one.record.startswith(folder)]
        check_environment(audit, inside, read_locks(files), known)
    elsewhere = [one for one in audit.distributions if not one.record.startswith(tuple(environments(audit.contract)))]
    for one in elsewhere:
        if not any(claim.owner.startswith("deb:") for claim in audit.claims.get(one.record, ())):
            detail = f"{one.version}: it is in no environment that a lock is for"
            audit.findings.append(at(audit.system, "outside the lock", f"pypi:{one.name}", detail, one.record))


def environments(contract: Image) -> dict[str, list[Path]]:
    """Return the folders that have Python distributions, with the locks that they are installed from."""
    found = {VENV: contract.locks}
    if contract.workload and contract.workload.arguments.get("ELYRA") == "true":
        found["/opt/elyra/"] = [repository.ROOT / "requirements" / "elyra.txt"]
    return found


def check_environment(
    audit: Audit, inside: list[Distribution], locked: Mapping[str, dict[str, Requirement]], known: wheel_records.Records
) -> None:
    """Compare the distributions of one environment with its locks."""
    environment = wheel_records.environment_of(audit.contract)
    for one in inside:
        versions = locked.get(one.name, {})
        what = f"pypi:{one.name}"
        if not versions:
            detail = f"{one.version}: no lock has it"
            audit.findings.append(at(audit.system, "outside the lock", what, detail, one.record))
        elif one.version not in versions:
            detail = f"{one.version} where the lock has {', '.join(versions)}"
            audit.findings.append(at(audit.system, "other version", what, detail, one.record))
        else:
            check_record(audit, one, known.of(versions[one.version], environment))
    for name in sorted(set(locked) - {one.name for one in inside}):
        audit.findings.append(Finding("not installed", f"pypi:{name}", "the lock has it"))


def check_record(audit: Audit, one: Distribution, expected: str) -> None:
    """Compare a RECORD with that of the locked wheel: it lies in the image beside the files that it speaks of."""
    if one.name in wheel_records.BUILT:
        audit.notes.append(f"pypi:{one.name} is built from source: nothing outside the image has its files' digests.")
        return
    if not expected:
        audit.findings.append(
            at(audit.system, "no record", one.record, "requirements/records.list lacks it: run nox -s lock")
        )
        return
    found = python_packages.digest_of(one.rows, lambda row: audit.system.content(one.path(row)))
    if found != expected:
        detail = f"it is not the one of the locked wheel of {one.name} {one.version}"
        audit.blame("record edited", one.record, detail)
    if script := python_packages.shebang_problem(audit.system, one):
        audit.blame("changed", script, "it is not run by its environment's Python")


# --- the SBOM ------------------------------------------------------------------------------------


def check_sbom(audit: Audit, components: Iterable[Component]) -> None:
    """Compare what Syft lists with what the image's own databases say, and code-server's packages with their lock."""
    listed = {
        (c.kind, canonicalize_name(c.name) if c.kind == "pypi" else c.name, c.version)
        for c in components
        if c.kind in ("deb", "pypi") or (c.kind == "npm" and rules.is_locked(c.path))
    }
    inside = {("deb", package.name, package.version) for package in audit.packages.values()}
    inside |= {("pypi", name, version) for name, version in python_packages.named(audit.system)}
    if f"{rules.NPM}/node_modules/code-server/package.json" in audit.system:
        inside |= {("npm", name, version) for name, version in rules.locked_packages()}
    for kind, name, version in sorted(inside - listed):
        audit.findings.append(Finding("not in the SBOM", f"{kind}:{name}", version))
    for kind, name, version in sorted(listed - inside):
        audit.findings.append(Finding("only in the SBOM", f"{kind}:{name}", version))


# --- the whole -----------------------------------------------------------------------------------


def perform(contract: Image, image_id: str, components: list[Component]) -> Audit:
    """Make all comparisons of one image."""
    audit = begin(contract, image_id)
    generated, known, cut = read_toml(rules.FILE, rules.Generated), wheel_records.load(), trims.of_image(contract)
    judge = Judge(audit.system, audit.packages, known)
    check_files(audit, generated, judge)
    check_layers(audit, judge.base)
    check_missing(audit, generated, cut)
    check_rights(audit)
    check_twice(audit)
    check_packages(audit)
    check_distributions(audit, known)
    check_sbom(audit, components)
    scanned = licenses.of_trivy(contract.results / "trivy.json", image_id)
    audit.licenses = licenses.judge(components, read_toml(licenses.FILE, licenses.Policy), scanned)
    audit.findings += audit.licenses.findings
    audit.findings.sort(key=lambda finding: (finding.kind, finding.what))
    return audit


def report(audit: Audit, image_id: str, seconds: float) -> dict[str, Any]:
    """Return audit.json."""
    explained = sum(audit.owners.values())
    return {
        "image": image_id,
        "verdict": "failed" if audit.findings else "passed",
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "files": {"all": sum(1 for _ in audit.system.files()), "explained": explained, "owners": dict(audit.owners)},
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
    components = sbom.components(syft.provide(contract, image_id, folder))
    started = time.monotonic()
    audit = perform(contract, image_id, components)
    result = report(audit, image_id, time.monotonic() - started)
    results.write_json(Path(folder) / "audit.json", result)
    display.show(contract.name, result, audit.findings)
    return 0 if result["verdict"] == "passed" else 1
