"""Accepted findings of a scan, from exceptions.toml: each with an owner, a reason and an expiry date."""

import re
from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from slipway import repository
from slipway.errors import SlipwayError
from slipway.toml import Table, join_names, read_toml

FILE = repository.ROOT / "exceptions.toml"
LONGEST = timedelta(days=366)
# Identifiers in a scan: of vulnerabilities, and of Trivy's rules for misconfigurations and secrets.
IDENTIFIER = re.compile(
    r"CVE-\d{4}-\d{4,}|GHSA(-[23456789cfghjmpqrvwx]{4}){3}|(DSA|DLA)-\d+-\d+|TEMP-\d{7}-[0-9A-F]{6}"
    r"|(PYSEC|GO|RUSTSEC|OSV)-\d{4}-\d+|(AVD-)?[A-Z]{2,8}-\d{4}|[a-z][a-z0-9]*(-[a-z0-9]+)+"
)


def find_today() -> date:
    """Return the current day in UTC."""
    return datetime.now(UTC).date()


def check_identifier(text: str) -> str:
    """Return the text; ValueError when it has the form of no identifier."""
    if not IDENTIFIER.fullmatch(text):
        raise ValueError
    return text


def check_day(day: date) -> date:
    """Return the day; ValueError when it is too far ahead."""
    if day > find_today() + LONGEST:
        raise ValueError
    return day


Text = Annotated[
    str, Field(pattern=r"\S", description="a string that says something"), AfterValidator(lambda text: text.strip())
]


class Accepted(Table):
    """An [[exception]] table: one accepted finding, in the images whose names match one of the patterns."""

    identifier: Annotated[
        str, Field(description="one that a scan names: CVE-2026-12345"), AfterValidator(check_identifier)
    ]
    package: Text
    images: Annotated[
        tuple[str, ...], Field(strict=False, min_length=1, description='a list of names such as ["cuda-*"]')
    ] = ("*",)
    reason: Text
    owner: Text
    expires: Annotated[
        date,
        Field(description=f"a date without quotes, such as 2026-12-31, within the next {LONGEST.days} days"),
        AfterValidator(check_day),
    ]

    def applies_to(self, image: str) -> bool:
        """Tell whether it is for an image."""
        return any(fnmatchcase(image, pattern) for pattern in self.images)

    def has_expired(self) -> bool:
        """Tell whether its last day (UTC) is over."""
        return self.expires < find_today()

    def __str__(self) -> str:
        """Return its name in reports."""
        return f"{self.identifier} of {self.package}"


class Exceptions(Table):
    """exceptions.toml."""

    exception: list[Accepted] = Field([], description="[[exception]] tables")


def load_accepted(images: Collection[str], file: Path = FILE) -> tuple[Accepted, ...]:
    """Return the exceptions of this repository, none without the file; SlipwayError for an invalid one."""
    return check_accepted(read_toml(file, Exceptions), images) if file.exists() else ()


def check_accepted(content: Exceptions, images: Collection[str]) -> tuple[Accepted, ...]:
    """Return the exceptions; SlipwayError for a pattern that matches no image, or a repeated exception."""
    for number, item in enumerate(content.exception):
        for pattern in item.images:
            if not any(fnmatchcase(image, pattern) for image in images):
                where = f"{FILE.name}: {join_names(['exception', number])}"
                raise SlipwayError(f"{where} images has {pattern!r}, which matches no image of images.toml")
    for twice in _find_repeated(content.exception):
        raise SlipwayError(f"{FILE.name}: {twice} is listed twice for the same image")
    return tuple(content.exception)


def _find_repeated(found: Collection[Accepted]) -> Iterator[Accepted]:
    """Yield each exception that repeats an earlier one."""
    seen: set[tuple[str, str, str]] = set()
    for item in found:
        keys = {(item.identifier, item.package, pattern) for pattern in item.images}
        if seen & keys:
            yield item
        seen |= keys
