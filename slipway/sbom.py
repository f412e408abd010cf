"""SBOMs in dist/<image>/: the packages that one lists, and the image that it is about."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from slipway import results
from slipway.errors import SlipwayError

CYCLONEDX = "sbom.cdx.json"
SPDX = "sbom.spdx.json"
IMAGE = "slipway:image"  # names the image's ID in both
PROGRAM = "slipway:program"  # names Syft's program in CycloneDX
AGAIN = "remove it and write it again: nox -s sbom -- IMAGE"


@dataclass(frozen=True)
class Component:
    """A package of the list: its kind as in its purl (deb, pypi, npm), name, version, licenses, where it was found."""

    kind: str
    name: str
    version: str
    licenses: tuple[str, ...]
    path: str
    purl: str = ""


def read_document(file: Path) -> dict[str, Any]:
    """Return a document; SlipwayError when it is missing or no JSON object."""
    document = results.read_json(file)
    if not document:
        raise SlipwayError(f"{file} is missing or damaged; {AGAIN}")
    return document


def find_image_ids(document: Mapping[str, Any]) -> set[str]:
    """Return the image IDs that a document gives for its own: CycloneDX in a property, SPDX in its comment."""
    comment = document.get("comment")
    return {comment.removeprefix(f"{IMAGE} ")} if isinstance(comment, str) else find_properties(document, IMAGE)


def find_program(document: Mapping[str, Any]) -> str:
    """Return the program that wrote a CycloneDX document; empty without exactly one."""
    found = find_properties(document, PROGRAM)
    return found.pop() if len(found) == 1 else ""


def find_properties(document: Mapping[str, Any], name: str) -> set[str]:
    """Return the values of a property of a CycloneDX document."""
    match document:
        case {"metadata": {"properties": list(properties)}}:
            found = (each for each in properties if isinstance(each, dict) and each.get("name") == name)
            return {str(each.get("value")) for each in found}
    return set()


def read_components(file: Path) -> list[Component]:
    """Return the packages that a CycloneDX file lists, those with a purl; SlipwayError when it is malformed."""
    document = read_document(file)
    listed = document.get("components")
    if document.get("bomFormat") != "CycloneDX" or not isinstance(listed, list):
        raise SlipwayError(f"{file} is no CycloneDX list of components; {AGAIN}")
    found = []
    for item in listed:
        match item:
            case {"purl": str(purl), "name": str(name), "version": str(version)} if purl.startswith("pkg:"):
                kind = purl.removeprefix("pkg:").partition("/")[0]
                licenses, path = tuple(read_licenses(item)), read_path(item)
                found.append(Component(kind, name, unquote(version), licenses, path, purl))
            case {"purl": _}:
                raise SlipwayError(f"{file}: a component has no name, no version or no package URL; {AGAIN}")
            case dict():
                continue
            case _:
                raise SlipwayError(f"{file}: a component is {item!r:.60}; {AGAIN}")
    return found


def read_licenses(item: dict[str, Any]) -> Iterator[str]:
    """Yield a component's licenses: identifiers of SPDX, expressions, names."""
    found = item.get("licenses")
    for choice in found if isinstance(found, list) else ():
        match choice:
            case {"expression": str(text)} | {"license": {"id": str(text)}} | {"license": {"name": str(text)}}:
                yield text


def read_path(item: dict[str, Any]) -> str:
    """Return where Syft found a component."""
    found = item.get("properties")
    for entry in found if isinstance(found, list) else ():
        match entry:
            case {"name": "syft:location:0:path", "value": str(path)}:
                return path
    return ""
