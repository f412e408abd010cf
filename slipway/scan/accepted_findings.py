"""The findings of a scan that are accepted, as exceptions.toml lists them: by whom, why, and until when."""

import re
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from slipway.errors import SlipwayError
from slipway.matrix import ROOT

FILE = ROOT / "exceptions.toml"
KEYS = ("identifier", "package", "images", "reason", "owner", "expires")
LONGEST = timedelta(days=366)
# What a scan can name: vulnerabilities as their databases number them, rules of misconfigurations and of secrets.
IDENTIFIER = re.compile(
    r"CVE-\d{4}-\d{4,}|GHSA(-[23456789cfghjmpqrvwx]{4}){3}|(DSA|DLA)-\d+-\d+|TEMP-\d{7}-[0-9A-F]{6}"
    r"|(PYSEC|GO|RUSTSEC|OSV)-\d{4}-\d+|(AVD-)?[A-Z]{2,8}-\d{4}|[a-z][a-z0-9]*(-[a-z0-9]+)+"
)


@dataclass(frozen=True)
class Accepted:
    """One finding that is accepted, in the images whose names fit one of the patterns."""

    identifier: str
    package: str
    images: tuple[str, ...]
    reason: str
    owner: str
    expires: date

    def concerns(self, image: str) -> bool:
        """Whether it is for an image of this name."""
        return any(fnmatchcase(image, pattern) for pattern in self.images)

    def has_expired(self) -> bool:
        """Whether its last day is over, in UTC."""
        return self.expires < today()

    def __str__(self) -> str:
        """Return how a report names it."""
        return f"{self.identifier} of {self.package}"


def today() -> date:
    """Return the day that counts everywhere, UTC's."""
    return datetime.now(UTC).date()


def load(images: Collection[str], file: Path = FILE) -> tuple[Accepted, ...]:
    """Return the exceptions of this repository, none where there is no file; SlipwayError names what is wrong."""
    try:
        return read(file.read_text(encoding="utf-8"), images)
    except FileNotFoundError:
        return ()
    except UnicodeDecodeError as error:
        raise SlipwayError(f"{file.name} is not UTF-8 text: {error}") from None


def read(text: str, images: Collection[str]) -> tuple[Accepted, ...]:
    """Return the exceptions of a TOML text, for images of these names; SlipwayError names the row, the key and why."""
    try:
        document = tomllib.loads(text)
    except ValueError as error:  # tomllib's own error, and an impossible date
        raise SlipwayError(f"exceptions.toml is not valid TOML: {error}") from None
    rows = document.pop("exception", [])
    if document or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SlipwayError("exceptions.toml holds [[exception]] tables and nothing else")
    found = tuple(_read_row(f"exceptions.toml: exception {number}", row, images) for number, row in enumerate(rows, 1))
    for twice in _twice(found):
        raise SlipwayError(f"exceptions.toml: {twice} stands there twice for the same image")
    return found


def _read_row(where: str, row: dict[str, Any], images: Collection[str]) -> Accepted:
    """Return one exception."""
    if unknown := sorted(row.keys() - set(KEYS)):
        raise SlipwayError(f"{where} has an unknown key {unknown[0]!r}; allowed: {', '.join(KEYS)}")
    identifier = _text(where, row, "identifier")
    if not IDENTIFIER.fullmatch(identifier):
        raise SlipwayError(f"{where}: identifier is {identifier!r}; it must be one that a scan names: CVE-2026-12345")
    return Accepted(
        identifier=identifier,
        package=_text(where, row, "package"),
        images=_patterns(where, row.get("images", ["*"]), images),
        reason=_text(where, row, "reason"),
        owner=_text(where, row, "owner"),
        expires=_day(where, row.get("expires")),
    )


def _text(where: str, row: dict[str, Any], key: str) -> str:
    """Return a string that says something."""
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise SlipwayError(f"{where}: {key} is {value!r}; it must be a string that says something")
    return value.strip()


def _patterns(where: str, value: object, images: Collection[str]) -> tuple[str, ...]:
    """Return the patterns of the images' names, each of which must fit an image that there is."""
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise SlipwayError(f'{where}: images is {value!r}; it must be a list of names such as ["cuda-*"]')
    for pattern in value:
        if not any(fnmatchcase(image, pattern) for image in images):
            raise SlipwayError(f"{where}: images has {pattern!r}, and images.toml has no image of that name")
    return tuple(value)


def _day(where: str, value: object) -> date:
    """Return the last day of an exception, written as TOML's date."""
    if not isinstance(value, date) or isinstance(value, datetime):
        raise SlipwayError(f"{where}: expires is {value!r}; it must be a date without quotes, such as 2026-12-31")
    if value > today() + LONGEST:
        raise SlipwayError(f"{where}: expires is {value}; it must be a day within the next {LONGEST.days} days")
    return value


def _twice(found: Collection[Accepted]) -> Iterator[Accepted]:
    """Yield each exception that an earlier one covers already."""
    seen: set[tuple[str, str, str]] = set()
    for item in found:
        keys = {(item.identifier, item.package, pattern) for pattern in item.images}
        if seen & keys:
            yield item
        seen |= keys
