"""Checks the licenses of an image's components, from the SBOM, against policy/licenses.toml."""

import re
from collections.abc import Iterable, Mapping
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

# Names of proprietary licenses; a BSD license with NVIDIA as its holder is free.
NOT_FREE = re.compile(r"proprietary|(?<!BSD-)(?<!BSD-\d-Clause-)nvidia|eula|commercial", re.IGNORECASE)
TEXT = "sha256:"  # Syft names an unknown license text by its digest
KINDS = ("deb", "pypi", "npm")
SYNTAX = Licensing()  # SPDX expressions with any names of licenses
FILE = repository.ROOT / "policy" / "licenses.toml"


Globs = Annotated[list[str], Field(description="a list of globs in quotes")]


class Policy(Table):
    """policy/licenses.toml: refused licenses, accepted components by reason, proprietary components by their terms."""

    refused: Globs
    accepted: dict[str, Globs]
    proprietary: dict[str, Globs]

    def refuses(self, license_name: str) -> bool:
        """Tell whether a license, an SPDX expression, is refused; in an invalid expression, any refused word counts.

        `A OR B` is allowed if one of them is; `A AND B` if both are.
        """
        try:
            expression = SYNTAX.parse(license_name)
            return expression is not None and self.refuses_expression(expression)
        except (ExpressionError, RecursionError):
            return self.refuses_word(license_name)

    def refuses_expression(self, expression: LicenseExpression) -> bool:
        """Tell whether a parsed expression is refused; an exception after WITH is ignored."""
        if isinstance(expression, SYNTAX.OR):
            return all(map(self.refuses_expression, expression.args))
        if isinstance(expression, SYNTAX.AND):
            return any(map(self.refuses_expression, expression.args))
        return self.refuses_word(getattr(expression, "license_symbol", expression).key)

    def refuses_word(self, text: str) -> bool:
        """Tell whether a name, or one of its words, is refused; case is ignored."""
        globs = [glob.lower() for glob in self.refused]
        return any(matches_any(name, globs) for name in (text.lower(), *re.findall(r"[\w.+-]+", text.lower())))


@dataclass
class Licenses:
    """The result: the number of components by license, and components by reason or proprietary terms."""

    known: dict[str, int] = field(default_factory=dict)
    accepted: dict[str, list[str]] = field(default_factory=dict)
    proprietary: dict[str, list[str]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def matches_any(name: str, globs: Iterable[str]) -> bool:
    """Tell whether a name matches one of the globs."""
    return any(fnmatchcase(name, glob) for glob in globs)


def find_text(name: str, components: Mapping[str, Globs]) -> str:
    """Return the reason or the terms with a component among their globs; empty without any."""
    return next((text for text, globs in components.items() if matches_any(name, globs)), "")


def check_licenses(
    components: Iterable[Component], policy: Policy, others: Mapping[str, set[str]] | None = None
) -> Licenses:
    """Return the components by license, with findings for licenses that the policy does not allow.

    `others` has licenses of another tool by component name, for components without a license in the SBOM.
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
    """Return the licenses by package from a scan of the same image; empty without such a scan."""
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
    terms = "" if free else find_text(name, policy.proprietary)
    if terms:
        result.proprietary.setdefault(terms, []).append(name)
    elif not named:
        result.unknown.append(name)
    reason = find_text(name, policy.accepted)
    refused = set(filter(policy.refuses, named))
    if reason and refused:
        result.accepted.setdefault(reason, []).append(name)
    for license_name in named:
        result.known[license_name] = result.known.get(license_name, 0) + 1
        problem = ""
        if license_name in refused and not reason:
            problem = f"{license_name} is refused by policy/licenses.toml"
        elif not terms and NOT_FREE.search(license_name):
            problem = f"{license_name}: name these terms under [proprietary] in policy/licenses.toml"
        if problem:
            result.findings.append(Finding("license", name, problem))
