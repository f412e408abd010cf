"""VEX documents (OpenVEX or CSAF) that a scan takes: the author answers for one, and it counts for a limited time.

The formats have no day of expiry. A document counts for as long as an entry of the policy may last, from its own date.
"""

from datetime import UTC, datetime
from pathlib import Path

from pydantic import AliasChoices, AliasPath, AwareDatetime, BaseModel, Field, ValidationError

from slipway.errors import SlipwayError
from slipway.scan.policy import LONGEST


class Document(BaseModel):
    """A VEX document, with the keys that are read."""

    author: str = Field(
        pattern=r"\S", validation_alias=AliasChoices("author", AliasPath("document", "publisher", "name"))
    )
    made: AwareDatetime = Field(
        validation_alias=AliasChoices(
            "last_updated", "timestamp", AliasPath("document", "tracking", "current_release_date")
        )
    )

    def record(self, name: str) -> dict[str, str]:
        """Return its entry among the exceptions of scan.json."""
        last = (self.made + LONGEST).astimezone(UTC).date()
        return {"identifier": name, "statement": f"VEX document (owner: {self.author})", "expires": str(last)}


def read_document(file: Path) -> Document:
    """Return a VEX document; SlipwayError without an author or a date that counts today."""
    now = datetime.now(UTC)
    try:
        found = Document.model_validate_json(file.read_bytes())
        is_valid = now - LONGEST <= found.made <= now
    except ValidationError:
        is_valid = False
    if not is_valid:
        raise SlipwayError(
            f"--vex: {file.name} must be an OpenVEX or CSAF document with an author and a date within the last "
            f"{LONGEST.days} days"
        )
    return found
