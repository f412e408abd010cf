"""The file system of a saved image, as who audits it asks: what lies at a path, whose layer, what is in it."""

import posixpath
from collections.abc import Iterator
from functools import cached_property

from slipway.image.layer_tar import MEMORY_LIMIT, Wanted
from slipway.image.layers import Entry, Kind, SavedImage

HOPS = 40  # of links on the way to a path, as the kernel has it
SMALL = 1 << 16
# Where dpkg owns nothing, no MD5 is needed.
NOT_DPKGS = ("/opt/", "/usr/local/", "/home/")
# Documents that are read whole: those of package managers, and those that a rule of generated.toml looks into.
FOLDERS = ("/var/lib/dpkg/info/", "/usr/share/ca-certificates/", "/opt/app/")
FILES = {
    "/var/lib/dpkg/status",
    "/var/lib/dpkg/diversions",
    "/var/lib/apt/extended_states",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/certs/java/cacerts",
    "/etc/ld.so.cache",
    "/etc/passwd",
    "/etc/shadow",
}
DOCUMENTS = {"RECORD", "METADATA", "PKG-INFO", "package.json", "pyvenv.cfg"}
PYC_HEADER = 16


def wanted(path: str) -> Wanted:
    """Tell the reader of layers what an audit wants of a file."""
    folder, name = posixpath.split(path)
    md5 = not path.startswith(NOT_DPKGS)
    if name.endswith(".pyc"):
        return Wanted(PYC_HEADER, md5)
    if path in FILES or path.startswith(FOLDERS) or name in DOCUMENTS or name.endswith(".egg-info"):
        return Wanted(MEMORY_LIMIT, md5)
    if folder.startswith("/opt/") and folder.endswith("/bin"):
        return Wanted(SMALL, md5)
    return Wanted(0, md5)


class FileSystem:
    """All layers of an image on top of each other. Links are followed here, on paper, and never on the host."""

    def __init__(self, image: SavedImage) -> None:
        self.image = image
        self.paths = image.merged()
        self._folders: dict[str, str] = {"/": "/"}

    def __contains__(self, path: str) -> bool:
        """Tell whether something lies at a path, whose folders are none of them links."""
        return path in self.paths

    def layer(self, path: str) -> int:
        """Return the number of the layer that a path is from."""
        return self.paths[path][1]

    def instruction(self, number: int) -> str:
        """Return the instruction that made a layer, on one line."""
        return " ".join(self.image.layers[number].created_by.split())

    def entry(self, path: str) -> Entry:
        """Return what lies at a path; of a hard link, the file that it shares its content with."""
        entry, layer = self.paths[path]
        if entry.kind is not Kind.HARDLINK:
            return entry
        return self._linked[layer].get(entry.target, entry)._replace(path=path, mode=entry.mode)

    @cached_property
    def _linked(self) -> list[dict[str, Entry]]:
        """Each layer's files that a hard link of the same layer names."""
        tables = []
        for layer in self.image.layers:
            targets = {entry.target for entry in layer.entries if entry.kind is Kind.HARDLINK}
            tables.append({e.path: e for e in layer.entries if e.path in targets and e.kind is Kind.FILE})
        return tables

    def content(self, path: str) -> bytes:
        """Return what was kept of a file; empty where nothing was."""
        if path not in self.paths:
            return b""
        entry, layer = self.paths[path]
        source = entry.target if entry.kind is Kind.HARDLINK else path
        return self.image.layers[layer].kept.get(source, b"")

    def text(self, path: str) -> str:
        """Return a kept document as text."""
        return self.content(path).decode(errors="replace")

    def resolve(self, path: str) -> str:
        """Return a path with the links among its folders followed, not one at its end: /lib/x becomes /usr/lib/x."""
        folder, name = posixpath.split(posixpath.normpath(path))
        if folder not in self._folders:
            self._folders[folder] = self.target(folder)
        return posixpath.join(self._folders[folder], name)

    def target(self, path: str) -> str:
        """Return where a path leads in the end, with every link followed; the path itself where it goes in circles."""
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

    def files(self) -> Iterator[str]:
        """Yield the path of everything that is no folder."""
        return (path for path, (entry, _) in self.paths.items() if entry.kind is not Kind.DIRECTORY)
