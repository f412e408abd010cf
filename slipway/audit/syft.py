"""Writes the SBOMs of an image by Syft, in the formats CycloneDX and SPDX.

    python -m slipway.audit.syft cpu-base

writes dist/<image>/sbom.cdx.json and sbom.spdx.json, both with the image's ID. Syft gets none of its variables, runs in
an empty folder and reads no settings but these: others could leave out folders or kinds of packages.
"""

import argparse
from collections import Counter
from pathlib import Path

from slipway import docker, files, matrix, repository, results, sbom, tools
from slipway.errors import run
from slipway.image import saved_image
from slipway.matrix import Image

SETTINGS = "{check-for-app-update: false, log: {level: error}}\n"


def describe_program() -> str:
    """Return Syft's program for results, with its SHA-256."""
    return tools.describe_program(tools.read_tool("syft"))


def write_sboms(image: Image, image_id: str, folder: Path | None = None) -> Path:
    """Run Syft on an image of the engine and return the CycloneDX file; the SPDX file is beside it.

    `folder` is by default the image's in dist/. Both files are written whole or not at all.
    """
    folder = folder or image.results
    program = tools.provide_program(tools.read_tool("syft"))
    with files.temporary_folder() as name:
        (Path(name) / "settings.yaml").write_text(SETTINGS, encoding="utf-8")
        written = {kind: Path(name) / kind for kind in ("cyclonedx-json", "spdx-json")}
        options = ["--config=settings.yaml", f"--source-name={image.name}"]
        options += [f"--output={kind}={file}" for kind, file in written.items()]
        source = f"docker:{image_id.removeprefix('sha256:')}"
        tools.run_checked(
            [str(program), "scan", source, *options],
            f"Syft could not list {image_id}",
            folder=Path(name),
            without="SYFT_",
            TMPDIR=name,  # Syft unpacks the image there
            NO_COLOR="1",
            **docker.name_engine(),
        )
        documents = {kind: sbom.read_document(file) for kind, file in written.items()}
    cyclonedx, spdx = documents["cyclonedx-json"], documents["spdx-json"]
    properties = cyclonedx.setdefault("metadata", {}).setdefault("properties", [])
    for key, value in ((sbom.IMAGE, image_id), (sbom.PROGRAM, describe_program())):
        properties.append({"name": key, "value": value})
    spdx["comment"] = f"{sbom.IMAGE} {image_id}"
    results.write_json(folder / sbom.SPDX, spdx)
    results.write_json(folder / sbom.CYCLONEDX, cyclonedx)
    return folder / sbom.CYCLONEDX


def provide_sbom(image: Image, image_id: str, folder: Path | None = None) -> Path:
    """Return the CycloneDX file of an image; write it unless there is one about the same image ID by the same Syft."""
    file = (folder or image.results) / sbom.CYCLONEDX
    document = results.read_json(file)
    if sbom.find_image_ids(document) == {image_id} and sbom.find_program(document) == describe_program():
        return file
    return write_sboms(image, image_id, folder)


def main() -> int:
    """Write the SBOMs of one image, unless they exist, and print the number of packages."""
    parser = argparse.ArgumentParser(prog="python -m slipway.audit.syft")
    parser.add_argument("name", help="an image of images.toml, such as cpu-base")
    image = matrix.load_matrix().find_image(parser.parse_args().name)
    file = provide_sbom(image, saved_image.find_id(image.tag))
    counts = Counter(component.kind for component in sbom.read_components(file))
    listed = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
    print(f"{file.relative_to(repository.ROOT)}  {listed}")
    return 0


if __name__ == "__main__":
    run(main)
