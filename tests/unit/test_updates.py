"""Which files of a base image an update of Debian's may replace."""

from slipway.audit.debian_packages import INFO, STATUS
from slipway.image.layers import Entry, Kind, Layer, SavedImage
from tests.images.helpers.updates import list_updated

ZLIB = "Package: zlib1g\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: same\nVersion: {}\n"
BASH = "\nPackage: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2\n"
LISTS = {f"{INFO}/zlib1g:amd64.list": b"/.\n/lib/libz.so.1.2\n", f"{INFO}/bash.list": b"/.\n/bin/bash\n"}


def make_image(*versions: str) -> SavedImage:
    """Return an image of two packages with a layer for each version of one of them, and one without packages."""
    entries = tuple(Entry(path, Kind.FILE, 1, 0o644, 0, 0, "", "") for path in LISTS)
    entries += (Entry("/lib", Kind.SYMLINK, 0, 0o777, 0, 0, "usr/lib", ""),)
    kept = [{STATUS: f"{ZLIB.format(version)}{BASH}".encode(), **LISTS} for version in versions]
    return SavedImage((*(Layer("", "", entries, each) for each in kept), Layer("", "", ())), {})


def test_files_of_an_updated_package_are_listed() -> None:
    expected = {"/", "/usr/lib/libz.so.1.2", f"{INFO}/zlib1g:amd64.list"}
    assert list_updated(make_image("1.2", "1.2+deb12u1")) == expected


def test_the_same_or_an_older_version_is_no_update() -> None:
    assert list_updated(make_image("1.2", "1.2")) == set()
    assert list_updated(make_image("1.2", "1.1")) == set()
