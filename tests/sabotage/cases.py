"""The broken images, from the TOML files beside this module: one file for each subject of tests/images."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from slipway import matrix
from slipway.errors import SlipwayError

FOLDER = Path(__file__).parent
KEYS = ("image", "contract", "tag", "breaks", "also", "only")
NOT_SHOWN = "not-shown"
ANY_CHANGE = "any-change"
MOST_CHECKS = 8  # of one case: more faults at once hide each other


@dataclass(frozen=True)
class Case:
    """An image that is broken on purpose, and the checks that must fail on it.

    `breaks` has the fault for each check: instructions of a Dockerfile, or nothing if an earlier fault of the case
    breaks this check, too. `also` has the reason for each further check that fails.
    """

    name: str
    image: str
    contract: str
    tag: str = ""
    breaks: Mapping[str, str] = field(default_factory=dict, hash=False)
    also: Mapping[str, str] = field(default_factory=dict, hash=False)
    paths: tuple[str, ...] = ()

    @property
    def is_in_tests(self) -> bool:
        """Whether `nox -s tests` builds its image."""
        return matrix.load_matrix().find_image(self.image).in_tests

    @property
    def dockerfile(self) -> str:
        """The faults, one after the other."""
        return "\n".join(fault for fault in self.breaks.values() if fault)

    @property
    def expected(self) -> tuple[str, ...]:
        """The names of all checks that fail."""
        return (*self.breaks, *self.also)


def is_named(check: str, name: str) -> bool:
    """Tell whether a name of the tables refers to a check, `folder/file.py::function[parameter]`.

    A name needs no path, and without a parameter it refers to the check with every parameter.
    """
    own = check if "::" in name else check.partition("::")[2]
    return own == name or own.startswith(f"{name}[")


@cache
def _tables() -> dict[str, dict[str, Any]]:
    """Return the tables of all files; SlipwayError for invalid TOML and for a name that is in two files."""
    files: dict[str, dict[str, Any]] = {}
    for file in sorted(FOLDER.glob("*.toml")):
        try:
            files[file.name] = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SlipwayError(f"{file.name} cannot be read: {error}") from None
    names = [name for tables in files.values() for name in tables if name not in (NOT_SHOWN, ANY_CHANGE)]
    if twice := {name for name in names if names.count(name) > 1}:
        raise SlipwayError(f"two broken images have the same name: {', '.join(sorted(twice))}")
    return files


@cache
def broken() -> tuple[Case, ...]:
    """Return the broken images, in the order of the files."""
    return tuple(
        _read(f"{file}: {name}", name, row)
        for file, tables in _tables().items()
        for name, row in tables.items()
        if name not in (NOT_SHOWN, ANY_CHANGE)
    )


def unbroken() -> list[Case]:
    """Return a case without a fault for each image that a case breaks."""
    return [Case(image, image, image) for image in dict.fromkeys(case.image for case in broken())]


def list_shown() -> set[str]:
    """Return the checks that `nox -s tests` shows to fail, and those that no case can break on every host."""
    return {name for case in broken() if case.is_in_tests for name in case.breaks}.union(not_shown())


def not_shown() -> dict[str, str]:
    """Return the checks that no case can break on every host, with the reason."""
    return _reasons(NOT_SHOWN)


def any_change() -> dict[str, str]:
    """Return the checks that may fail with any fault, because they are about each file, with the reason."""
    return _reasons(ANY_CHANGE)


def _reasons(table: str) -> dict[str, str]:
    """Return the checks of a table that is no case, with the reason."""
    return {check: reason for tables in _tables().values() for check, reason in tables.get(table, {}).items()}


def _read(where: str, name: str, row: dict[str, Any]) -> Case:
    """Return one case; SlipwayError for an invalid one."""
    if unknown := set(row) - set(KEYS):
        raise SlipwayError(f"{where} has unknown keys {sorted(unknown)}; allowed: {', '.join(KEYS)}")
    breaks = row.get("breaks", {})
    if not re.fullmatch(r"[a-z0-9-]+", name) or not 0 < len(breaks) <= MOST_CHECKS:
        raise SlipwayError(f"{where} needs a name of a-z, 0-9 and '-', and 1 to {MOST_CHECKS} checks in `breaks`")
    image = matrix.load_matrix().find_image(row["image"]).name
    contract = matrix.load_matrix().find_image(row.get("contract", image)).name
    if not next(iter(breaks.values())) and contract == image:
        raise SlipwayError(f"{where} has no fault for its first check, and no other image's contract")
    return Case(
        name=name,
        image=image,
        contract=contract,
        tag=row.get("tag", name),
        breaks={check: fault.strip() for check, fault in breaks.items()},
        also=row.get("also", {}),
        paths=tuple(row.get("only", {}).get("paths", ())),
    )
