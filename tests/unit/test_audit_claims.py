"""What a claim must fit beside a digest: kind, layer, owner and rights of a file; settings of an image."""

import base64
import hashlib
import tarfile
from typing import Any

import pytest

from slipway import matrix
from slipway.audit import debian_packages, file_checks, package_checks, python_packages, settings, unpackaged_files
from slipway.audit.origins import read_origins
from slipway.audit.rules import RuleContext
from slipway.audit.state import Audit
from slipway.audit.unpackaged_files import UnpackagedFiles
from slipway.build.dockerfiles import Dockerfiles
from slipway.toml import read_toml
from tests.helpers.archives import Member, directory, file_system

IMAGE = matrix.load_matrix().find_image("cpu-base")
RULES = read_toml(unpackaged_files.FILE, UnpackagedFiles)
INSTALL, COPY = "RUN /bin/sh -c install tool", "COPY files /"
DOCKERFILES = Dockerfiles(["FROM system\nRUN install tool\nCOPY files /\n"])
STATUS = b"Package: tool\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n"
SITE = "opt/venv/lib/python3.13/site-packages"
RECORD = f"/{SITE}/evil-1.dist-info/RECORD"
# A program with its checksum, and a link to it without one, as dpkg has them.
PACKAGE: list[Member] = [
    directory("var/lib/dpkg/"),
    ("var/lib/dpkg/status", STATUS),
    ("var/lib/dpkg/info/tool.list", b"/.\n/usr\n/usr/bin\n/usr/bin/tool\n/usr/bin/t\n"),
    ("var/lib/dpkg/info/tool.md5sums", b"0cc175b9c0f1b6a831c399e269772661  usr/bin/tool\n"),
    directory("usr/bin/"),
    ("usr/bin/tool", b"a"),
]
LINK: Member = ("usr/bin/t", "tool")


def make_audit(*copied: Member, installed: list[Member] | None = None, **records: bytes) -> Audit:
    """Return the audit of an image with a package, and with files that were copied over it."""
    steps = [(INSTALL, installed or [*PACKAGE, LINK]), (COPY, list(copied))]
    system = file_system(*(steps if copied else steps[:1]))
    packages = debian_packages.read_packages(system.read_text(debian_packages.STATUS))
    claims = debian_packages.claim_files(system, packages)
    found = python_packages.find_distributions(system)
    for path, more in python_packages.claim_files(found).items():
        claims.setdefault(path, []).extend(more)
    return Audit(IMAGE, system, packages, found, claims, read_origins(system, DOCKERFILES))


def find_files(audit: Audit) -> dict[str, str]:
    """Return what is wrong with files, by their paths."""
    context = RuleContext(audit.system, audit.packages, {}, audit.origins)  # type: ignore[arg-type]
    file_checks.check_files(audit, RULES, context)
    return {finding.what: finding.detail for finding in audit.findings}


def find_rights(*members: Member) -> list[tuple[str, str]]:
    """Return the kinds and paths of what is wrong with the rights of files."""
    audit = make_audit(*members)
    file_checks.check_rights(audit)
    return [(finding.kind, finding.what) for finding in audit.findings]


def make_row(path: str, content: bytes) -> str:
    """Return a file's line in a RECORD."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(content)}\n"


def make_file(name: str, mode: int = 0o644, uid: int = 0, gid: int = 0, xattrs: str = "") -> tarfile.TarInfo:
    """Make an empty file with these rights and extended attributes."""
    member = tarfile.TarInfo(name)
    member.mode, member.uid, member.gid = mode, uid, gid
    member.pax_headers = {f"SCHILY.xattr.{xattr}": "1" for xattr in xattrs.split()}
    return member


# --- links of Debian's packages ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "detail"),
    [
        (("usr/bin/t", b"evil"), "deb:tool has no checksum of it, and it is no link"),
        (("usr/bin/t", "/data/evil"), "a link to /data/evil, which is not there"),
        (("usr/bin/t", "evil"), "a link to evil, which has no owner"),
    ],
)
@pytest.mark.requirement("N3")
def test_nothing_else_can_be_in_the_place_of_a_link(there: Member, detail: str) -> None:
    """Not even in the layer of the package."""
    evil: Member = ("usr/bin/evil", b"evil")
    found = find_files(make_audit(installed=[*PACKAGE, evil, there]))
    assert found.pop("/usr/bin/evil")
    assert found == {"/usr/bin/t": detail}


@pytest.mark.requirement("N3")
def test_a_link_of_another_layer_is_not_the_packages() -> None:
    assert find_files(make_audit()) == {}
    assert find_files(make_audit(LINK)) == {"/usr/bin/t": "it is not from the installation of deb:tool"}


@pytest.mark.requirement("N3")
def test_a_package_has_no_file_where_the_administrator_has() -> None:
    """A list of dpkg's can be written by whoever makes an image, and so can the checksums."""
    rows = b"0cc175b9c0f1b6a831c399e269772661  usr/bin/tool\n0cc175b9c0f1b6a831c399e269772661  usr/local/bin/t\n"
    listed: Member = ("var/lib/dpkg/info/tool.list", b"/.\n/usr/bin/tool\n/usr/bin/t\n/usr/local/bin/t\n")
    members = [*PACKAGE[:2], listed, ("var/lib/dpkg/info/tool.md5sums", rows), *PACKAGE[4:], LINK]
    assert [*find_files(make_audit(installed=[*members, ("usr/local/bin/t", b"a")]))] == ["/usr/local/bin/t"]


# --- RECORDs -------------------------------------------------------------------------------------


@pytest.mark.requirement("N3")
def test_a_record_owns_nothing_outside_its_environment() -> None:
    """What is built from source has a RECORD that no wheel is compared with."""
    rows = "".join(make_row(f"../../../../../usr/bin/{name}", b"evil") for name in ("tool", "new"))
    members: list[Member] = [(RECORD[1:], rows.encode()), ("usr/bin/tool", b"evil"), ("usr/bin/new", b"evil")]
    found = find_files(make_audit(*members))
    assert found.pop("/usr/bin/tool") == "it is not the file of deb:tool"
    assert "/usr/bin/new" in found


@pytest.mark.requirement("N3")
def test_a_record_that_is_compared_with_nothing_owns_no_file_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a package that is built from source: of a wheel's file only the wheel's RECORD tells the digest."""
    monkeypatch.setattr(file_checks, "read_source_packages", lambda: frozenset({"built"}))

    def record(name: str, **files: bytes) -> Member:
        rows = [make_row(f"{file}.py", content) for file, content in files.items()]
        return (f"{SITE}/{name}-1.dist-info/RECORD", "".join([*rows, f"{name}-1.dist-info/RECORD,,\n"]).encode())

    records = [record("built", wheel=b"evil", own=b"own"), record("zwheel", wheel=b"good")]
    files: list[Member] = [(f"{SITE}/wheel.py", b"evil"), (f"{SITE}/own.py", b"own")]
    assert find_files(make_audit(*records, *files)) == {f"/{SITE}/wheel.py": "it is not the file of pypi:zwheel"}
    files[0] = (f"{SITE}/wheel.py", b"good")
    assert find_files(make_audit(*records, *files)) == {}


@pytest.mark.parametrize(
    ("first", "own"),
    [
        (b"#!/opt/venv/bin/python", b"#!/tmp/python"),
        (b"#!/bin/sh", b"#!/bin/sh"),
        (b"#!/bin/sh", b"#!/tmp/python"),
        (b"#!/usr/bin/env python3", b"#!/tmp/python"),
        (b"#!/opt/venv/bin/python -c import evil;", b"#!/tmp/python"),
        (b"#!/opt/venv/bin/python", b"#!/bin/sh"),
        (b"#!/bin/bash", b"#!/bin/sh"),
    ],
)
@pytest.mark.requirement("N3")
def test_a_script_begins_as_in_its_wheel(first: bytes, own: bytes) -> None:
    """Or with the environment's Python, where the installer wrote its own. RECORD has the digest that fits."""

    def record(script: bytes) -> bytes:
        return f"{make_row('../../../bin/a', script)}evil-1.dist-info/RECORD,,\n".encode()

    scripts = first + b"\nx\n", own + b"\nx\n"
    audit = make_audit((RECORD[1:], record(scripts[0])), ("opt/venv/bin/a", scripts[0]))
    rows = tuple(python_packages.read_rows(record(scripts[1]).decode()))
    package_checks.check_record(
        audit, audit.distributions[0], python_packages.digest_record(rows, lambda _: scripts[1], "/tmp/python")
    )
    is_right = first == own or (first, own) == (b"#!/opt/venv/bin/python", b"#!/tmp/python")
    assert [finding.kind for finding in audit.findings] == ([] if is_right else ["record edited"])
    assert find_files(audit).keys() <= {RECORD}


# --- rights --------------------------------------------------------------------------------------

# It gives rights to the files that are made in it.
FOLDER = directory("usr/share")
FOLDER.pax_headers = {"SCHILY.xattr.system.posix_acl_default": "1"}


@pytest.mark.parametrize(
    ("member", "kind"),
    [
        (make_file("usr/bin/a", 0o4755), "set-ID"),
        (make_file("usr/bin/a", 0o2755), "set-ID"),
        (make_file("usr/bin/a", 0o757), "writable"),
        (make_file("usr/bin/a", 0o775), "writable"),
        (make_file("usr/bin/a", uid=1000), "foreign owner"),
        (make_file("usr/bin/a", gid=1000), "foreign owner"),
        (make_file("usr/bin/a", xattrs="security.capability"), "extended attribute"),
        (make_file("usr/bin/a", 0o755), ""),
        (FOLDER, "extended attribute"),
    ],
)
@pytest.mark.requirement("N3")
def test_a_file_gives_nobody_more_rights(member: tarfile.TarInfo, kind: str) -> None:
    assert find_rights(member) == ([(kind, f"/{member.name}")] if kind else [])


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"mode": 0o4755}, "set-ID"),
        ({"mode": 0o757}, "writable"),
        ({"uid": 1000}, "foreign owner"),
        ({"gid": 1000}, "foreign owner"),
        ({"xattrs": "security.capability"}, "extended attribute"),
    ],
)
@pytest.mark.requirement("N3")
def test_a_hard_link_gives_its_file_no_more_rights(changes: dict[str, Any], kind: str) -> None:
    """An engine gives the file the rights of each link, also of one that a later layer deletes."""
    links = make_file("usr/bin/b"), make_file("usr/bin/c", **changes)
    for member, target in zip(links, ("usr/bin/a", "usr/bin/b"), strict=True):
        member.type, member.linkname = tarfile.LNKTYPE, target
    members: list[Member] = [make_file("usr/bin/a"), *links]
    assert find_rights(*members) == [(kind, f"/usr/bin/{name}") for name in "abc"]
    system = file_system((COPY, members), ("RUN rm", [("usr/bin/.wh.c", b"")]))
    audit = Audit(IMAGE, system, {}, [], {}, read_origins(system, DOCKERFILES))
    file_checks.check_rights(audit)
    assert [(finding.kind, finding.what) for finding in audit.findings] == [(kind, f"/usr/bin/{name}") for name in "ab"]


def find_folders(*members: Member) -> list[str]:
    """Return the empty folders that nothing explains."""
    audit = make_audit(*members)
    context = RuleContext(audit.system, audit.packages, {}, audit.origins)  # type: ignore[arg-type]
    file_checks.check_folders(audit, RULES, context)
    return [finding.what for finding in audit.findings if finding.kind == "unowned"]


@pytest.mark.requirement("N3")
def test_an_empty_folder_has_an_owner() -> None:
    """A package, a rule, or the file that is in it or in a folder below."""
    assert find_folders(directory("usr/bin"), directory("srv/a/b"), ("srv/a/b/file", b"")) == []
    assert find_folders(directory("srv/a/b"), directory("srv/a/c"), ("srv/a/c/file", b"")) == ["/srv/a/b"]


@pytest.mark.requirement("N3")
def test_an_edited_list_of_dpkgs_owns_no_folder() -> None:
    """Where Debian's policy lets no package have one."""
    claims = ("var/lib/dpkg/info/tool.list", b"/srv/a\n/opt/a\n")
    assert find_folders(claims, directory("srv/a"), directory("opt/a")) == ["/opt/a"]


# --- settings ------------------------------------------------------------------------------------

INSTRUCTIONS = [
    "ENV PATH=/usr/bin A=b c D=e",
    'HEALTHCHECK &{["CMD" "healthcheck"] "30s"}',
    'ENTRYPOINT ["tini" "--"]',
    'CMD ["old"]',
    "USER 0:0",
    "USER 1000:0",
    'CMD ["serve"]',
]
SETTINGS: dict[str, Any] = {
    "Env": ["PATH=/usr/bin", "A=b c", "D=e"],
    "Entrypoint": ["tini", "--"],
    "Cmd": ["serve"],
    "User": "1000:0",
    "Healthcheck": {"Test": ["CMD", "healthcheck"]},
}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"Env": ["PATH=/usr/bin", "LD_PRELOAD=/x"]}, ["ENV LD_PRELOAD=/x"]),
        ({"Env": ["PATH=/usr/bin:/evil"]}, ["ENV PATH=/usr/bin:/evil"]),
        ({"Env": ["D=e:/evil"]}, ["ENV D=e:/evil"]),
        ({"Entrypoint": ["evil"]}, ['ENTRYPOINT ["evil"]']),
        ({"Cmd": ["old"]}, ['CMD ["old"]']),
        ({"User": "0:0"}, ["USER 0:0"]),
        ({"Healthcheck": {"Test": ["CMD", "true"]}}, ['HEALTHCHECK ["CMD" "true"]']),
        ({"OnBuild": ["RUN evil"]}, ['OnBuild ["RUN evil"]']),
    ],
)
def test_a_setting_is_that_of_the_last_instruction_about_it(changes: dict[str, Any], found: list[str]) -> None:
    """A setting without an instruction makes no layer, and so no other check sees it."""
    assert list(settings.find_foreign_settings(SETTINGS | changes, INSTRUCTIONS)) == found


def test_the_history_of_the_image_is_read() -> None:
    audit = make_audit()
    settings.check_settings(audit)
    assert audit.findings == []
    audit.system.image.config["config"]["User"] = "0:0"
    settings.check_settings(audit)
    assert [(finding.kind, finding.what) for finding in audit.findings] == [("foreign setting", "USER 0:0")]


def test_names_of_extended_attributes_are_read() -> None:
    """From each kind of entry."""
    members = [make_file("a", xattrs="user.b security.capability"), make_file("c")]
    system = file_system((COPY, [*members]))
    assert [system.find_entry(path).xattrs for path in ("/a", "/c")] == ["security.capability user.b", ""]
