"""The licences of an image's components, as the SBOM has them, against the policy in policy/licenses.toml."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from pydantic import Field

from slipway import results
from slipway.audit.findings import Finding
from slipway.audit.sbom import Component
from slipway.matrix import ROOT
from slipway.toml import Table

# How the names of licences that are not those of free software sound; BSD's with its holder's name is free.
NOT_FREE = re.compile(r"proprietary|(?<!BSD-)(?<!BSD-\d-Clause-)nvidia|eula|commercial", re.IGNORECASE)
TEXT = "sha256:"  # Syft names a text that it does not know by its digest
KINDS = ("deb", "pypi", "npm")
FILE = ROOT / "policy" / "licenses.toml"


Globs = Annotated[list[str], Field(description="a list of globs in quotes")]


class Policy(Table):
    """policy/licenses.toml: refused licenses, components accepted by the reason, proprietary ones by their terms."""

    refused: Globs
    accepted: dict[str, Globs]
    proprietary: dict[str, Globs]

    def terms(self, name: str) -> str:
        """Return the proprietary terms that a component is under; empty where it is under none."""
        return next((terms for terms, globs in self.proprietary.items() if matches(name, globs)), "")

    def refuses(self, licence: str) -> bool:
        """Tell whether a licence is refused. Of a choice, `A OR B`, one that is allowed is enough."""
        choices = [re.split(r"\s+AND\s+", choice) for choice in re.split(r"\s+OR\s+", licence)]
        return all(any(matches(part.strip("() "), self.refused) for part in choice) for choice in choices)

    def reason(self, name: str) -> str:
        """Return why a component may be under a refused licence; empty where it may not."""
        return next((reason for reason, globs in self.accepted.items() if matches(name, globs)), "")


@dataclass
class Licences:
    """What an image's components are licensed under: licences by number, components by what they are under."""

    known: dict[str, int] = field(default_factory=dict)
    accepted: dict[str, list[str]] = field(default_factory=dict)
    proprietary: dict[str, list[str]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def matches(name: str, globs: Iterable[str]) -> bool:
    """Tell whether one of the globs names it."""
    return any(fnmatchcase(name, glob) for glob in globs)


def judge(components: Iterable[Component], policy: Policy, others: Mapping[str, set[str]] | None = None) -> Licences:
    """Sort the components by their licences, and find those that the policy does not allow.

    `others` has what another tool knows, by the components' names; it counts where the SBOM has no licence.
    """
    result = Licences()
    for component in components:
        if component.kind in KINDS:
            more = () if known(component) else (others or {}).get(component.name, ())
            add(result, replace(component, licences=(*component.licences, *sorted(more))), policy)
    return result


def known(component: Component) -> list[str]:
    """Return a component's licences that have a name."""
    return [licence for licence in component.licences if not licence.startswith(TEXT)]


def of_trivy(file: Path, image_id: str) -> dict[str, set[str]]:
    """Return the licences that a scan of the same image found, by package; none where there was no such scan."""
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


def add(result: Licences, component: Component, policy: Policy) -> None:
    """Take one component into account."""
    name = f"{component.kind}:{component.name}"
    named = known(component)
    free = named and not any(NOT_FREE.search(licence) for licence in named)
    terms = "" if free else policy.terms(name)
    if terms:
        result.proprietary.setdefault(terms, []).append(name)
    elif not named:
        result.unknown.append(name)
    reason = policy.reason(name)
    if reason and any(map(policy.refuses, named)):
        result.accepted.setdefault(reason, []).append(name)
    for licence in named:
        result.known[licence] = result.known.get(licence, 0) + 1
    result.findings += problems(name, named, terms, policy)


def problems(name: str, named: Iterable[str], terms: str, policy: Policy) -> Iterator[Finding]:
    """Yield what the policy has against a component."""
    for licence in named:
        if policy.refuses(licence) and not policy.reason(name):
            yield Finding("licence", name, f"{licence} is refused by policy/licenses.toml")
        elif not terms and NOT_FREE.search(licence):
            yield Finding("licence", name, f"{licence}: name these terms under [proprietary] in policy/licenses.toml")
