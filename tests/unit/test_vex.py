"""VEX documents: who answers for one, why, and how long it counts."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import SlipwayError
from slipway.scan import trivy, vex
from slipway.scan.policy import LONGEST

NOW = datetime.now(UTC)
OPENVEX = {"@context": "https://openvex.dev/ns/v0.2.0", "author": "a team", "timestamp": NOW.isoformat()}


def made_at(time: datetime) -> dict[str, Any]:
    return OPENVEX | {"timestamp": time.isoformat()}


def read(folder: Path, document: object) -> dict[str, str]:
    """Return the entry in scan.json of a document."""
    file = folder / "shop.json"
    file.write_text(json.dumps(document))
    return vex.read_document(file).record(file.name)


CSAF = {"document": {"publisher": {"name": "a team"}, "tracking": {"current_release_date": NOW.isoformat()}}}


@pytest.mark.parametrize("document", [OPENVEX, CSAF], ids=["OpenVEX", "CSAF"])
def test_a_document_has_an_owner_and_an_end(tmp_path: Path, document: object) -> None:
    """As an entry of the policy has; the gate of a release reads both alike."""
    expected = {"identifier": "shop.json", "statement": "VEX document (owner: a team)"}
    assert read(tmp_path, document) == expected | {"expires": str((NOW + LONGEST).date())}


def test_the_last_change_counts(tmp_path: Path) -> None:
    old = made_at(NOW - timedelta(days=900))
    assert read(tmp_path, old | {"last_updated": NOW.isoformat()})["expires"] == str((NOW + LONGEST).date())


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {**OPENVEX, "author": " "},
        {"author": "a team"},
        {**OPENVEX, "timestamp": "2026-01-01T00:00:00"},
        made_at(NOW - LONGEST - timedelta(hours=1)),
        made_at(NOW + timedelta(hours=1)),
        {**OPENVEX, "timestamp": "0001-01-01T00:00:00+14:00"},
        {**OPENVEX, "timestamp": "9999-12-31T23:59:59-14:00"},
        {"document": {"tracking": {"current_release_date": NOW.isoformat()}}},
    ],
)
def test_a_document_without_an_owner_or_a_current_date_is_refused(tmp_path: Path, document: object) -> None:
    with pytest.raises(
        SlipwayError, match=r"^--vex: shop\.json must be .* an author and a date within the last 366 days$"
    ):
        read(tmp_path, document)


@pytest.mark.parametrize(
    ("status", "statement", "is_suppressed"),
    [("not_affected", "", False), ("not_affected", "vulnerable_code_not_present", True), ("fixed", "", True)],
)
def test_a_finding_is_suppressed_for_a_reason(*, status: str, statement: str, is_suppressed: bool) -> None:
    """Trivy reports OpenVEX's justification and CSAF's impact."""
    values = {"VulnerabilityID": "CVE-2026-0002", "Severity": "HIGH", "PkgIdentifier": {"PURL": "pkg:pypi/shop@1"}}
    finding = trivy.Finding.model_validate(values)
    change = {"status": status, "statement": statement, "source": "vex-1-shop.json"}
    assert finding.model_copy(update=change).is_suppressed is is_suppressed
