"""The table of broken images, cases.toml, strictly read."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from slipway import matrix
from slipway.errors import SlipwayError

FILE = Path(__file__).with_name("cases.toml")
KEYS = ("image", "contract", "dockerfile", "tag", "fails", "also", "only")


@dataclass(frozen=True)
class Case:
    """An image that is broken on purpose, and the checks that must fail on it.

    A check is named `folder/file.py::function[parameter]`, as below tests/images; without the
    parameter it means all of them. `also` gives the reason for each failure beside the one meant.
    """

    name: str
    image: str
    contract: str
    dockerfile: str = ""
    tag: str = ""
    fails: tuple[str, ...] = ()
    also: Mapping[str, str] = field(default_factory=dict, hash=False)
    folders: tuple[str, ...] = ()

    @property
    def expected(self) -> tuple[str, ...]:
        """All that must fail."""
        return (*self.fails, *self.also)


def means(name: str, check: str) -> bool:
    """Tell whether a name of the table means a check: without a parameter it means each."""
    return check == name or check.startswith(f"{name}[")


@cache
def _document() -> dict[str, Any]:
    """The table as TOML has it."""
    try:
        return tomllib.loads(FILE.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SlipwayError(f"{FILE.name} cannot be read: {error}") from None


def broken() -> list[Case]:
    """The broken images, in the order of the file."""
    return [_read(name, row) for name, row in _document()["case"].items()]


def unbroken() -> list[Case]:
    """Each image that a case stands on, as it is: nothing fails on it."""
    return [Case(image, image, image) for image in dict.fromkeys(case.image for case in broken())]


def not_shown() -> dict[str, str]:
    """The checks that no case can show on every host, with the reason."""
    return dict(_document().get("not-shown", {}))


def _read(name: str, row: dict[str, Any]) -> Case:
    """Return one case; SlipwayError names the case and the key that is wrong."""
    if unknown := set(row) - set(KEYS):
        raise SlipwayError(f"cases.toml: {name} has unknown keys {sorted(unknown)}; allowed: {', '.join(KEYS)}")
    if not re.fullmatch(r"[a-z0-9.-]+", name) or not row.get("fails"):
        raise SlipwayError(f"cases.toml: {name} needs a name of a-z, 0-9, '.' and '-', and `fails`")
    image = matrix.load_matrix().find_image(row["image"]).name
    contract = matrix.load_matrix().find_image(row.get("contract", image)).name
    return Case(
        name=name,
        image=image,
        contract=contract,
        dockerfile=row.get("dockerfile", "").strip(),
        tag=row.get("tag", name),
        fails=tuple(row["fails"]),
        also=row.get("also", {}),
        folders=tuple(row.get("only", {}).get("folders", ())),
    )
