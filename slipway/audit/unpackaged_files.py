"""Reads policy/unpackaged-files.toml: rules for files that no package owns, and files left out of packages."""

from functools import cached_property
from re import Pattern
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from slipway import repository
from slipway.audit.globs import Glob, compile_globs
from slipway.toml import Table

FILE = repository.ROOT / "policy" / "unpackaged-files.toml"
BASE = "base"
PACKAGES = "packages"

CheckName: TypeAlias = Literal[
    "bytecode",
    "link",
    "package",
    "libraries",
    "certificates",
    "keystore",
    "accounts",
    "npm",
    "wheel",
    "empty",
    "copy",
    "program",
]
Globs = Annotated[list[Glob], Field(min_length=1, description="a list of globs in quotes")]
Origin = Annotated[Glob, Field(pattern=rf"^({BASE}|{PACKAGES}|/.*)$", description=f'"{BASE}", "{PACKAGES}" or a glob')]
Text = Annotated[str, Field(min_length=1, description="a text that says why")]


class Rule(Table):
    """A [[generated]] table."""

    paths: Globs
    by: list[Origin] = Field([], description=f'a list of "{BASE}", "{PACKAGES}" or globs')
    check: CheckName | None = None
    reason: Text

    @cached_property
    def pattern(self) -> Pattern[str]:
        """The regular expression of its paths."""
        return compile_globs(self.paths)


class LeftOut(Table):
    """A [[left-out]] table."""

    paths: Globs
    but: list[Glob] = Field([], description="a list of globs in quotes")
    reason: Text

    @cached_property
    def patterns(self) -> tuple[Pattern[str], Pattern[str]]:
        """The regular expressions of its paths, and of those that stay."""
        return compile_globs(self.paths), compile_globs(self.but)


class UnpackagedFiles(Table):
    """policy/unpackaged-files.toml: the rules in their order, and the files that are left out of packages."""

    rules: list[Rule] = Field([], alias="generated")
    left_out: list[LeftOut] = Field([], alias="left-out")

    def leaves_out(self, path: str) -> bool:
        """Tell whether a package's file is left out."""
        return any(
            left_out.fullmatch(path) and not kept.fullmatch(path)
            for left_out, kept in (row.patterns for row in self.left_out)
        )
