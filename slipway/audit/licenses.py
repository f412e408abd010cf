"""The licenses of an image's components, as the SBOM has them, against the policy in policy/licenses.toml."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from license_expression import ExpressionError, LicenseExpression, Licensing
from pydantic import Field

from slipway import repository, results
from slipway.audit.findings import Finding
from slipway.sbom import Component
from slipway.toml import Table

# How the names of licenses that are not those of free software sound; BSD's with its holder's name is free.
NOT_FREE = re.compile(r"proprietary|(?<!BSD-)(?<!BSD-\d-Clause-)nvidia|eula|commercial", re.IGNORECASE)
TEXT = "sha256:"  # Syft names a text that it does not know by its digest
KINDS = ("deb", "pypi", "npm")
SYNTAX = Licensing()  # SPDX's, with any name for a license
FILE = repository.ROOT / "policy" / "licenses.toml"


Globs = Annotated[list[str], Field(description="a list of globs in quotes")]


class Policy(Table):
    """policy/licenses.toml: refused licenses, components accepted by the reason, proprietary ones by their terms."""

    refused: Globs
    accepted: dict[str, Globs]
    proprietary: dict[str, Globs]

    def find_terms(self, name: str) -> str:
        """Return the proprietary terms that a component is under; empty where it is under none."""
        return next((terms for terms, globs in self.proprietary.items() if matches_any(name, globs)), "")

    def refuses(self, license_name: str) -> bool:
        """Tell whether a license is refused, given by SPDX's expression for it; of an unreadable one each word counts.

        Of a choice, `A OR B`, one that is allowed is enough; of `A AND B` each one has to be allowed.
        """
        try:
            expression = SYNTAX.parse(license_name)
            return expression is not None and self.refuses_expression(expression)
        except (ExpressionError, RecursionError):
            return self.refuses_word(license_name)

    def refuses_expression(self, expression: LicenseExpression) -> bool:
        """Tell whether a parsed expression is refused; an exception after WITH changes nothing."""
        if isinstance(expression, SYNTAX.OR):
            return all(map(self.refuses_expression, expression.args))
        if isinstance(expression, SYNTAX.AND):
            return any(map(self.refuses_expression, expression.args))
        return self.refuses_word(getattr(expression, "license_symbol", expression).key)

    def refuses_word(self, text: str) -> bool:
        """Tell whether a name of one or several words has a refused one; upper and lower case are the same."""
        globs = [glob.lower() for glob in self.refused]
        return any(matches_any(name, globs) for name in (text.lower(), *re.findall(r"[\w.+-]+", text.lower())))

    def find_reason(self, name: str) -> str:
        """Return why a component may be under a refused license; empty where it may not."""
        return next((reason for reason, globs in self.accepted.items() if matches_any(name, globs)), "")


@dataclass
class Licenses:
    """The number of components by license, and the components by reason or proprietary terms."""

    known: dict[str, int] = field(default_factory=dict)
    accepted: dict[str, list[str]] = field(default_factory=dict)
    proprietary: dict[str, list[str]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def matches_any(name: str, globs: Iterable[str]) -> bool:
    """Tell whether one of the globs names it."""
    return any(fnmatchcase(name, glob) for glob in globs)


def check_licenses(
    components: Iterable[Component], policy: Policy, others: Mapping[str, set[str]] | None = None
) -> Licenses:
    """Sort the components by their licenses, and find those that the policy does not allow.

    `others` has licenses by component name from another tool, for components without a license in the SBOM.
    """
    result = Licenses()
    for component in components:
        if component.kind in KINDS:
            more = () if list_named(component) else (others or {}).get(component.name, ())
            add_component(result, replace(component, licenses=(*component.licenses, *sorted(more))), policy)
    return result


def list_named(component: Component) -> list[str]:
    """Return the licenses of a component that have a name."""
    return [name for name in component.licenses if not name.startswith(TEXT)]


def read_trivy(file: Path, image_id: str) -> dict[str, set[str]]:
    """Return the licenses by package that a scan of the same image found; empty without such a scan."""
    document = results.read_json(file)
    match document:
        case {"Metadata": {"ImageID": found}, "Results": list(found_results)} if found == image_id:
            pass
        case _:
            return {}
    names: dict[str, set[str]] = {}
    for result in found_results:
        for item in (result.get("Licenses") if isinstance(result, dict) else None) or ():
            match item:
                case {"PkgName": str(package), "Name": str(name)} if package and name:
                    names.setdefault(package, set()).add(name)
    return names


def add_component(result: Licenses, component: Component, policy: Policy) -> None:
    """Add one component and its findings to the result."""
    name = f"{component.kind}:{component.name}"
    named = list_named(component)
    free = named and not any(map(NOT_FREE.search, named))
    terms = "" if free else policy.find_terms(name)
    if terms:
        result.proprietary.setdefault(terms, []).append(name)
    elif not named:
        result.unknown.append(name)
    reason = policy.find_reason(name)
    if reason and any(map(policy.refuses, named)):
        result.accepted.setdefault(reason, []).append(name)
    for license_name in named:
        result.known[license_name] = result.known.get(license_name, 0) + 1
    result.findings += find_refused(name, named, terms, policy)


def find_refused(name: str, named: Iterable[str], terms: str, policy: Policy) -> Iterator[Finding]:
    """Yield findings about licenses of a component that the policy refuses, or whose terms it does not list."""
    for license_name in named:
        if policy.refuses(license_name) and not policy.find_reason(name):
            yield Finding("license", name, f"{license_name} is refused by policy/licenses.toml")
        elif not terms and NOT_FREE.search(license_name):
            yield Finding(
                "license", name, f"{license_name}: name these terms under [proprietary] in policy/licenses.toml"
            )
