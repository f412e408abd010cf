"""Package URLs, the common names of packages in SBOMs and scanners: pkg:deb/debian/apt@3.0.3?arch=amd64."""

from typing import NamedTuple

from packageurl import PackageURL
from packaging.utils import canonicalize_name


class Package(NamedTuple):
    """A package in one version, spelled in a way that is the same for Syft and Trivy."""

    type: str
    name: str
    version: str


def parse_package_url(text: str) -> Package:
    """Return the package of a purl; ValueError for an invalid one."""
    purl = PackageURL.from_string(text)
    name, version = purl.name, purl.version or ""
    if purl.type == "deb":  # the namespace is the distribution of the image
        epoch = dict(purl.qualifiers).get("epoch", "0")
        version = f"{epoch}:{version}" if epoch != "0" and ":" not in version else version
    elif purl.namespace:
        name = f"{purl.namespace}/{name}"
    if purl.type == "pypi":
        name = canonicalize_name(name)
    return Package(purl.type, name.lower(), version)
