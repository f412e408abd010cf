"""The base image's files that an update of Debian's replaces: a registry's image is older than Debian's fixes."""

from debian.debian_support import Version

from slipway.audit.debian_packages import STATUS, Package, read_packages
from slipway.image.filesystem import FileSystem
from slipway.image.layers import Layer, SavedImage


def list_updated(saved: SavedImage) -> set[str]:
    """Return the files of the base image's packages of which the image has a later version."""
    base = saved.layers[0]
    before = read_status(base)
    after = read_status(next(layer for layer in reversed(saved.layers) if STATUS in layer.kept))
    updated = [package for name, package in before.items() if name in after and is_later(after[name], package)]
    # Debian 12's lists have /lib, which is a link to /usr/lib.
    resolve = FileSystem(saved).resolve_folders
    return {resolve(path) for package in updated for path in list_files(base, package)}


def read_status(layer: Layer) -> dict[str, Package]:
    """Return the packages that are installed after a layer, by name; none where it has no status of dpkg."""
    return read_packages(layer.kept.get(STATUS, b"").decode())


def is_later(package: Package, other: Package) -> bool:
    """Tell whether a package has a later version than another."""
    return Version(package.version) > Version(other.version)


def list_files(layer: Layer, package: Package) -> set[str]:
    """Return a package's files, and dpkg's own files about it."""
    own = {entry.path for entry in layer.entries if entry.path.startswith(f"{package.info_prefix}.")}
    return own | {*layer.kept[f"{package.info_prefix}.list"].decode().splitlines()}
