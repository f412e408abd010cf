"""Each file of the image belongs to a package, a distribution, this repository or a rule, and is that owner's own.

The audit's findings that need nothing but the image. Its owners and rules: docs/auditing.md.
"""

import pytest

from slipway.audit import audit
from slipway.audit.findings import Finding
from slipway.image.layers import SavedImage
from slipway.matrix import Image
from tests.images.helpers.scope import applies

pytestmark = [applies(), pytest.mark.exact]

SHOWN = 10


@pytest.fixture(scope="module")
def findings(saved: SavedImage, contract: Image) -> list[Finding]:
    """What the audit finds; it compares with the files of this repository, which must be those of the build."""
    result = audit.audit_files(contract, saved)
    assert sum(result.owners.values()) > 1000
    return result.findings


def listing(findings: list[Finding], kind: str) -> list[str]:
    """Return the findings of a kind, a line for each of the first."""
    found = [f"{finding.what}: {finding.detail}" for finding in findings if finding.kind == kind]
    return [*found[:SHOWN], *([f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else [])]


def test_every_file_has_an_owner(findings: list[Finding]) -> None:
    """A program before ours on PATH, a module that Python runs at its start, settings beside ours: nothing has them."""
    assert listing(findings, "unowned") == []


def test_every_file_is_its_owners(findings: list[Finding]) -> None:
    """Its content is what the owner's database says: a changed program works as before until it does not."""
    assert listing(findings, "changed") == []


def test_no_file_of_an_owner_is_missing(findings: list[Finding]) -> None:
    """Except for those that the repository's rules and trims leave out."""
    assert listing(findings, "deleted") == []


def test_every_record_is_the_locked_wheels(findings: list[Finding]) -> None:
    """A distribution's list of its files is a file of the image, too: it could be changed with what it lists."""
    assert [*listing(findings, "record edited"), *listing(findings, "no record")] == []


@pytest.mark.requirement("N2")
def test_no_content_is_there_twice(findings: list[Finding]) -> None:
    """By any name, in any layers: a second copy of a library is downloaded, and either of the two may be loaded."""
    assert listing(findings, "same content") == []


def test_no_file_has_capabilities(findings: list[Finding]) -> None:
    """They give rights as setuid does, and the mode does not show them. No extended attribute is needed."""
    assert listing(findings, "extended attribute") == []
