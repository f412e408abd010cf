"""Compares the packages that Trivy examined with those of the SBOM: a package that was not examined has no result."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from slipway import sbom
from slipway.errors import SlipwayError
from slipway.matrix import Image
from slipway.scan import package_urls
from slipway.scan.package_urls import Package
from slipway.scan.trivy import NotScannedError, Report

SHOWN = 5  # names of packages in a message


@dataclass(frozen=True)
class Kind:
    """The packages of one kind: how many the SBOM lists, how many were examined, and which were not."""

    name: str
    listed: int
    examined: int
    missing: tuple[str, ...]
    known: bool  # the database finds vulnerabilities of this kind
    unknown_because: str  # why no database lists this kind, from images.toml

    @property
    def problem(self) -> str:
        """Why these packages do not count as scanned; empty if they do."""
        if self.unknown_because:
            return ""
        if self.missing:
            names = ", ".join(self.missing[:SHOWN]) + (", …" if len(self.missing) > SHOWN else "")
            return f"{self.examined} of {self.listed} {self.name} packages of the SBOM were examined, not: {names}"
        if not self.known:
            return f"the vulnerability database lists no {self.name} packages of this system"
        return ""


def read_sbom_packages(image: Image, image_id: str) -> set[Package]:
    """Return the packages of an image's SBOM; NotScannedError when it is missing, damaged or about another image."""
    file = image.results / sbom.CYCLONEDX
    make = f"nox -s sbom -- {image.name}"
    if not file.is_file():
        raise NotScannedError(f"there is no SBOM to compare with: {make}")
    try:
        packages = {package_urls.parse_package_url(component.purl) for component in sbom.read_components(file)}
    except (SlipwayError, ValueError) as error:
        raise NotScannedError(f"{file.name} cannot be read: {error}; run {make}") from None
    if sbom.find_image_ids(sbom.read_document(file)) != {image_id}:
        raise NotScannedError(f"{file.name} is about another image: {make}")
    if not packages:
        raise NotScannedError(f"{file.name} lists no package: {make}")
    return packages


def compare_packages(
    packages: Collection[Package], report: Report, known: Collection[str], unknown: Mapping[str, str]
) -> list[Kind]:
    """Return a Kind for each kind of package in the SBOM."""
    kinds = []
    for name in sorted({package.type for package in packages}):
        those = {package for package in packages if package.type == name}
        missing = sorted(f"{package.name} {package.version}" for package in those - report.packages)
        examined = len(those) - len(missing)
        kinds.append(Kind(name, len(those), examined, tuple(missing), name in known, unknown.get(name, "")))
    return kinds
