"""The lists of what is in an image, by Syft: CycloneDX and SPDX.

    python -m slipway.audit.sbom cpu-base

leaves dist/<image>/sbom.cdx.json and sbom.spdx.json, both about one image ID.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from slipway import matrix, results, tools
from slipway.errors import SlipwayError, run
from slipway.image import saved_image
from slipway.matrix import Image

CYCLONEDX = "sbom.cdx.json"
SPDX = "sbom.spdx.json"
IMAGE = "slipway:image"  # the property that holds the image's ID
AGAIN = "remove it and write it again: python -m slipway.audit.sbom IMAGE"


@dataclass(frozen=True)
class Component:
    """A package of the list: its kind as in its purl (deb, pypi, npm), name, version, licences, where it was found."""

    kind: str
    name: str
    version: str
    licences: tuple[str, ...]
    path: str


# --- write ---------------------------------------------------------------------------------------


def write(image: Image, image_id: str, folder: Path | None = None) -> Path:
    """Run Syft on an image of the engine and return the CycloneDX file; the SPDX file lies beside it.

    `folder` is the image's own in dist/ unless another one is named. Both files appear whole or not at all.
    """
    folder = folder or image.results
    program = tools.provide(tools.read_tool("syft"))
    with tempfile.TemporaryDirectory() as name:
        files = {kind: Path(name) / kind for kind in ("cyclonedx-json", "spdx-json")}
        outputs = [f"--output={kind}={file}" for kind, file in files.items()]
        scan(program, image_id, Path(name), f"--source-name={image.name}", *outputs)
        documents = {kind: read(file) for kind, file in files.items()}
    cyclonedx, spdx = documents["cyclonedx-json"], documents["spdx-json"]
    cyclonedx.setdefault("metadata", {}).setdefault("properties", []).append({"name": IMAGE, "value": image_id})
    spdx["comment"] = f"{IMAGE} {image_id}"
    results.write_json(folder / SPDX, spdx)
    results.write_json(folder / CYCLONEDX, cyclonedx)
    return folder / CYCLONEDX


def scan(program: Path, image_id: str, folder: Path, *options: str) -> None:
    """Run Syft, which unpacks the image in a folder; SlipwayError with its last lines when it fails."""
    command = [str(program), "scan", f"docker:{image_id.removeprefix('sha256:')}", "--quiet", *options]
    environment = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false", "TMPDIR": str(folder)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    if result.returncode:
        lines = (result.stderr or result.stdout).strip().splitlines()[-5:] or [f"exit code {result.returncode}"]
        raise SlipwayError("\n".join([f"Syft could not list {image_id}:", *lines]))


def provide(image: Image, image_id: str, folder: Path | None = None) -> Path:
    """Return the CycloneDX file of an image, written now unless the one that is there is about this very image."""
    file = (folder or image.results) / CYCLONEDX
    if file.is_file() and image_of(results.read_json(file)) == image_id:
        return file
    return write(image, image_id, folder)


# --- read ----------------------------------------------------------------------------------------


def read(file: Path) -> dict[str, Any]:
    """Return a document; SlipwayError when it is missing or no JSON object."""
    document = results.read_json(file)
    if not document:
        raise SlipwayError(f"{file} is missing or damaged; {AGAIN}")
    return document


def image_of(document: dict[str, Any]) -> str:
    """Return the ID of the image that a CycloneDX document is about; empty when it does not say so."""
    metadata = document.get("metadata")
    properties = metadata.get("properties") if isinstance(metadata, dict) else None
    for item in properties if isinstance(properties, list) else ():
        if isinstance(item, dict) and item.get("name") == IMAGE:
            return str(item.get("value"))
    return ""


def components(file: Path) -> list[Component]:
    """Return the packages that a CycloneDX file lists; SlipwayError when it is malformed."""
    document = read(file)
    listed = document.get("components")
    if document.get("bomFormat") != "CycloneDX" or not isinstance(listed, list):
        raise SlipwayError(f"{file} is no CycloneDX list of components; {AGAIN}")
    return list(read_components(file, listed))


def read_components(file: Path, listed: list[Any]) -> Iterator[Component]:
    """Yield the components that are packages: those with a purl."""
    for item in listed:
        match item:
            case {"purl": str(purl), "name": str(name), "version": str(version)} if purl.startswith("pkg:"):
                kind = purl.removeprefix("pkg:").partition("/")[0]
                yield Component(kind, name, unquote(version), tuple(read_licences(item)), read_path(item))
            case {"purl": _}:
                raise SlipwayError(f"{file}: a component has no name, no version or no package URL; {AGAIN}")
            case dict():
                continue
            case _:
                raise SlipwayError(f"{file}: a component is {item!r:.60}; {AGAIN}")


def read_licences(item: dict[str, Any]) -> Iterator[str]:
    """Yield a component's licences: identifiers of SPDX, expressions, names."""
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


def counts(file: Path) -> dict[str, int]:
    """Return the number of packages of each kind that a CycloneDX file lists, by the type of their purls."""
    return dict(Counter(component.kind for component in components(file)))


def main() -> int:
    """Write the lists of one image, unless those that are there are about it."""
    parser = argparse.ArgumentParser(prog="python -m slipway.audit.sbom")
    parser.add_argument("name", help="an image of images.toml, such as cpu-base")
    image = matrix.load_matrix().find_image(parser.parse_args().name)
    file = provide(image, saved_image.find_id(image.tag))
    listed = ", ".join(f"{number} {kind}" for kind, number in sorted(counts(file).items()))
    print(f"{file.relative_to(matrix.ROOT)}  {listed}")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
