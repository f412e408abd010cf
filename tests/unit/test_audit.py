"""The parts of an audit: packages, distributions, rules for unpackaged files, trims, licenses, the SBOM."""

import hashlib
import importlib.util
import json
import shutil
import struct
import tarfile
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway import docker, matrix, python_locks, repository, results, sbom, tools
from slipway.audit import (
    audit,
    debian_packages,
    duplicates,
    file_checks,
    globs,
    licenses,
    npm_files,
    package_checks,
    python_packages,
    syft,
    trims,
    unpackaged_files,
    wheel_records,
)
from slipway.audit.findings import Claim
from slipway.audit.licenses import Policy
from slipway.audit.origins import Origins, read_origins
from slipway.audit.rules import RuleContext
from slipway.audit.state import Audit
from slipway.audit.trims import Trim
from slipway.audit.unpackaged_files import UnpackagedFiles
from slipway.build.dockerfiles import Dockerfiles
from slipway.build.labels import COMMIT
from slipway.errors import SlipwayError
from slipway.image import saved_image
from slipway.image.filesystem import FileSystem
from slipway.sbom import Component
from slipway.toml import read_toml
from tests.helpers.archives import Member, directory, file_system, special
from tests.helpers.programs import write_program

MATRIX = matrix.load_matrix()
APT = "RUN /bin/sh -c install tool"
OTHER = "RUN /bin/sh -c other"
COPY = "COPY files /"
DOCKERFILES = Dockerfiles(["FROM system\nRUN install tool\nRUN other\nCOPY files /\n"])
Content = tuple[str, list[Member]]


# --- Debian's packages ---------------------------------------------------------------------------

STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Version: 2.41-12
Conffiles:
 /etc/ld.so.conf.d/x.conf d4e7a7b88a71b5ffd9e2644e71a0cfab
 /etc/gone 00000000000000000000000000000000 obsolete

Package: tool
Status: install ok installed
Architecture: all
Version: 1:2+b1
Pre-Depends: libc6 (>= 2.3)
Depends: mail-agent | exim4, python3:any

Package: postfix
Status: install ok installed
Version: 3
Provides: mail-agent (= 3)

Package: removed
Status: deinstall ok config-files
Version: 1

Package: stray
Status: install ok installed
Version: 1
"""


def test_packages_are_read_from_dpkgs_status() -> None:
    found = debian_packages.read_packages(STATUS)
    assert list(found) == ["libc6", "tool", "postfix", "stray"]
    assert found["tool"].version == "1:2+b1"
    assert [sorted(choice) for choice in found["tool"].depends] == [["libc6"], ["exim4", "mail-agent"], ["python3"]]
    assert found["libc6"].info_prefix == "/var/lib/dpkg/info/libc6:amd64"
    assert found["libc6"].conffiles == {"/etc/ld.so.conf.d/x.conf": "d4e7a7b88a71b5ffd9e2644e71a0cfab"}
    assert debian_packages.read_packages("\0\n\n: :\nPackage\n\nStatus: install ok installed\n") == {}


def test_dependencies_are_found_by_provided_names() -> None:
    """Packages that nothing depends on are not included."""
    found = debian_packages.read_packages(STATUS)
    assert debian_packages.find_dependencies(found, {"tool"}) == {"tool", "libc6", "postfix"}


def test_a_diverted_file_lies_where_the_diversion_says() -> None:
    """And a list that names /lib means /usr/lib, where the one is a link to the other."""
    files: list[Member] = [
        ("lib", "usr/lib"),
        ("var/lib/dpkg/diversions", b"/lib/a\n/lib/a.other\nstray\n"),
        ("var/lib/dpkg/info/libc6:amd64.list", b"/.\n/lib\n/lib/a\n/etc/ld.so.conf.d/x.conf\n"),
        ("var/lib/dpkg/info/libc6:amd64.md5sums", b"0cc175b9c0f1b6a831c399e269772661  lib/a\n"),
        ("usr/lib/a.other", b"a"),
        ("etc/ld.so.conf.d/x.conf", b"changed"),
    ]
    image = file_system((APT, files))
    claims = debian_packages.claim_files(image, debian_packages.read_packages(STATUS))
    assert claims["/usr/lib/a.other"][0].matches(image, "/usr/lib/a.other")
    assert "/usr/lib/a" not in claims
    assert not claims["/etc/ld.so.conf.d/x.conf"][0].matches(image, "/etc/ld.so.conf.d/x.conf")


# --- Python's distributions ----------------------------------------------------------------------

RECORD = (
    "a/x.py,sha256=ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0,3\n"
    "../../../bin/a,sha256=AAAA,1\n"
    "a-1.0.dist-info/RECORD,,\n"
    "a-1.0.dist-info/INSTALLER,sha256=AAAA,2\n"
)
PACKAGES = "opt/venv/lib/python3.13/site-packages"


def record_digest(record: str, script: bytes, python: str = "p") -> str:
    rows = python_packages.read_distribution("/x/a-1.0.dist-info/RECORD", record).rows
    return python_packages.digest_record(rows, lambda _row: script, python)


def test_a_records_digest_is_the_same_wherever_it_is_installed() -> None:
    """Another prefix, another order, another installer, another Python in the first line of a script."""
    elsewhere = "\n".join(
        reversed(RECORD.replace("../../../", "").replace("INSTALLER,sha256=AAAA", "INSTALLER,").split("\n"))
    )
    digest = record_digest(RECORD, b"#!/opt/venv/bin/python\nx", "/opt/venv/bin/python")
    assert record_digest(elsewhere, b"#!p\nx") == digest
    pip = [RECORD + f"../../../bin/pip3.{minor},sha256=AAAA,1\n" for minor in (11, 13)]
    assert record_digest(pip[0], b"#!p\nx") == record_digest(pip[1], b"#!p\nx") != record_digest(RECORD, b"#!p\nx")


@pytest.mark.requirement("U8")
@pytest.mark.parametrize(
    ("record", "script"),
    [
        (RECORD.replace("ungW", "ungX"), b"#!p\nx"),
        (RECORD.replace("a/x.py", "a/y.py"), b"#!p\nx"),
        (RECORD + "a/more.py,sha256=AAAA,1\n", b"#!p\nx"),
        (RECORD, b"#!p\ny"),
        (RECORD, b"#!/bin/sh\nx"),
        (RECORD, b"#!/usr/bin/env -S p\nx"),
        (RECORD, b"#!p -c evil\nx"),
        (RECORD, b"x"),
    ],
    ids=["digest", "path", "one more", "script", "sh", "env", "argument", "no first line"],
)
def test_a_record_that_was_edited_has_another_digest(record: str, script: bytes) -> None:
    assert record_digest(record, script) != record_digest(RECORD, b"#!p\nx")


def test_a_digest_that_is_no_sha256_explains_nothing() -> None:
    rows = python_packages.read_distribution("/x/a-1.0.dist-info/RECORD", "a,md5=x,1\nb,sha256=***,1\n").rows
    assert [digest for _, digest in rows] == ["bad", python_packages.decode_digest("sha256=***")]
    image = file_system((APT, [("a", b"x")]))
    assert not Claim("pypi:a", "sha256", "bad").matches(image, "/a")


def test_a_distribution_inside_another_is_that_ones_own() -> None:
    inner = f"{PACKAGES}/a/_vendor/b-2.0.dist-info/RECORD"
    outer = RECORD + "a/_vendor/b-2.0.dist-info/RECORD,sha256=AAAA,0\n"
    files: list[Member] = [(f"{PACKAGES}/a-1.0.dist-info/RECORD", outer.encode()), (inner, b"b,,\n")]
    assert [one.name for one in python_packages.find_distributions(file_system((APT, files)))] == ["a"]


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (python_locks.read_lock, "numpy>=2 --hash=sha256:" + "0" * 64, "no version or no hash"),
        (python_locks.read_lock, "numpy==2", "no version or no hash"),
        (npm_files.require_hashes, '{"packages": {"": {}, "a": {"integrity": "x"}, "b": {}}}', "has no hash of b"),
    ],
)
def test_a_lock_without_versions_or_hashes_is_refused(
    tmp_path: Path, read: Callable[[Path], object], text: str, message: str
) -> None:
    (tmp_path / "lock").write_text(f"{text}\n")
    with pytest.raises(SlipwayError, match=message):
        read(tmp_path / "lock")


@pytest.mark.requirement("U8")
def test_every_locked_wheel_has_its_record() -> None:
    """requirements/records.list is complete: no RECORD of an image goes without its counterpart."""
    known = wheel_records.read_records()
    assert [one.name for one in wheel_records.list_image_locks(MATRIX) if wheel_records.find_missing(one, known)] == []


def test_a_wheels_own_bytecode_is_not_taken_at_its_word() -> None:
    """The installer compiles it anew, so that it is judged as all other bytecode."""
    rows = (("m.py", "00"), ("__pycache__/m.cpython-311.pyc", "11"))
    found = python_packages.claim_files(
        [python_packages.Distribution("a", "1", f"/{PACKAGES}/a-1.dist-info/RECORD", rows)]
    )
    assert list(found) == [f"/{PACKAGES}/m.py"]


# --- rules for unpackaged files ------------------------------------------------------------------

SOURCE = b"x = 1\n"
PYC = "usr/lib/__pycache__/m.cpython-313.pyc"
MAGIC = importlib.util.MAGIC_NUMBER


def timed(seconds: int, size: int) -> bytes:
    return MAGIC + struct.pack("<III", 0, seconds, size) + b"code"


def keystore(*certificates: bytes, tag: int = 2) -> bytes:
    """Return Java's key store, as its format is described in slipway.audit.java_keystore."""
    entries = [
        struct.pack(">IH1sQH5sI", tag, 1, b"a", 0, 5, b"X.509", len(certificate)) + certificate
        for certificate in certificates
    ]
    return struct.pack(">3I", 0xFEEDFEED, 2, len(entries)) + b"".join(entries) + bytes(20)


def hashed(source: bytes) -> bytes:
    return MAGIC + struct.pack("<I", 3) + importlib.util.source_hash(source) + b"code"


CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----\n"
STORE = "etc/ssl/certs/java/cacerts"
NODE = "opt/code-server/node_modules"
WRAPPERS = "usr/local/lib/slipway/environment/bin"
RULES = read_toml(unpackaged_files.FILE, UnpackagedFiles).rules
BASE: Content = ("made by debootstrap", [("dev/null", b"")])

GOOD: dict[str, list[Member]] = {
    "bytecode by time": [("usr/lib/m.py", SOURCE), (PYC, timed(0, len(SOURCE)))],
    "bytecode by hash": [("opt/app/m.py", SOURCE), ("opt/app/__pycache__/m.cpython-313.pyc", hashed(SOURCE))],
    "link": [("usr/bin/mawk", b""), ("etc/other", "/usr/bin/mawk")],
    "package": [("var/lib/dpkg/info/tool.list", b"")],
    "libraries": [("usr/lib/liba.so.1", b""), ("etc/ld.so.cache", b"glibc-ld.so.cache1.1\0/usr/lib/liba.so.1\0")],
    "certificates": [
        ("usr/share/ca-certificates/a.crt", CERTIFICATE),
        ("etc/ssl/certs/ca-certificates.crt", CERTIFICATE),
    ],
    "keystore": [("usr/share/ca-certificates/a.crt", CERTIFICATE), (STORE, keystore(b"A"))],
    "accounts": [
        ("etc/passwd", b"root:x:0:0::/:/bin/sh\napp:x:1000:0::/:/bin/sh\n"),
        ("etc/shadow", b"root:*:1::::::\n"),
        ("etc/group", b"root:x:0:\nshadow:x:42:\n"),
    ],
    "empty": [("var/lib/dpkg/lock", b"")],
    "program": [("opt/venv/bin/tool", b""), (f"{WRAPPERS}/tool", "../program")],
    "copy": [("usr/share/libc-bin/nsswitch.conf", b"hosts: files dns\n"), ("etc/nsswitch.conf", b"hosts: files dns\n")],
}
BAD: dict[str, tuple[list[Member], str]] = {
    "bytecode without source": ([(PYC, timed(0, 6))], "bytecode without its source"),
    "bytecode of another time": ([("usr/lib/m.py", SOURCE), (PYC, timed(1, len(SOURCE)))], "time or size differ"),
    "bytecode of another size": ([("usr/lib/m.py", SOURCE), (PYC, timed(0, 7))], "time or size differ"),
    "bytecode of another hash": (
        [("opt/app/m.py", SOURCE), ("opt/app/__pycache__/m.cpython-313.pyc", hashed(b"y"))],
        "hash differs",
    ),
    "bytecode without a header": ([("usr/lib/m.py", SOURCE), (PYC, b"x")], "without a header"),
    "link to nothing": ([("etc/awk", "/usr/bin/mawk")], "which is not there"),
    "link that nobody recorded": ([("usr/bin/mawk", b""), ("usr/bin/awk", "mawk")], "update-alternatives has none"),
    "library that nobody recorded": ([("etc/a", b""), ("usr/lib/liba.so.1", "/etc/a")], "update-alternatives has none"),
    "file where a link belongs": ([("usr/bin/awk", b"")], "no link"),
    "package that is not there": ([("var/lib/dpkg/info/evil.list", b"")], "no package evil"),
    "file of a package's with a longer name": ([("var/lib/dpkg/info/tool.new.list", b"")], "no package tool.new"),
    "file of no kind of dpkg's": ([("var/lib/dpkg/info/tool.evil", b"")], "no such file of a package"),
    "settings of nobody's": ([("etc/nsswitch.conf", b"hosts: files\n")], "no file below /usr/share has its content"),
    "bundle without a certificate": (
        [("usr/share/ca-certificates/a.crt", CERTIFICATE), ("etc/ssl/certs/ca-certificates.crt", b"")],
        "it lacks 1 certificates",
    ),
    "library that is not there": ([("etc/ld.so.cache", b"\0/usr/lib/liba.so.1\0")], "/usr/lib/liba.so.1"),
    "certificate of nobody's": ([("etc/ssl/certs/ca-certificates.crt", CERTIFICATE)], "not in the package"),
    "key store with nobody's certificate": ([(STORE, keystore(b"A"))], "not in the package"),
    "key store with a key": ([(STORE, keystore(b"A", tag=1))], "an entry that is no certificate"),
    "key store that ends early": ([(STORE, keystore(b"A")[:30])], "ends early"),
    "key store with more at its end": ([(STORE, keystore(b"A") + b"x")], "does not match its entries"),
    "no key store": ([(STORE, b"x" * 40)], "no key store"),
    "key store beside a damaged package": (
        [("usr/share/ca-certificates/a.crt", CERTIFICATE.replace(b"QQ==", b"Q")), (STORE, keystore(b"A"))],
        "cannot be compared",
    ),
    "empty key store": ([(STORE, b"")], "ends early"),
    "second root": ([("etc/passwd", b"toor:x:0:0::/:/bin/sh\n")], "has UID 0"),
    "shell of a service": ([("etc/passwd", b"daemon:x:1:1::/:/bin/bash\n")], "daemon may log in"),
    "second group": ([("etc/group", b"shadow:x:42:app\n")], "app is in the group shadow"),
    "password": ([("etc/shadow", b"root:$y$j9T$x:1::::::\n")], "has a password"),
    "no password needed": ([("etc/shadow", b"app::1::::::\n")], "needs no password"),
    "lock with content": ([("var/lib/dpkg/lock", b"x")], "not empty"),
    "link where something empty belongs": ([("usr/local/bin", "/data/bin")], "no file and no folder"),
    "device where something empty belongs": ([special("srv", tarfile.CHRTYPE)], "no file and no folder"),
    "program before nothing": ([(f"{WRAPPERS}/tool", "../program")], "/opt/venv/bin/tool is not there"),
    "other program before one": (
        [("opt/venv/bin/tool", b""), (f"{WRAPPERS}/tool", "/tmp/tool")],
        "no link to ../program",
    ),
    "file before a program": ([("opt/venv/bin/pip3", b""), (f"{WRAPPERS}/pip3", b"")], "no link to pip"),
    "file of no rule": ([("usr/local/bin/x", b"")], "no rule has it"),
}


def built(members: list[Member], *above: Content, base: Content = BASE) -> FileSystem:
    """Return an image with files in the layer that installs packages, and layers above it."""
    status: list[Member] = [("var/lib/dpkg/status", STATUS.encode())]
    return file_system(base, (APT, [*status, *members]), *above)


def find_problems(image: FileSystem, records: wheel_records.Records | None = None) -> dict[str, str]:
    """Return the problem of each file that no rule explains."""
    origins = read_origins(image, DOCKERFILES)
    records = records or wheel_records.read_records()
    context = RuleContext(image, debian_packages.read_packages(STATUS), records, origins)
    problems = {path: context.find_problem(path, RULES) for path in image.list_files()}
    return {path: problem for path, problem in problems.items() if problem}


@pytest.mark.parametrize("name", GOOD)
def test_a_rule_explains_what_keeps_it(name: str) -> None:
    claimed = ("/opt/venv/bin/", "/usr/lib/m.py", "/opt/app/m.py", "/usr/bin/mawk", "/usr/lib/liba", "/usr/share/")
    image = built(GOOD[name])
    assert [path for path in find_problems(image) if not path.startswith(claimed)] == []


@pytest.mark.parametrize("name", BAD)
def test_a_rule_does_not_explain_what_breaks_it(name: str) -> None:
    members, reason = BAD[name]
    found = find_problems(built(members))
    assert reason in found[f"/{made_name(members[-1])}"]


def made_name(member: Member) -> str:
    return member[0] if isinstance(member, tuple) else member.name


def test_bytecode_of_a_later_layer_is_not_its_sources() -> None:
    """Its header can be made to fit; that it was not made with its source shows."""
    image = built([("usr/lib/m.py", SOURCE)], (OTHER, [(PYC, timed(0, len(SOURCE)))]))
    assert "another layer" in find_problems(image)[f"/{PYC}"]


def test_a_file_of_the_base_image_may_come_from_nowhere_else() -> None:
    assert "must come from base" in find_problems(built([("etc/fstab", b"x")]))["/etc/fstab"]
    assert find_problems(built([], base=("made by debootstrap", [("etc/fstab", b"x")]))) == {}


@pytest.mark.parametrize("instruction", [OTHER, COPY, "RUN /bin/sh -c install tool # and more"])
def test_a_file_of_package_scripts_comes_from_a_layer_that_installs_packages(instruction: str) -> None:
    """An instruction of the Dockerfiles that installs none is no origin, nor is one that they do not have."""
    assert find_problems(built([("etc/shells", b"")])) == {}
    assert (
        "must come from base or packages"
        in find_problems(built([], (instruction, [("etc/shells", b"")])))["/etc/shells"]
    )


def test_a_file_beside_another_comes_from_the_first_layer_with_that() -> None:
    """The environment is made with the user's home; a later layer cannot replace either."""
    home, config = directory("data"), "opt/venv/pyvenv.cfg"
    assert find_problems(built([], (OTHER, [home, (config, b"")]))) == {}
    assert "/data" in find_problems(built([], (OTHER, [home]), (COPY, [(config, b"")])))[f"/{config}"]
    assert "/data" in find_problems(built([home], (OTHER, [home, (config, b"")])))[f"/{config}"]
    assert "/data" in find_problems(built([], ("RUN /bin/sh -c evil", [home, (config, b"")])))[f"/{config}"]


def test_files_that_only_their_layer_explains_are_counted() -> None:
    """They are among the limits of an audit; a file that was compared is not."""
    image = built([("etc/shells", b""), ("etc/profile", b""), ("var/lib/dpkg/lock", b"")])
    context = RuleContext(image, {}, wheel_records.read_records(), read_origins(image, DOCKERFILES))
    for path in ("/etc/shells", "/etc/profile", "/var/lib/dpkg/lock"):
        assert context.find_problem(path, RULES) is None
    assert [number for number in context.unchecked.values() if number] == [2]


AWK = """\
{mode}
/bin/awk
awk.1
/usr/share/man/man1/awk.1

/usr/bin/mawk
5
/usr/share/man/man1/mawk.1
/usr/bin/gawk
10
/usr/share/man/man1/gawk.1
/usr/bin/busybox
1


"""
MAN = "usr/share/man/man1"


@pytest.mark.requirement("N3")
@pytest.mark.parametrize(
    ("chosen", "mode", "changes", "broken"),
    [
        ("gawk", "auto", {}, set()),
        ("mawk", "manual", {}, set()),
        ("mawk", "auto", {}, {"/etc/alternatives/awk", "/etc/alternatives/awk.1"}),
        ("evil", "manual", {}, {"/etc/alternatives/awk", "/etc/alternatives/awk.1"}),
        ("busybox", "manual", {}, {"/etc/alternatives/awk.1", f"/{MAN}/awk.1"}),
        ("gawk", "auto", {"usr/bin/awk": "gawk"}, {"/usr/bin/awk"}),
        ("gawk", "auto", {"etc/alternatives/awk.1": f"/{MAN}/mawk.1"}, {"/etc/alternatives/awk.1"}),
        ("gawk", "auto", {"etc/alternatives/other": "/usr/bin/gawk"}, {"/etc/alternatives/other"}),
        ("gawk", "once", {}, set()),
    ],
)
def test_a_link_of_an_alternative_leads_to_what_is_recorded(
    chosen: str, mode: str, changes: dict[str, str], broken: set[str]
) -> None:
    """The highest priority or, if a user chose, any choice; the slaves are those of the same choice."""
    links = {
        "etc/alternatives/awk": f"/usr/bin/{chosen}",
        "etc/alternatives/awk.1": f"/{MAN}/{chosen}.1",
        "usr/bin/awk": "/etc/alternatives/awk",
        f"{MAN}/awk.1": "/etc/alternatives/awk.1",
    }
    programs: list[Member] = [(f"usr/bin/{name}", b"") for name in ("mawk", "gawk", "busybox", "evil")]
    pages: list[Member] = [(f"{MAN}/{name}.1", b"") for name in ("mawk", "gawk", "busybox", "evil")]
    database: Member = ("var/lib/dpkg/alternatives/awk", AWK.format(mode=mode).encode())
    found = find_problems(built([("bin", "usr/bin"), database, *programs, *pages, *(links | changes).items()]))
    assert {path for path, problem in found.items() if "update-alternatives" in problem} == broken


@pytest.mark.parametrize(
    "text", ["", "auto\n", "auto\n/a\n", "auto\n/a\n\n", "auto\n/a\nb\n\n/c\n1\n\n\n", AWK[:60], "a\n/a\n\n/b\nx\n\n"]
)
def test_a_damaged_alternative_explains_no_link(text: str) -> None:
    members: list[Member] = [("var/lib/dpkg/alternatives/a", text.encode()), ("usr/bin/b", b"")]
    found = find_problems(built([*members, ("etc/alternatives/a", "/usr/bin/b")]))
    assert found["/etc/alternatives/a"] == "a link to /usr/bin/b, where update-alternatives has none"


def find_npm_problems(
    monkeypatch: pytest.MonkeyPatch, listed: dict[str, bytes | str], *members: Member
) -> dict[str, str]:
    """Return the problems of files below /opt where npm.list has some files, and links by their targets."""
    contents = {
        path: f"link to {found}" if isinstance(found, str) else hashlib.sha256(found).hexdigest()
        for path, found in listed.items()
    }
    digests = {npm_files.digest_file(path, content) for path, content in contents.items()}
    monkeypatch.setattr(npm_files, "read_digests", lambda: digests)
    image = built([], (COPY, [("opt/code-server/node", b""), ("opt/mathjax/LICENSE", b"L"), *members]))
    found = find_problems(image)
    assert found.pop("/opt/code-server/node")
    return found


@pytest.mark.requirement("U8")
def test_each_file_of_an_npm_package_is_the_locked_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its content at its own path, a link's target; only what npm compiles has no digest."""
    listed: dict[str, bytes | str] = {
        f"/{NODE}/a/index.js": b"a",
        f"/{NODE}/b/index.js": b"b",
        f"/{NODE}/c/index.js": b"c",
        f"/{NODE}/.bin/a": "../a/index.js",
        f"/{NODE}/.bin/b": "../b/index.js",
        "/opt/mathjax/LICENSE": b"L",
    }
    good: list[Member] = [
        (f"{NODE}/a/index.js", b"a"),
        (f"{NODE}/.bin/a", "../a/index.js"),
        (f"{NODE}/a/build/Release/a.node", b"x"),
    ]
    assert find_npm_problems(monkeypatch, listed, *good) == {}
    bad: list[Member] = [
        (f"{NODE}/a/index.js", b"b"),
        (f"{NODE}/b/index.js", b"b\n"),
        (f"{NODE}/a/more.js", b"a"),
        (f"{NODE}/a/build/Release/a.js", b"a"),
        (f"{NODE}/.bin/a", "/usr/bin/mawk"),
        (f"{NODE}/.bin/b", "../c/index.js"),
        (f"{NODE}/.bin/c", "../c/index.js"),
        (f"{NODE}/c/other.js", "index.js"),
        ("opt/mathjax/es5/core.js", b"L"),
    ]
    kept: Member = (f"{NODE}/c/index.js", b"c")
    assert set(find_npm_problems(monkeypatch, listed, kept, *bad)) == {f"/{made_name(member)}" for member in bad}


@pytest.mark.requirement("U8")
def test_a_missing_file_of_an_npm_package_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an image with a workbench; scripts of node-pty delete files of it."""
    paths = [f"/{NODE}/a/index.js", f"/{NODE}/b/index.js", f"/{NODE}/b/more.js", f"{npm_files.INCOMPLETE[1]}/pty.js"]
    digests = {path: npm_files.digest_file(path, hashlib.sha256(b"x").hexdigest()) for path in paths}
    packages: dict[str, set[str]] = {}
    for path, digest in digests.items():
        packages.setdefault(path.rpartition("/")[0], set()).add(digest)
    monkeypatch.setattr(npm_files, "read_list", lambda: packages)
    looked = audited(built([], (COPY, [(path[1:], b"x") for path in paths[:2]])))
    package_checks.check_npm_packages(looked)
    assert not looked.findings
    looked.contract = MATRIX.find_image("cpu-base-workbench")
    package_checks.check_npm_packages(looked)
    assert [(f.kind, f.what, f.layer) for f in looked.findings] == [("deleted", f"npm:/{NODE}/b", None)]


def test_npm_list_is_made_from_the_locks_that_are_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It has files of code-server and MathJax; after a change of a lock it counts no longer."""
    assert len(npm_files.read_digests()) > 5000
    copied = tmp_path / "tools"
    shutil.copytree(npm_files.TOOLS, copied)
    monkeypatch.setattr(npm_files, "TOOLS", copied)
    assert npm_files.is_current()
    with (copied / "mathjax" / "package-lock.json").open("a") as file:
        file.write("\n")
    assert not npm_files.is_current()


def test_links_of_npm_are_listed_with_their_targets(tmp_path: Path) -> None:
    for name in ("a", ".bin"):
        (tmp_path / "node_modules" / name).mkdir(parents=True)
    (tmp_path / "node_modules/a/index.js").write_bytes(b"a")
    (tmp_path / "node_modules/.bin/a").symlink_to("../a/index.js")
    found = dict(npm_files.describe_files("code-server", tmp_path))
    assert found == {
        f"/{NODE}/a": npm_files.digest_file(f"/{NODE}/a/index.js", hashlib.sha256(b"a").hexdigest()),
        f"/{NODE}/.bin": npm_files.digest_file(f"/{NODE}/.bin/a", "link to ../a/index.js"),
    }


def test_uv_is_the_locked_wheels() -> None:
    image = built([("usr/local/bin/uv", b"x")])
    assert "not bin/uv of the locked wheel" in find_problems(image)["/usr/local/bin/uv"]
    digest = image.find_entry("/usr/local/bin/uv").sha256
    assert find_problems(image, wheel_records.Records(f"uv==1 3.13-x86_64 0 0 bin/uv {digest}\n")) == {}


RULE = "[[generated]]\npaths=['/a']\n"
LEFT_OUT = '[[left-out]]\npaths = ["{}"]\nbut = ["{}"]\nreason = "none"\n'
TRIM = '[[trim]]\npath = "/[z-a]"\nlayer = "base"\nreason = "none"\n'


@pytest.mark.parametrize(
    ("model", "text", "message"),
    [
        (UnpackagedFiles, RULE, "reason is missing"),
        (UnpackagedFiles, f"{RULE}reason='x'\ncheck='other'\n", "check is 'other'"),
        (UnpackagedFiles, f"{RULE}reason='x'\nby=['apt-get']\n", "by is"),
        (UnpackagedFiles, "[[generated]\n", "TOML"),
        (UnpackagedFiles, LEFT_OUT.format("/[z-a]", "/a"), r"paths is .*\[z-a\].*; it must be a list of globs"),
        (UnpackagedFiles, LEFT_OUT.format("/a", "/[z-a]"), r"but is .*\[z-a\].*; it must be a list of globs"),
        (trims.TrimsToml, TRIM, r"path is '/\[z-a\]'; it must be a glob"),
        (Policy, "refused = 'x'\n[accepted]\n[proprietary]\n", "refused is 'x'; it must be a list of globs"),
    ],
)
def test_a_mistake_in_a_policy_is_named(tmp_path: Path, model: type[Any], text: str, message: str) -> None:
    (tmp_path / "policy.toml").write_text(text)
    with pytest.raises(SlipwayError, match=rf"policy\.toml.*{message}"):
        read_toml(tmp_path / "policy.toml", model)


# --- trims ---------------------------------------------------------------------------------------


def test_a_trim_that_no_longer_applies_is_found() -> None:
    """One matches no missing file of a package, and the file of the other is in the image."""
    image = file_system((APT, [("opt/venv/tests/t.py", b"")]))
    trim = [Trim("tests", globs.compile_globs(["/opt/venv/tests"], folders=True), "trims.toml")]
    kinds = [finding.kind for finding in trims.check_trims(trim, image, [])]
    assert kinds == ["trim no longer applies", "not trimmed"]
    assert list(trims.check_trims(trim, file_system((APT, [])), ["/opt/venv/tests/t.py"])) == []


def test_an_image_has_the_trims_of_its_flavor_and_its_targets() -> None:
    base = {trim.path for trim in trims.find_trims(MATRIX.find_image("cuda-base"))}
    devel = {trim.path for trim in trims.find_trims(MATRIX.find_image("cuda-devel"))}
    workbench = {trim.path for trim in trims.find_trims(MATRIX.find_image("cpu-base-workbench"))}
    assert "nvidia/cu13/include" in base - devel
    assert "jupyterlab/galata" in workbench - base


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("/a/**/tests", "/a/tests", True),
        ("/a/**/tests", "/a/b/c/tests", True),
        ("/a/*.a", "/a/b/x.a", False),
        ("/a/lib*.so.*", "/a/lib1.so.2", True),
        ("/a/[ab]", "/a/b", True),
        ("/a/**", "/a/b/c", True),
        ("/a+b", "/aab", False),
    ],
)
def test_globs(glob: str, path: str, *, matches: bool) -> None:
    assert (globs.compile_globs([glob]).fullmatch(path) is not None) == matches


# --- licenses ------------------------------------------------------------------------------------

POLICY = Policy(refused=["AGPL-*"], accepted={"reason": ["pypi:gs*"]}, proprietary={"terms": ["pypi:nvidia-*"]})


@pytest.mark.parametrize(
    ("name", "license_name", "kinds"),
    [
        ("a", ("MIT",), []),
        ("a", ("AGPL-3.0-only",), ["license"]),
        ("a", ("AGPL-3.0-only OR MIT",), []),
        ("a", ("AGPL-3.0-only AND MIT",), ["license"]),
        ("gs10", ("AGPL-3.0-only AND MIT",), []),
        ("a", ("BSD-Nvidia", "BSD-3-Clause-Nvidia"), []),
        ("a", ("BSD-3-Clause AND LicenseRef-NVIDIA",), ["license"]),
        ("a", ("LicenseRef-NVIDIA-Proprietary",), ["license"]),
        ("nvidia-a", ("LicenseRef-NVIDIA-Proprietary",), []),
        ("nvidia-a", (), []),
    ],
)
def test_the_policy_decides(name: str, license_name: tuple[str, ...], kinds: list[str]) -> None:
    result = licenses.check_licenses([Component("pypi", name, "1", license_name, "")], POLICY)
    assert [finding.kind for finding in result.findings] == kinds
    assert result.proprietary == ({"terms": ["pypi:nvidia-a"]} if name == "nvidia-a" else {})
    assert result.accepted == ({"reason": ["pypi:gs10"]} if name == "gs10" else {})


@pytest.mark.parametrize(
    ("license_name", "refused"),
    [
        ("(MIT OR X11) AND AGPL-3.0-only", True),
        ("AGPL-3.0-only AND (MIT OR X11)", True),
        ("(AGPL-3.0-only OR MIT) AND (AGPL-3.0-or-later OR X11)", False),
        ("(AGPL-3.0-only OR MIT) AND (AGPL-3.0-only OR SSPL-1.0)", True),
        ("MIT OR X11 AND AGPL-3.0-only", False),
        ("(MIT OR X11 AND AGPL-3.0-only)", False),
        ("MIT AND AGPL-3.0-only OR SSPL-1.0", True),
        ("AGPL-3.0-or-later WITH Autoconf-exception-3.0", True),
        ("MIT OR AGPL-3.0-or-later WITH Autoconf-exception-3.0", False),
        ("GPL-3.0-only WITH AGPL-exception", False),
        ("agpl-3.0-only and MIT", True),
        ("AGPL-3.0+", True),
        ("LicenseRef-own AND MIT/X11", False),
        ("Under AGPL-3.0-only", True),
        ("MIT, or (at your option", False),
        ("MIT, and AGPL-3.0-only (see the file", True),
        pytest.param("(" * 2000 + "AGPL-3.0-only" + " OR MIT AND X11)" * 2000, True, id="deep"),
        ("", False),
    ],
)
def test_expressions_are_read_as_spdx_writes_them(license_name: str, refused: bool) -> None:  # noqa: FBT001
    """AND before OR, parentheses, exceptions; names unknown to SPDX; each word of an invalid expression."""
    assert Policy(refused=["AGPL-*", "SSPL-*"], accepted={}, proprietary={}).refuses(license_name) == refused


def test_a_component_without_a_known_license_is_listed() -> None:
    """What is free is not listed with its maker's other terms."""
    parts = [Component("deb", name, "1", (known,) * bool(known), "") for name, known in (("a", ""), ("b", "sha256:0"))]
    found = licenses.check_licenses([*parts, Component("pypi", "nvidia-a", "1", ("Apache-2.0",), "")], POLICY)
    assert (found.unknown, found.proprietary) == (["deb:a", "deb:b"], {})


def test_what_a_scan_of_the_same_image_knows_fills_a_gap(tmp_path: Path) -> None:
    file = tmp_path / "trivy.json"
    rows = [{"Licenses": [{"PkgName": "a", "Name": "AGPL-3.0-only"}, {"PkgName": 1}]}, None, {"Licenses": None}]
    results.write_json(file, {"Metadata": {"ImageID": "sha256:1"}, "Results": rows})
    parts = [Component("deb", "a", "1", (), ""), Component("deb", "b", "1", ("MIT",), "")]
    result = licenses.check_licenses(parts, POLICY, licenses.read_trivy(file, "sha256:1"))
    assert result.unknown == []
    assert [finding.what for finding in result.findings] == ["deb:a"]
    assert licenses.read_trivy(file, "sha256:2") == {}
    assert licenses.read_trivy(tmp_path / "none.json", "sha256:1") == {}


# --- the SBOM ------------------------------------------------------------------------------------

IMAGE = MATRIX.find_image("cpu-base")


def bom(*components: object, image_id: str = "sha256:1") -> dict[str, Any]:
    properties = [{"name": sbom.IMAGE, "value": image_id}]
    return {"bomFormat": "CycloneDX", "metadata": {"properties": properties}, "components": list(components)}


def package(kind: str, name: str, version: str) -> dict[str, str]:
    return {"purl": f"pkg:{kind}/{name}@{version}", "name": name, "version": version}


def test_components_are_the_packages_of_an_sbom(tmp_path: Path) -> None:
    file = tmp_path / "sbom.cdx.json"
    listed = [package("deb", "a", "1"), package("pypi", "b", "2"), package("pypi", "c", "3"), {"name": "a file"}]
    results.write_json(file, bom(*listed))
    assert sorted(component.kind for component in sbom.read_components(file)) == ["deb", "pypi", "pypi"]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"bomFormat": "CycloneDX"},
        bom("x"),
        bom({"purl": "pkg:deb/a"}),
        bom({"purl": 3, "name": "a", "version": "1"}),
    ],
    ids=["empty", "no components", "text", "no version", "number"],
)
def test_a_malformed_sbom_is_refused(tmp_path: Path, document: dict[str, Any]) -> None:
    file = tmp_path / "sbom.cdx.json"
    results.write_json(file, document)
    with pytest.raises(SlipwayError, match="write it again"):
        sbom.read_components(file)


@settings(max_examples=300)
@given(
    document=st.recursive(
        st.one_of(st.none(), st.integers(), st.sampled_from(["pkg:deb/a@1", "CycloneDX", "a"])),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(
                    ["bomFormat", "components", "purl", "name", "version", "licenses", "license", "metadata"]
                ),
                inner,
                max_size=5,
            ),
        ),
        max_leaves=20,
    )
)
def test_any_json_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, document: object) -> None:
    file = tmp_path_factory.mktemp("bom") / "sbom.cdx.json"
    file.write_text(json.dumps(document))
    sbom.find_image_ids(results.read_json(file))
    try:
        found = sbom.read_components(file)
    except SlipwayError:
        return
    assert all(isinstance(component, Component) for component in found)


@pytest.fixture
def fake_syft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A program in place of Syft, with a given output and exit code."""
    monkeypatch.setattr(tools, "provide_program", lambda _tool: tmp_path / "syft")
    return partial(write_program, tmp_path / "syft")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'no space left' >&2; exit 1", "no space left"),
        ('for word; do case $word in --output=*) echo "{" >"${word##*=}" ;; esac; done', "damaged"),
    ],
)
def test_a_failing_syft_is_quoted_and_leaves_nothing(
    fake_syft: Callable[[str], Path], tmp_path: Path, script: str, message: str
) -> None:
    fake_syft(script)
    with pytest.raises(SlipwayError, match=message):
        syft.write_sboms(IMAGE, "sha256:1", tmp_path / "out")
    assert not (tmp_path / "out").exists()


LISTS_NOTHING = """for word; do
    case $word in --output=*) echo '{"bomFormat": "CycloneDX", "components": []}' >"${word##*=}"; esac
done
"""


def test_an_sbom_is_written_once_for_an_image(fake_syft: Callable[[str], Path], tmp_path: Path) -> None:
    """It is written again for another image, and by another Syft: an SBOM counts only for both."""
    log = tmp_path / "log"
    script = f"echo run >>{log}\n{LISTS_NOTHING}"
    fake_syft(script)
    runs: list[int] = []
    for image_id in ("sha256:2", "sha256:2", "sha256:3", "sha256:3"):
        if len(runs) == 3:
            fake_syft(f"{script}# another Syft")
        file = syft.provide_sbom(IMAGE, image_id, tmp_path)
        assert sbom.find_image_ids(json.loads(file.read_text())) == {image_id}
        runs.append(log.read_text().count("run"))
    assert runs == [1, 1, 2, 3]
    assert json.loads((tmp_path / sbom.SPDX).read_text())["comment"] == f"{sbom.IMAGE} sha256:3"


def test_syft_gets_nothing_of_the_machine(
    fake_syft: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither variables nor a settings file: Syft takes the one of --config alone, where there is one."""
    log = tmp_path / "log"
    given = 'env; pwd; echo "$@"; for word; do cat "${word#--config=}"; done'
    fake_syft(f"{{ {given}; }} >{log} 2>&1\n{LISTS_NOTHING}")
    monkeypatch.setenv("SYFT_EXCLUDE", "/opt/**")
    (tmp_path / ".syft.yaml").write_text("exclude: ['/opt/**']")
    monkeypatch.chdir(tmp_path)
    syft.write_sboms(IMAGE, "sha256:1", tmp_path / "out")
    given = log.read_text()
    assert "SYFT_" not in given
    assert "/opt/**" not in given
    assert "--config=settings.yaml" in given
    assert syft.SETTINGS in given
    assert f"\n{tmp_path}\n" not in given


def audited(image: FileSystem) -> Audit:
    packages = debian_packages.read_packages(image.read_text(debian_packages.STATUS))
    found = python_packages.find_distributions(image)
    return Audit(IMAGE, image, packages, found, debian_packages.claim_files(image, packages), Origins())


@pytest.mark.requirement("U8")
def test_what_only_the_image_or_only_the_sbom_has_is_found() -> None:
    files: list[Member] = [
        ("var/lib/dpkg/status", STATUS.encode()),
        (f"{PACKAGES}/a-1.0.dist-info/METADATA", b"Metadata-Version: 2.1\nName: A\nVersion: 1.0\n\nName: b\n"),
    ]
    looked = audited(file_system((APT, files)))
    listed = [Component("deb", name, one.version, (), "") for name, one in looked.packages.items() if name != "stray"]
    package_checks.check_sbom(
        looked, [*listed, Component("pypi", "A", "1.1", (), ""), Component("npm", "x", "1", (), "")]
    )
    assert [(finding.kind, finding.what) for finding in looked.findings] == [
        ("not in the SBOM", "deb:stray"),
        ("not in the SBOM", "pypi:a"),
        ("only in the SBOM", "pypi:a"),
    ]


def test_code_servers_packages_are_those_of_its_lock() -> None:
    looked = audited(built([], (COPY, [(f"{NODE}/code-server/package.json", b"{}")])))
    folder = f"/{NODE}/x"
    listed = [Component("deb", name, one.version, (), "") for name, one in looked.packages.items()]
    listed += [Component("npm", name, version, (), folder) for name, version in npm_files.list_packages()]
    package_checks.check_sbom(looked, listed)
    assert looked.findings == []
    inside = Component("npm", "of-the-editor", "1", (), f"/{NODE}/code-server/lib/vscode/node_modules/of-the-editor")
    package_checks.check_sbom(looked, [*listed[:-1], inside, Component("npm", "evil", "1", (), folder)])
    assert [finding.kind for finding in looked.findings] == ["not in the SBOM", "only in the SBOM"]


@pytest.mark.requirement("N2")
def test_the_same_content_twice_is_found_by_any_names_in_any_layers() -> None:
    """Neither a hard link nor a small file is waste; a file that policy/duplicates.toml names may be a copy."""
    large, small = bytes(duplicates.LARGE + 1), bytes(duplicates.LARGE)
    link = tarfile.TarInfo("usr/bin/link")
    link.type, link.linkname = tarfile.LNKTYPE, "usr/bin/a"
    layer: list[Member] = [("usr/bin/a", large), link, ("usr/bin/small", small), ("opt/small", small)]
    image = file_system((APT, layer), (OTHER, [("usr/lib/a", large)]), (COPY, [("opt/b", large)]))
    allowed = [duplicates.Copies(paths=["/usr/lib/*"], reason="a reason")]
    (found,) = duplicates.find_duplicates(image, allowed)
    assert (found.what, found.detail, found.instruction) == ("/usr/bin/a", "also /opt/b (layer 2)", COPY)
    more = duplicates.Copies(paths=["/opt/*"], reason="another")
    assert list(duplicates.find_duplicates(image, [*allowed, more])) == []


def test_a_deletion_names_the_layer_that_did_it() -> None:
    image = file_system((APT, [("usr/bin/x", b"")]), ("RUN y", []), ("RUN rm -r /usr/bin", [("usr/.wh.bin", b"")]))
    assert file_checks.find_deletion(image, "/usr/bin/x") == (2, "RUN rm -r /usr/bin")
    assert file_checks.find_deletion(image, "/usr/lib/x") == (None, "")


@pytest.mark.requirement("T10")
def test_an_audit_names_the_policy_and_the_documents_that_it_rests_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit of the policy and of the audit's code, and the SBOM and the scan by digest."""
    contract = MATRIX.find_image("cpu-base")
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    monkeypatch.setattr(repository, "describe_head", lambda *paths: " ".join(paths))
    monkeypatch.setattr("sys.argv", ["audit", "cpu-base"])
    monkeypatch.setattr(saved_image, "find_id", lambda _: "sha256:1")
    monkeypatch.setattr(audit, "require_commit", lambda *_: None)
    monkeypatch.setattr(audit, "audit_image", lambda *_: audited(file_system((APT, []))))
    listed = contract.results / sbom.CYCLONEDX
    results.write_json(listed, bom())
    results.write_json(contract.results / "trivy.json", {})
    monkeypatch.setattr(syft, "provide_sbom", lambda *_: listed)
    assert audit.main() == 0
    found = results.read_json(contract.results / "audit.json")
    assert found["commit"] == "policy requirements slipway/audit slipway/image"
    digests = [hashlib.sha256((contract.results / name).read_bytes()).hexdigest() for name in (listed, "trivy.json")]
    assert [found["sbom"], found["trivy"]] == digests


# --- the commit ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "refused"), [("a" * 40, False), ("b" * 40, True), ("b" * 40 + "-dirty", False), (None, False)]
)
def test_an_image_is_compared_with_the_files_of_its_commit(
    monkeypatch: pytest.MonkeyPatch, label: str | None, *, refused: bool
) -> None:
    """Those of the checkout are used, so they must be the same; files that were never committed are in no commit."""
    labels = {COMMIT: label} if label else None
    monkeypatch.setattr(docker, "inspect", lambda _: {"Config": {"Labels": labels}})
    monkeypatch.setattr(audit, "find_commit", lambda _: "a" * 40)
    with pytest.raises(SlipwayError, match="git checkout bbbbbbbbbbbb, or nox -s build") if refused else nullcontext():
        audit.require_commit(MATRIX.find_image("cpu-base"), "sha256:1")
