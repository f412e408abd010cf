"""The policy of a scan: policy/scan.toml has the limits, policy/.trivyignore.yaml the accepted findings.

Trivy applies the second file. Slipway checks it first, because Trivy takes a misspelled key, an entry without purl or
path and an expired one without a word. It then gets a copy without the expired ones: for Trivy a day ends as it begins.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, get_args

import yaml
from packageurl import PackageURL
from pydantic import AfterValidator, Field

from slipway import repository
from slipway.errors import SlipwayError
from slipway.images_toml import Days
from slipway.toml import Reason, Table, check_content, read_toml

LIMITS, ACCEPTED = "scan.toml", ".trivyignore.yaml"
LONGEST = timedelta(days=366)
STATEMENT = r"^\S.* \(owner: \S[^()]*\)$"


def find_today() -> date:
    """Return the current day in UTC."""
    return datetime.now(UTC).date()


def check_day(day: date) -> date:
    """Return the day; ValueError when it is too far ahead."""
    if day > find_today() + LONGEST:
        raise ValueError
    return day


def check_purl(text: str) -> str:
    """Return a purl; ValueError for one without a version, which would match later versions as well."""
    if not PackageURL.from_string(text).version:
        raise ValueError
    return text


def check_path(text: str) -> str:
    """Return a path; ValueError for one that matches files in any folder or of any name."""
    if "**" in text or not text.rpartition("/")[2].strip("*?"):
        raise ValueError
    return text


Purl = Annotated[str, AfterValidator(check_purl)]
AnyPaths = Annotated[tuple[str, ...], Field(strict=False, min_length=1, description="a list of files")]
Paths = Annotated[
    tuple[Annotated[str, AfterValidator(check_path)], ...],
    Field(strict=False, min_length=1, description="a list of files, without ** and with more of a name than *"),
]
Purls = Annotated[
    tuple[Purl, ...], Field(strict=False, min_length=1, description="a list of purls with versions: pkg:pypi/shop@1.0")
]
FindingKind = Literal["vulnerability", "unfixed", "secret", "misconfiguration"]
Severity = Literal["CRITICAL", "HIGH", "MEDIUM", "LOW", "UNKNOWN"]
SEVERITIES = get_args(Severity)
Severities = Annotated[tuple[Severity, ...], Field(strict=False, description=f"a list of {', '.join(SEVERITIES)}")]
LastDay = Annotated[
    date,
    Field(description=f"a date without quotes, such as 2026-12-31, within the next {LONGEST.days} days"),
    AfterValidator(check_day),
]


class Entry(Table):
    """Something that is accepted until the end of a day (UTC)."""

    identifier: str
    statement: str
    expired_at: LastDay

    @property
    def has_expired(self) -> bool:
        """Whether its last day is over."""
        return self.expired_at < find_today()

    def record(self) -> dict[str, str]:
        """Return its entry in scan.json."""
        return {"identifier": self.identifier, "statement": self.statement, "expires": str(self.expired_at)}


class Finding(Entry):
    """An accepted finding in a file."""

    identifier: str = Field(alias="id", pattern=r"^[\w-]*\w$", description="one that a scan names: CVE-2026-12345")
    statement: str = Field(pattern=STATEMENT, description="one line: REASON (owner: NAME)")
    paths: Paths


class Vulnerability(Finding):
    """An accepted vulnerability of packages in one version."""

    purls: Purls
    paths: AnyPaths | None = None  # type: ignore[assignment]  # the purls bind it


class Accepted(Table):
    """policy/.trivyignore.yaml."""

    vulnerabilities: list[Vulnerability] = Field([], description="a list")
    misconfigurations: list[Finding] = Field([], description="a list")
    secrets: list[Finding] = Field([], description="a list")

    def entries(self) -> list[Finding]:
        """Return the entries of all lists."""
        return [*self.vulnerabilities, *self.misconfigurations, *self.secrets]

    def make_copy(self) -> str:
        """Return the text for Trivy: the entries that hold today, without their ends. JSON is YAML."""
        copy = {
            name: [item.model_dump(by_alias=True, exclude={"expired_at"}) for item in items if not item.has_expired]
            for name, items in self
        }
        return json.dumps(copy)


class Component(Entry):
    """A [[component]] of an SBOM that no database covers."""

    identifier: Purl = Field(alias="purl", description="a purl with a version: pkg:generic/node@22.1.0")
    statement: Reason = Field(alias="reason")


class Limits(Table):
    """policy/scan.toml."""

    database_days: Days
    java_database_days: Days
    lock_days: Days
    fails: dict[FindingKind, Severities] = Field(min_length=4, description="a table with all four kinds of findings")
    component: list[Component] = Field([], description="[[component]] tables")


@dataclass(frozen=True)
class Policy:
    """The content of both files, and the digest of their bytes."""

    limits: Limits
    accepted: Accepted
    digest: str

    def entries(self) -> list[Entry]:
        """Return everything that is accepted."""
        return [*self.accepted.entries(), *self.limits.component]


def load(folder: Path = repository.ROOT / "policy") -> Policy:
    """Return the policy; SlipwayError when it is invalid."""
    limits = read_toml(folder / LIMITS, Limits)
    try:
        content = yaml.safe_load((folder / ACCEPTED).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SlipwayError(f"{ACCEPTED} cannot be read: {' '.join(str(error).split())}") from None
    accepted = check_content(content or {}, Accepted, ACCEPTED)
    refuse_repeated(ACCEPTED, "statement", (item.statement for item in accepted.entries()))
    refuse_repeated(LIMITS, "purl", (item.identifier for item in limits.component))
    both = b"".join((folder / name).read_bytes() for name in (LIMITS, ACCEPTED))
    return Policy(limits, accepted, hashlib.sha256(both).hexdigest())


def refuse_repeated(file: str, key: str, values: Iterable[str]) -> None:
    """Raise SlipwayError for a value that two entries have."""
    for value, number in Counter(values).items():
        if number > 1:
            raise SlipwayError(f"{file}: two entries have the {key} {value!r}; each needs its own")
