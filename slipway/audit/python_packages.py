"""Python's distributions in an image: what their RECORDs say of each file, and what the locks say of the RECORDs."""

import base64
import csv
import hashlib
import io
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from slipway.audit.findings import Claim, Claims
from slipway.image.filesystem import FileSystem

# What an installer writes beside a wheel's own files.
INSTALLERS = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json")
Row = tuple[str, str]  # a path as the RECORD has it, and its digest in hexadecimal, empty where there is none


@dataclass(frozen=True)
class Distribution:
    """A distribution that is installed: its name as PyPI compares it, its RECORD's path and what this says."""

    name: str
    version: str
    record: str
    rows: tuple[Row, ...]

    @property
    def root(self) -> str:
        """The folder that the RECORD's paths count from."""
        return posixpath.dirname(posixpath.dirname(self.record))

    def path(self, row: str) -> str:
        """Return where a file of the RECORD lies."""
        return posixpath.normpath(posixpath.join(self.root, row))


def find(system: FileSystem) -> list[Distribution]:
    """Return every distribution that has a RECORD, but for those that another one carries inside itself."""
    paths = sorted(path for path in system.paths if path.endswith(".dist-info/RECORD"))
    found = [read(path, system.text(path)) for path in paths]
    carried = {one.path(row) for one in found for row, _ in one.rows if one.path(row) != one.record}
    return [one for one in found if one.record not in carried]


def named(system: FileSystem) -> set[tuple[str, str]]:
    """Return name and version of all that has Python's metadata: also Debian's, and what another one carries inside."""
    ends = (".dist-info/METADATA", ".egg-info/PKG-INFO", "/EGG-INFO/PKG-INFO", ".egg-info")
    documents = (system.text(path) for path in system.paths if path.endswith(ends))
    found: set[tuple[str, str]] = set()
    for document in documents:
        fields = dict(re.findall(r"^(Name|Version): *(\S+)", document.partition("\n\n")[0], re.MULTILINE))
        if len(fields) == 2:  # noqa: PLR2004 - both
            found.add((canonicalize_name(fields["Name"]), fields["Version"]))
    return found


def read(path: str, record: str) -> Distribution:
    """Return a distribution of its RECORD; its folder's name has the version."""
    folder = posixpath.basename(posixpath.dirname(path)).removesuffix(".dist-info")
    name, _, version = folder.rpartition("-")
    return Distribution(canonicalize_name(name), version, path, tuple(read_rows(record)))


def read_rows(record: str) -> Iterator[Row]:
    """Yield the paths and digests of a RECORD; one that is malformed has no digest, and so explains nothing."""
    try:
        for row in csv.reader(io.StringIO(record)):
            if row:
                yield row[0], hexadecimal(row[1]) if len(row) > 1 else ""
    except csv.Error:
        return


def hexadecimal(digest: str) -> str:
    """Return `sha256=…` of a RECORD as hexadecimal text; `bad` where it is no SHA-256."""
    if not digest:
        return ""
    algorithm, _, text = digest.partition("=")
    try:
        return base64.urlsafe_b64decode(text + "==").hex() if algorithm == "sha256" else "bad"
    except ValueError:
        return "bad"


def claims(distributions: Iterable[Distribution]) -> Claims:
    """Return what the RECORDs say of each path, but for bytecode, which the installer compiles anew.

    What has no digest is the RECORD itself, or bytecode.
    """
    found: Claims = {}
    for one in distributions:
        for row, digest in one.rows:
            if (digest and "__pycache__/" not in row) or one.path(row) == one.record:
                found.setdefault(one.path(row), []).append(Claim(f"pypi:{one.name}", "sha256", digest))
    return found


# --- the RECORD that a locked wheel brings -------------------------------------------------------


def digest_of(rows: Iterable[Row], read_script: Callable[[str], bytes]) -> str:
    """Return a digest of what a RECORD says, the same wherever the wheel is installed.

    A script's first line names the environment, so what counts is the rest; `read_script` returns its content.
    """
    lines = []
    for path, digest in rows:
        plain = re.sub(r"^(\.\./)+", "", path)
        if posixpath.basename(plain) in INSTALLERS and posixpath.dirname(plain).endswith(".dist-info"):
            continue
        script = read_script(path) if plain.startswith("bin/") else b""
        if script.startswith(b"#!"):
            digest = hashlib.sha256(script.partition(b"\n")[2]).hexdigest()  # noqa: PLW2901
        lines.append(f"{plain},{digest}\n")
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def shebang_problem(system: FileSystem, one: Distribution) -> str:
    """Return a distribution's script that something else than its environment's Python runs; empty where none is."""
    prefix = posixpath.normpath(posixpath.join(one.root, "../../.."))
    for row, _ in one.rows:
        path = one.path(row)
        first = system.content(path).partition(b"\n")[0] if path.startswith(f"{prefix}/bin/") else b""
        allowed = rb"#!(%s/bin/python3?|/bin/(ba)?sh|/usr/bin/env .*)" % prefix.encode()
        if first.startswith(b"#!") and not re.fullmatch(allowed, first):
            return path
    return ""
