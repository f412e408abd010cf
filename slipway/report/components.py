"""Attributes each file of an image, of every layer, to one component.

A file belongs to the package of Debian, Alpine, RPM or conda, the Python distribution or the npm package that has it;
bytecode to its source's owner, what dpkg or conda keeps about a package to that package. All else is of the application
or of the system, by its folder.
"""

import json
import posixpath
import re
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from packaging.utils import canonicalize_name

from slipway.audit import audit, debian_packages, python_packages, wheel_records
from slipway.audit.debian_packages import INFO
from slipway.audit.rules import WHEEL_FILES
from slipway.image import package_lists
from slipway.image.filesystem import FileSystem
from slipway.matrix import Image

CUDA_PACKAGE = re.compile(
    r"(lib)?(cu(da|blas|dnn|fft|file|rand|solver|sparse|tensor)|nccl|npp|nv(idia|infer|jitlink|jpeg|rtc|vm|toolsext))"
)
CUDA_DISTRIBUTION = re.compile(r"(nvidia|cuda)-")
NPM = re.compile(r"(.*/node_modules/(?:@[^/]+/)?[^/]+)/")
SITE = re.compile(r".*/(?:site|dist)-packages/([^/]+)")
METADATA_FOLDER = re.compile(r"(.+?)-([^-]+)(?:-py[\d.]+)?\.(?:dist|egg)-info")
BYTECODE = re.compile(r"(.*)/__pycache__/([^/]+)\.cpython-\d+(?:\.opt-\d)?\.pyc")
# Folders of an operating system; what no package has elsewhere is an application's.
SYSTEM = re.compile(r"/(usr/(?!local/)|etc/|var/|lib|bin/|sbin/|run/|dev/|boot/|root/|tmp/|\.[^/]+$)")


class Component(NamedTuple):
    """A component: `kind` is deb, apk, rpm, conda, python, npm, cuda, application or system; it may have no version."""

    kind: str
    name: str
    version: str = ""


class Owners:
    """The components of an image, by the paths of their files."""

    def __init__(self, system: FileSystem, contract: Image | None) -> None:
        self._system = system
        self._packages = debian_packages.read_packages(system.read_text(debian_packages.STATUS))
        self.unread: dict[str, list[str]] = {}  # databases whose packages are not known, by their managers
        self._found = dict(self._claim_files(contract))

    def find(self, path: str) -> Component:
        """Return the component of a file, which later layers may have deleted."""
        if path not in self._found:
            self._found[path] = self._guess(path)
        return self._found[path]

    def _claim_files(self, contract: Image | None) -> dict[str, Component]:
        """Return the files that a database lists. Where several list one, a package of the system has it."""
        found: dict[str, Component] = {}
        if contract:
            own = Component("application", contract.variant.repository)
            found |= dict.fromkeys(audit.claim_repository_files(contract), own)
        found |= dict(self._find_wheel_files())
        for distribution in python_packages.find_distributions(self._system):
            component = make_component("python", distribution.name, distribution.version)
            found |= dict.fromkeys(python_packages.claim_files([distribution]), component)
        found |= dict(self._find_listed_files())
        for path, claims in debian_packages.claim_files(self._system, self._packages).items():
            found[path] = self._make_debian(claims[0].owner.removeprefix("deb:"))
        return found

    def _find_listed_files(self) -> Iterator[tuple[str, Component]]:
        """Yield the files of packages of conda, Alpine and RPM; note in `unread` the databases that have no list."""
        databases = package_lists.find_databases(self._system.paths)
        present = {entry.path for layer in self._system.image.layers for entry in layer.entries} if databases else ()
        for path, manager in databases:
            if kept := self._system.read_content(path):
                for package in package_lists.read_list(path, kept):
                    component = make_component(manager, package.name, package.version)
                    own = [path] if manager == "conda" else []
                    paths = map(self._system.resolve_folders, [*package.files, *own])
                    yield from ((file, component) for file in paths if file in present)
            elif self._system.find_entry(path).size:
                self.unread.setdefault(manager, []).append(path)

    def _find_wheel_files(self) -> Iterator[tuple[str, Component]]:
        """Yield the files that are in an image without the rest of their wheel, such as uv's program."""
        rows = {line[-1]: line[0] for line in wheel_records.read_records().lines}
        for path in WHEEL_FILES:
            if path in self._system and (known := rows.get(self._system.find_entry(path).sha256)):
                yield path, make_component("python", *known.split("=="))

    def _make_debian(self, name: str) -> Component:
        return make_component("deb", name, self._packages[name].version)

    def _guess(self, path: str) -> Component:
        """Return the component of a file that no database lists."""
        if (match := BYTECODE.fullmatch(path)) and (source := f"{match[1]}/{match[2]}.py") in self._found:
            return self._found[source]
        if path.startswith(f"{INFO}/"):
            name = re.split(r":|\.(?=[a-z0-9]+$)", posixpath.basename(path))[0]
            if name in self._packages:
                return self._make_debian(name)
        if match := NPM.match(path):
            return self._read_npm(match[1])
        if match := SITE.match(path):
            return self._find_distribution(match[1])
        return make_folder(path)

    def _read_npm(self, folder: str) -> Component:
        """Return the npm package in a folder, with the version of its package.json."""
        try:
            version = json.loads(self._system.read_content(f"{folder}/package.json"))["version"]
        except (ValueError, LookupError, TypeError, RecursionError):
            version = ""
        return Component("npm", folder.rpartition("/node_modules/")[2], str(version))

    def _find_distribution(self, name: str) -> Component:
        """Return the distribution with a file or folder of this name in site-packages."""
        if match := METADATA_FOLDER.fullmatch(name):
            return make_component("python", canonicalize_name(match[1]), match[2])
        plain = canonicalize_name(name.partition(".")[0])
        return make_component("python", plain, self._versions.get(plain, ""))

    @cached_property
    def _versions(self) -> dict[str, str]:
        """The versions of all Python metadata, also of what has no RECORD."""
        return dict(python_packages.read_metadata(self._system))


def make_component(kind: str, name: str, version: str) -> Component:
    """Return the component of a package of a system or of a Python distribution; NVIDIA's libraries are CUDA's."""
    is_cuda = (CUDA_DISTRIBUTION if kind == "python" else CUDA_PACKAGE).match(name)
    return Component("cuda" if is_cuda else kind, name, version)


def make_folder(path: str) -> Component:
    """Return the component of a file that no package has: its folder, below / or /usr."""
    parts = posixpath.dirname(path).split("/")[1:]
    if SYSTEM.match(path):
        return Component("system", "/" + "/".join(parts[:2]))
    return Component("application", "/" + "/".join(parts[: 3 if parts[0] == "usr" else 2]))
