"""Merged view of an image's layers: find a path, its layer and its content."""

import posixpath
import re
from collections.abc import Iterator
from functools import cached_property

from slipway.image import package_lists
from slipway.image.layer_tar import MEMORY_LIMIT, Wanted
from slipway.image.layers import Entry, Kind, SavedImage

HOPS = 40  # links to resolve for one path, as in Linux
SMALL = 1 << 16
# No MD5 is needed in folders without files of dpkg.
NOT_DPKGS = ("/opt/", "/usr/local/", "/home/")
# Documents that are kept whole: those of package managers, and those that rules for unpackaged files check.
FOLDERS = ("/var/lib/dpkg/info/", "/var/lib/dpkg/alternatives/", "/usr/share/ca-certificates/", "/opt/app/")
FILES = {
    "/var/lib/dpkg/status",
    "/var/lib/dpkg/diversions",
    "/var/lib/apt/extended_states",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/certs/java/cacerts",
    "/etc/ld.so.cache",
    "/etc/group",
    "/etc/gshadow",
    "/etc/passwd",
    "/etc/shadow",
}
DOCUMENTS = {"RECORD", "METADATA", "PKG-INFO", "pyvenv.cfg"}
PYC_HEADER = 16
NPM_PACKAGE = re.compile(r"/node_modules/(@[^/]+/)?[^/]+/package\.json$")  # has its version


def choose_content(path: str) -> Wanted:
    """Return how much of a file the reader of layers keeps for an audit."""
    folder, name = posixpath.split(path)
    wanted = Wanted(md5=not path.startswith(NOT_DPKGS), gpu=True)
    if name.endswith(".pyc"):
        return wanted._replace(size=PYC_HEADER)
    if path in FILES or path.startswith(FOLDERS) or name in DOCUMENTS or name.endswith(".egg-info"):
        return wanted._replace(size=MEMORY_LIMIT)
    if (folder.startswith("/opt/") and folder.endswith("/bin")) or NPM_PACKAGE.search(path):
        return wanted._replace(size=SMALL)
    if found := package_lists.choose_list(path):
        return wanted._replace(make=found[0], size=found[1])
    return wanted


class FileSystem:
    """The layers of an image on top of each other; links are resolved by path, never on the host."""

    def __init__(self, image: SavedImage) -> None:
        self.image = image
        self.paths = image.merged()
        self._folders: dict[str, str] = {"/": "/"}

    def __contains__(self, path: str) -> bool:
        """Tell whether the image has a path; links among its folders are not followed."""
        return path in self.paths

    def find_layer(self, path: str) -> int:
        """Return the number of the highest layer with a path."""
        return self.paths[path][1]

    def find_instruction(self, number: int) -> str:
        """Return the instruction that made a layer, on one line."""
        return " ".join(self.image.layers[number].created_by.split())

    def find_entry(self, path: str) -> Entry:
        """Return the entry of a path; for a hard link, that of the file with the content."""
        first = self.list_headers(path)[0]
        return first._replace(path=path) if first.kind is Kind.FILE else self.paths[path][0]

    def list_headers(self, path: str) -> list[Entry]:
        """Return the entries of all hard links to a path's file in its layer, the file first.

        They are one file, and an engine gives it the rights of each of them, the last one's at the end.
        """
        entry, layer = self.paths[path]
        return self._linked[layer].get(path, [entry])

    @cached_property
    def _linked(self) -> list[dict[str, list[Entry]]]:
        """The files with hard links in each layer: the entries of each, by the paths of all of them."""
        tables = []
        for layer in self.image.layers:
            targets = {entry.target for entry in layer.entries if entry.kind is Kind.HARDLINK}
            table: dict[str, list[Entry]] = {}
            for entry in layer.entries:
                if entry.kind is Kind.HARDLINK:
                    table[entry.path] = table.setdefault(entry.target, [])
                    table[entry.path].append(entry)
                elif entry.path in targets and entry.kind in (Kind.FILE, Kind.SYMLINK, Kind.DEVICE):
                    table[entry.path] = [entry]
            tables.append(table)
        return tables

    def read_content(self, path: str) -> bytes:
        """Return the part of a file that was kept; empty if nothing was."""
        if path not in self.paths:
            return b""
        return self.image.layers[self.find_layer(path)].kept.get(self.list_headers(path)[0].path, b"")

    def read_text(self, path: str) -> str:
        """Return a kept document as text."""
        return self.read_content(path).decode(errors="replace")

    def resolve_folders(self, path: str) -> str:
        """Return a path with links among its folders resolved, but not a link at its end: /lib/x becomes /usr/lib/x."""
        folder, name = posixpath.split(posixpath.normpath(path))
        if folder not in self._folders:
            self._folders[folder] = self.resolve_links(folder)
        return posixpath.join(self._folders[folder], name)

    def resolve_links(self, path: str) -> str:
        """Return a path with all links resolved; the path itself for a loop of links."""
        here, names, hops = "/", path.split("/")[::-1], 0
        while names:
            name = names.pop()
            there = posixpath.normpath(posixpath.join(here, name))
            entry = self.paths.get(there, (None, 0))[0]
            if entry is None or entry.kind is not Kind.SYMLINK or name in ("", ".", ".."):
                here = there
                continue
            hops += 1
            if hops > HOPS:
                return path
            here = "/" if entry.target.startswith("/") else here
            names += entry.target.split("/")[::-1]
        return here

    def list_files(self) -> Iterator[str]:
        """Yield every path except those of folders."""
        return (path for path, (entry, _) in self.paths.items() if entry.kind is not Kind.DIRECTORY)
