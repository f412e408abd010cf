"""Package URLs, by which an SBOM and a scanner name the same package: pkg:deb/debian/apt@3.0.3?arch=amd64."""

import re
from typing import NamedTuple
from urllib.parse import parse_qs, unquote

PATTERN = re.compile(r"pkg:/*([^/@?#]+)/([^@?#]+)(?:@([^?#]*))?(?:\?([^#]*))?(?:#.*)?")


class Package(NamedTuple):
    """A package in one version, in the spelling in which two tools agree."""

    type: str
    name: str
    version: str


def read(text: str) -> Package:
    """Return the package that a purl names; ValueError when it is none."""
    match = PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no package URL")
    kind, name, version = match[1].lower(), unquote(match[2]), unquote(match[3] or "")
    epoch = parse_qs(match[4] or "").get("epoch", ["0"])[0]
    if kind == "deb":
        name = name.rpartition("/")[2]  # the vendor is the image's
        version = f"{epoch}:{version}" if epoch != "0" and ":" not in version else version
    if kind == "pypi":
        name = re.sub(r"[-_.]+", "-", name)
    return Package(kind, name.lower(), version)
