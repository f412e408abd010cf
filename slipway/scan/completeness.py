"""Compares the packages that Trivy examined with those of the SBOM: a package that was not examined has no result."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from packageurl import PackageURL
from packaging.utils import canonicalize_name

from slipway import sbom
from slipway.errors import SlipwayError
from slipway.matrix import Image
from slipway.scan.policy import Component
from slipway.scan.trivy import NotScannedError

SHOWN = 5  # names of packages in a message


class Package(NamedTuple):
    """A package in one version, spelled in a way that is the same for Syft and Trivy."""

    type: str
    name: str
    version: str


@dataclass(frozen=True)
class Kind:
    """The packages of one kind in the SBOM."""

    name: str
    listed: int
    examined: int
    known: bool  # the database finds vulnerabilities of this kind
    accepted: int  # not covered, which the policy accepts
    missing: tuple[str, ...]  # neither covered nor accepted

    @property
    def problem(self) -> str:
        """Why these packages do not count as scanned, if any is missing."""
        names = ", ".join(self.missing[:SHOWN]) + (", …" if len(self.missing) > SHOWN else "")
        if self.known:
            return f"{self.examined} of {self.listed} {self.name} packages of the SBOM were examined, not: {names}"
        return f"the vulnerability database lists no {self.name} packages of this system: {names}"


def parse_package_url(text: str) -> Package:
    """Return the package of a purl such as pkg:deb/debian/apt@3.0.3?arch=amd64; ValueError for an invalid one."""
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


def read_sbom_packages(image: Image, image_id: str) -> set[Package]:
    """Return the packages of an image's SBOM; NotScannedError when it is missing, damaged or about another image."""
    file = image.results / sbom.CYCLONEDX
    try:
        packages = {parse_package_url(component.purl) for component in sbom.read_components(file)}
        problem = "" if sbom.find_image_ids(sbom.read_document(file)) == {image_id} else "it is about another image"
    except (SlipwayError, ValueError) as error:
        packages, problem = set(), str(error)
    if problem or not packages:
        problem = problem or "it lists no package"
        raise NotScannedError(f"there is no SBOM to compare with: {problem}; run nox -s sbom -- {image.name}")
    return packages


def compare_packages(
    listed: set[Package], examined: set[Package], known: Collection[str], components: Sequence[Component]
) -> tuple[list[Kind], list[Component]]:
    """Return a Kind for each kind of package in the SBOM, and the components of the policy that are needed."""
    uncovered = {package for package in listed if package.type not in known or package not in examined}
    needed = {parse_package_url(each.identifier): each for each in components}
    needed = {package: each for package, each in needed.items() if package in uncovered}
    kinds = []
    for name in sorted({package.type for package in listed}):
        those = {package for package in listed if package.type == name}
        accepted = {package for package, each in needed.items() if package in those and not each.has_expired}
        missing = sorted(f"{package.name} {package.version}" for package in those & uncovered - accepted)
        kinds.append(Kind(name, len(those), len(those & examined), name in known, len(accepted), tuple(missing)))
    return kinds, list(needed.values())
