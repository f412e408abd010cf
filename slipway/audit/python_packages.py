"""The Python distributions of an image, with the files and digests in their RECORDs."""

import base64
import csv
import hashlib
import io
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from packaging.utils import canonicalize_name

from slipway.audit.findings import Claim, Claims
from slipway.image.filesystem import FileSystem

# Files of a .dist-info folder that an installer writes and a wheel does not have.
INSTALLERS = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json")
Row = tuple[str, str]  # a path in the RECORD, and its digest in hexadecimal, empty without one


@dataclass(frozen=True)
class Distribution:
    """An installed distribution: its canonical name, its version, the path and the rows of its RECORD."""

    name: str
    version: str
    record: str
    rows: tuple[Row, ...]

    @cached_property
    def root(self) -> str:
        """The folder to which the RECORD's paths are relative."""
        return posixpath.dirname(posixpath.dirname(self.record))

    @cached_property
    def environment(self) -> str:
        """The folder of the environment, three above `root`: /opt/venv of /opt/venv/lib/python3.13/site-packages."""
        return posixpath.normpath(posixpath.join(self.root, "../../.."))

    def make_path(self, row: str) -> str:
        """Return the absolute path of a row of the RECORD."""
        return posixpath.normpath(posixpath.join(self.root, row))


def find_distributions(system: FileSystem) -> list[Distribution]:
    """Return every distribution with a RECORD, except those vendored in another one."""
    paths = sorted(path for path in system.paths if path.endswith(".dist-info/RECORD"))
    found = [read_distribution(path, system.read_text(path)) for path in paths]
    files = ((each.record, each.make_path(row)) for each in found for row, _ in each.rows)
    vendored = {path for record, path in files if path != record}
    return [distribution for distribution in found if distribution.record not in vendored]


def read_metadata(system: FileSystem) -> set[tuple[str, str]]:
    """Return name and version of all Python metadata, including Debian's and vendored distributions'."""
    ends = (".dist-info/METADATA", ".egg-info/PKG-INFO", "/EGG-INFO/PKG-INFO", ".egg-info")
    documents = (system.read_text(path) for path in system.paths if path.endswith(ends))
    found: set[tuple[str, str]] = set()
    for document in documents:
        fields = dict(re.findall(r"^(Name|Version): *(\S+)", document.partition("\n\n")[0], re.MULTILINE))
        if len(fields) == 2:  # noqa: PLR2004 - both
            found.add((canonicalize_name(fields["Name"]), fields["Version"]))
    return found


def read_distribution(path: str, record: str) -> Distribution:
    """Return the distribution of a RECORD; its folder has the name and version."""
    folder = posixpath.basename(posixpath.dirname(path)).removesuffix(".dist-info")
    name, _, version = folder.rpartition("-")
    return Distribution(canonicalize_name(name), version, path, tuple(read_rows(record)))


def read_rows(record: str) -> Iterator[Row]:
    """Yield the paths and digests of a RECORD up to a malformed row; the files of later rows have no owner."""
    try:
        for row in csv.reader(io.StringIO(record)):
            if row:
                yield row[0], decode_digest(row[1]) if len(row) > 1 else ""
    except csv.Error:
        return


def decode_digest(digest: str) -> str:
    """Return a digest of a RECORD, `sha256=…`, in hexadecimal; `bad` for any other algorithm or form."""
    if not digest:
        return ""
    algorithm, _, text = digest.partition("=")
    try:
        return base64.urlsafe_b64decode(text + "==").hex() if algorithm == "sha256" else "bad"
    except ValueError:
        return "bad"


def claim_files(distributions: Iterable[Distribution]) -> Claims:
    """Return the distributions that own each path, except of bytecode, which is compiled at installation.

    Only RECORD and bytecode have no digest. What a RECORD names outside its environment, it does not own.
    """
    found: Claims = {}
    for distribution in distributions:
        for row, digest in distribution.rows:
            path = distribution.make_path(row)
            if not path.startswith(f"{distribution.environment}/"):
                continue
            if (digest and "__pycache__/" not in row) or path == distribution.record:
                found.setdefault(path, []).append(Claim(f"pypi:{distribution.name}", "sha256", digest))
    return found


# --- comparing RECORDs with those of wheels ------------------------------------------------------


def digest_record(rows: Iterable[Row], read_script: Callable[[str], bytes], python: str) -> str:
    """Return a digest of a RECORD that is the same in every environment.

    An installer writes the path of the environment's Python, `python`, into the first line of a script: that line is
    ignored, and any other is part of the digest. `read_script` returns the content of a script.
    One script of pip has the version of Python in its name, `bin/pip3.13`: the version is ignored.
    """
    lines = []
    for path, digest in rows:
        plain = re.sub(r"^bin/pip3\.\d+$", "bin/pip3.N", re.sub(r"^(\.\./)+", "", path))
        if posixpath.basename(plain) in INSTALLERS and posixpath.dirname(plain).endswith(".dist-info"):
            continue
        first, _, rest = read_script(path).partition(b"\n") if plain.startswith("bin/") else (b"", b"", b"")
        if first == f"#!{python}".encode():
            digest = hashlib.sha256(rest).hexdigest()  # noqa: PLW2901
        lines.append(f"{plain},{digest}\n")
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
