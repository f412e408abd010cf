"""A table of images.toml, read key by key: what is wrong is named with its place and what is allowed there."""

import re
from collections.abc import Collection
from typing import Any

from slipway.errors import SlipwayError


class Table:
    """One table of the file, read key by key; what is wrong is named with the table and the allowed values."""

    def __init__(self, name: str, content: object) -> None:
        if not isinstance(content, dict):
            raise SlipwayError(f"images.toml: {name} must be a table, not {content!r}")
        self.name = name
        self.content: dict[str, Any] = content

    def fail(self, key: str, wanted: str) -> SlipwayError:
        """Return the error for a key: where it stands, what is there, what is wanted."""
        found = repr(self.content[key]) if key in self.content else "missing"
        return SlipwayError(f"images.toml: {self.name} {key} is {found}; it must be {wanted}")

    def only(self, *keys: str) -> None:
        """Refuse every key that is not one of these."""
        for key in self.content:
            if key not in keys:
                raise SlipwayError(f"images.toml: {self.name} has an unknown key {key!r}; allowed: {', '.join(keys)}")

    def text(self, key: str, pattern: str, wanted: str) -> str:
        """Return a string that matches a pattern from end to end."""
        value = self.content.get(key)
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise self.fail(key, wanted)
        return value

    def choice(self, key: str, allowed: Collection[str]) -> str:
        """Return a string that is one of a few."""
        value = self.content.get(key)
        if not isinstance(value, str) or value not in allowed:
            raise self.fail(key, f"one of {', '.join(allowed)}")
        return value

    def table(self, key: str) -> "Table":
        """Return a table within this one; absent, it is empty."""
        return Table(f"{self.name}.{key}" if self.name != "the top level" else f"[{key}]", self.content.get(key, {}))
