"""What counts as the SBOM of an image, and which of its packages count as scanned."""

from datetime import timedelta
from typing import Any

import pytest

from slipway import results, sbom
from slipway.matrix import load_matrix
from slipway.scan import completeness, policy
from slipway.scan.completeness import Package
from slipway.scan.policy import Component
from slipway.scan.trivy import NotScannedError

IMAGE = load_matrix().find_image("cpu-base")
APT = {"name": "apt", "version": "3.0.3", "purl": "pkg:deb/debian/apt@3.0.3?arch=amd64"}
ABOUT = {"properties": [{"name": sbom.IMAGE, "value": "sha256:1"}]}


def document(*components: object, about: dict[str, Any] = ABOUT) -> dict[str, Any]:
    """Return a CycloneDX document."""
    return {"bomFormat": "CycloneDX", "metadata": about, "components": list(components)}


@pytest.mark.usefixtures("root")
def test_the_packages_of_an_sbom() -> None:
    results.write_json(IMAGE.results / sbom.CYCLONEDX, document(APT, {"type": "file", "name": "/x"}))
    assert completeness.read_sbom_packages(IMAGE, "sha256:1") == {Package("deb", "apt", "3.0.3")}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "is missing or damaged"),
        (document(APT, about={}), "is about another image"),
        (document(APT, about={"properties": [{"name": sbom.IMAGE, "value": "sha256:2"}]}), "is about another image"),
        (document(), "lists no package"),
        (document(APT | {"purl": "pkg:deb"}), "purl"),
        (document({"name": "apt", "purl": "pkg:deb/debian/apt@3"}), "no name, no version or no package URL"),
        ({"metadata": ABOUT, "components": {}}, "is no CycloneDX list"),
        ({}, "is missing or damaged"),
    ],
)
@pytest.mark.requirement("N4")
@pytest.mark.usefixtures("root")
def test_what_is_no_sbom_of_the_image(content: dict[str, Any] | None, reason: str) -> None:
    if content is not None:
        results.write_json(IMAGE.results / sbom.CYCLONEDX, content)
    with pytest.raises(NotScannedError, match=f"there is no SBOM to compare with: .*{reason}.*nox -s sbom -- cpu-base"):
        completeness.read_sbom_packages(IMAGE, "sha256:1")


NODE = Package("generic", "node", "22.1.0")
SHOP = Package("pypi", "shop", "1.0")


@pytest.mark.parametrize(
    ("named", "days", "missing"),
    [
        ("pkg:generic/node@22.1.0", 0, ()),
        ("pkg:generic/node@22.1.0", -1, ("node 22.1.0",)),
        ("pkg:generic/node@14.0.0", 0, ("node 22.1.0",)),
        ("pkg:generic/openssl@22.1.0", 0, ("node 22.1.0",)),
    ],
    ids=["named", "expired", "other version", "other name"],
)
@pytest.mark.requirement("N4")
def test_what_no_database_covers_is_named_in_its_version(named: str, days: int, missing: tuple[str, ...]) -> None:
    """That Trivy lists it is not enough, and no entry stands for a kind."""
    last = policy.find_today() + timedelta(days=days)
    component = Component.model_validate({"purl": named, "reason": "a test", "expired_at": last})
    kinds, needed = completeness.compare_packages({NODE, SHOP}, {NODE, SHOP}, {"pypi"}, [component])
    assert {kind.name: kind.missing for kind in kinds} == {"generic": missing, "pypi": ()}
    assert needed == ([component] if named.endswith("node@22.1.0") else [])
    assert kinds[0].problem.endswith(f"lists no generic packages of this system: {', '.join(missing)}")


def test_an_entry_for_a_package_that_is_covered_is_not_needed() -> None:
    values = {"purl": "pkg:pypi/shop@1.0", "reason": "a test", "expired_at": policy.find_today()}
    component = Component.model_validate(values)
    assert completeness.compare_packages({SHOP}, {SHOP}, {"pypi"}, [component])[1] == []
    assert completeness.compare_packages({SHOP}, set(), {"pypi"}, [component])[1] == [component]


# --- package URLs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "package"),
    [
        ("pkg:deb/debian/apt@3.0.3?arch=amd64&distro=debian-13.2", ("deb", "apt", "3.0.3")),
        (
            "pkg:deb/debian/zlib1g@1.3.dfsg%2Breally1.3.1-1?arch=amd64&epoch=1",
            ("deb", "zlib1g", "1:1.3.dfsg+really1.3.1-1"),
        ),
        ("pkg:deb/debian/zlib1g@1%3A1.3.dfsg%2Breally1.3.1-1", ("deb", "zlib1g", "1:1.3.dfsg+really1.3.1-1")),
        ("pkg:pypi/Typing_Extensions@4.15.0", ("pypi", "typing-extensions", "4.15.0")),
        ("pkg:pypi/ruamel_.yaml@1", ("pypi", "ruamel-yaml", "1")),
        ("pkg:npm/%40babel/core@7.0.0", ("npm", "@babel/core", "7.0.0")),
        ("pkg:golang/golang.org/x/crypto@v0.1.0#ssh", ("golang", "golang.org/x/crypto", "v0.1.0")),
        ("pkg:generic/python", ("generic", "python", "")),
    ],
)
def test_purl_is_read(text: str, package: tuple[str, str, str]) -> None:
    """By the spelling rules of its kind: two tools that name the same package differently are understood."""
    assert completeness.parse_package_url(text) == package


@pytest.mark.parametrize("text", ["", "apt", "pkg:deb", "http://example.com/"])
def test_what_is_no_purl_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="purl"):
        completeness.parse_package_url(text)
