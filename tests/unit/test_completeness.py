"""What counts as the SBOM of an image, beside which a scan is measured."""

from pathlib import Path
from typing import Any

import pytest

from slipway import repository, results, sbom
from slipway.matrix import Image, load_matrix
from slipway.scan import completeness
from slipway.scan.package_urls import Package
from slipway.scan.trivy import NotScannedError

APT = {"name": "apt", "version": "3.0.3", "purl": "pkg:deb/debian/apt@3.0.3?arch=amd64"}
ABOUT = {"properties": [{"name": sbom.IMAGE, "value": "sha256:1"}]}


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    """An image without results."""
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    return load_matrix().find_image("cpu-base")


def document(*components: object, about: dict[str, Any] = ABOUT) -> dict[str, Any]:
    """Return a CycloneDX document."""
    return {"bomFormat": "CycloneDX", "metadata": about, "components": list(components)}


def test_the_packages_of_an_sbom(image: Image) -> None:
    """Files have no purl, and are no packages."""
    results.write_json(image.results / sbom.CYCLONEDX, document(APT, {"type": "file", "name": "/x"}))
    assert completeness.read_sbom_packages(image, "sha256:1") == {Package("deb", "apt", "3.0.3")}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "there is no SBOM to compare with"),
        (document(APT, about={}), "is about another image"),
        (document(APT, about={"properties": [{"name": sbom.IMAGE, "value": "sha256:2"}]}), "is about another image"),
        (document(), "lists no package"),
        (document(APT | {"purl": "pkg:deb"}), "cannot be read"),
        (document({"name": "apt", "purl": "pkg:deb/debian/apt@3"}), "cannot be read"),
        ({"metadata": ABOUT, "components": {}}, "cannot be read"),
        ({}, "cannot be read"),
    ],
)
def test_what_is_no_sbom_of_the_image(image: Image, content: dict[str, Any] | None, reason: str) -> None:
    """Each message has the command to run."""
    if content is not None:
        results.write_json(image.results / sbom.CYCLONEDX, content)
    with pytest.raises(NotScannedError, match=f"{reason}.*nox -s sbom -- cpu-base"):
        completeness.read_sbom_packages(image, "sha256:1")
