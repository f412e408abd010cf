"""Checks of files and layers: the owner of each file, missing files, and the instructions that made the layers."""

import posixpath
from collections.abc import Collection, Iterable, Sequence

from slipway.audit import trims
from slipway.audit.findings import Claim, Finding
from slipway.audit.rules import RuleContext
from slipway.audit.state import Audit
from slipway.audit.unpackaged_files import UnpackagedFiles
from slipway.audit.wheel_records import read_source_packages
from slipway.image.filesystem import FileSystem
from slipway.image.layers import Kind

DEB, PYPI = "deb:", "pypi:"  # begin the owner of a claim
NO_PACKAGES = ("/usr/local/", "/opt/", "/data/", "/cache/", "/home/")  # Debian's policy, 9.1
SET_ID = 0o6000
WRITABLE = 0o022
SHADOW = ("/etc/shadow", "/etc/gshadow")  # belong to the group of this name wherever an account is made


def check_files(audit: Audit, rules: UnpackagedFiles, context: RuleContext) -> None:
    """Find files with another digest than their owner's, and files without an owner that no rule explains."""
    for path in audit.system.list_files():
        claims = [claim for claim in audit.claims.get(path, ()) if not is_false(claim, path)]
        if not claims:
            problem = context.find_problem(path, rules.rules)
            if problem is None:
                audit.owners["rules"] += 1
            else:
                audit.add_finding("unowned", path, problem)
        elif claim := next((each for each in choose_claims(claims) if each.matches(audit.system, path)), None):
            problem = find_link_problem(audit, path, claim, rules)
            if problem:
                audit.add_finding("changed", path, problem)
            else:
                audit.owners[claim.owner.partition(":")[0]] += 1
        else:
            audit.add_finding("changed", path, f"it is not the file of {choose_claims(claims)[0].owner}")


def check_folders(audit: Audit, rules: UnpackagedFiles, context: RuleContext) -> None:
    """Find empty folders that no package has and no rule explains.

    A folder with files is explained by theirs. Programs look for more than files: a folder of settings, of sockets, of
    a package's name.
    """
    used = set[str]()
    for path in audit.system.list_files():
        while (path := posixpath.dirname(path)) not in used:
            used.add(path)
    folders = (path for path, (entry, _) in audit.system.paths.items() if entry.kind is Kind.DIRECTORY)
    for path in sorted(path for path in folders if path not in used):
        is_unowned = all(is_false(claim, path) for claim in audit.claims.get(path, ()))
        if is_unowned and (problem := context.find_problem(path, rules.rules)):
            audit.add_finding("unowned", path, f"an empty folder: {problem}")


def is_false(claim: Claim, path: str) -> bool:
    """Tell whether a Debian package claims what no package may have: only a changed list of dpkg's does."""
    return claim.owner.startswith(DEB) and path.startswith(NO_PACKAGES)


def choose_claims(claims: Sequence[Claim]) -> Sequence[Claim]:
    """Return the claims that count.

    What Debian's packages claim, no other owner can; nor can a distribution that is built from source, whose RECORD is
    compared with nothing, claim what another owner has.
    """
    built = {f"{PYPI}{name}" for name in read_source_packages()}
    debian = [claim for claim in claims if claim.owner.startswith(DEB)]
    compared = [claim for claim in claims if claim.owner not in built]
    return debian or compared or claims


def find_link_problem(audit: Audit, path: str, claim: Claim, rules: UnpackagedFiles) -> str:
    """Return why a path is not what a Debian package without a checksum for it has there, or an empty string.

    dpkg has checksums of all files and stores no targets of links. So the path must be a link from the installation of
    its package, to a folder, to a file of a package or to one that a rule is about.
    """
    if claim.digest or not claim.owner.startswith(DEB):
        return ""
    entry = audit.system.paths[path][0]
    if entry.kind is not Kind.SYMLINK:
        return f"{claim.owner} has no checksum of it, and it is no link"
    if not is_from_installation(audit, path, [claim]):
        return f"it is not from the installation of {claim.owner}"
    target = audit.system.resolve_links(path)
    if target in audit.claims:
        return ""
    if target not in audit.system:
        return f"a link to {entry.target}, which is not there"
    is_folder = audit.system.paths[target][0].kind is Kind.DIRECTORY
    is_known = is_folder or any(rule.pattern.fullmatch(target) for rule in rules.rules if rule.check != "link")
    return "" if is_known else f"a link to {entry.target}, which has no owner"


def is_from_installation(audit: Audit, path: str, claims: Iterable[Claim]) -> bool:
    """Tell whether a path is from the layer that installed a Debian package that has it."""
    owners = [claim.owner.removeprefix(DEB) for claim in claims if claim.owner.startswith(DEB)]
    lists = [f"{audit.packages[owner].info_prefix}.list" for owner in owners]
    return any(audit.system.find_layer(path) == audit.system.find_layer(file) for file in lists)


def check_missing(audit: Audit, rules: UnpackagedFiles, found: Collection[trims.Trim]) -> None:
    """Find files of packages and distributions that the image lacks and no rule or trim leaves out."""
    missing = [path for path in audit.claims if path not in audit.system]
    for path in missing:
        claim = audit.claims[path][0]
        if not rules.leaves_out(path) and not any(trim.matches.fullmatch(path) for trim in found):
            audit.findings.append(Finding("deleted", path, f"{claim.owner} has it", *find_deletion(audit.system, path)))
    audit.findings += trims.check_trims(found, audit.system, missing)


def find_deletion(system: FileSystem, path: str) -> tuple[int | None, str]:
    """Return the layer that deleted a path, None if no layer did, and its instruction."""
    for number in reversed(range(len(system.image.layers))):
        hidden = (e.path for e in system.image.layers[number].entries if e.kind in (Kind.WHITEOUT, Kind.OPAQUE))
        if any(path == folder or path.startswith(f"{folder}/") for folder in hidden):
            return number, system.find_instruction(number)
    return None, ""


def check_rights(audit: Audit) -> None:
    """Find files that give more rights than a Debian package's installation gives, and those that others may write.

    Each entry of a file with hard links counts. Of a folder only the extended attributes are examined.
    """
    for path, (own, number) in audit.system.paths.items():
        entries = audit.system.list_headers(path)
        if xattrs := sorted({name for entry in entries for name in entry.xattrs.split()}):
            audit.add_finding("extended attribute", path, f"it has {' '.join(xattrs)}")
        if own.kind not in (Kind.FILE, Kind.HARDLINK):
            continue
        if mode := next((entry.mode for entry in entries if entry.mode & WRITABLE), 0):
            audit.add_finding("writable", path, f"mode {mode:o}: others than its owner may write it")
        is_packages = number < audit.origins.base or number in audit.origins.package_layers or path in SHADOW
        if foreign := next((e for e in entries if e.uid or (e.gid and not is_packages)), None):
            audit.add_finding("foreign owner", path, f"it belongs to {foreign.uid}:{foreign.gid}")
        set_id = next((entry.mode for entry in entries if entry.mode & SET_ID), 0)
        if set_id and not is_from_installation(audit, path, audit.claims.get(path, ())):
            audit.add_finding("set-ID", path, f"mode {set_id:o} is not from the installation of a Debian package")


def check_instructions(audit: Audit) -> None:
    """Find instructions of the image's history, above the base image, that are in no Dockerfile."""
    for layer, text in audit.origins.foreign:
        kind, what = ("foreign instruction", text) if layer is None else ("foreign layer", f"layer {layer}")
        audit.findings.append(Finding(kind, what, "no Dockerfile of the image has this instruction", layer, text))
