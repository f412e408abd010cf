"""The builds of images as a definition for `docker buildx bake`, from images.toml."""

import json
from collections.abc import Sequence
from typing import Any

from slipway.build.images import list_arguments
from slipway.host.downloads import Host
from slipway.matrix import Image, Matrix


def make_definition(matrix: Matrix, images: Sequence[Image]) -> dict[str, Any]:
    """Return the definition, to be written as JSON: a target for each image, and the group of all."""
    targets: dict[str, dict[str, Any]] = {}
    for image in images:
        targets[name_target(image)] = {
            "context": ".",
            "dockerfile": image.dockerfile,
            "target": image.target,
            "args": list_arguments(matrix, image),
            "platforms": [image.variant.distro.platform],
            "tags": [image.tag],
            "attest": ["type=provenance,disabled=true"],  # it would give each build another ID
            "output": ["type=docker"],
        }
        parent = matrix.find_image(image.variant_image)
        if image.workload and parent in images:  # elsewhere its variant is an image of the engine
            targets[name_target(image)]["contexts"] = {parent.tag: f"target:{name_target(parent)}"}
    return {"group": {"default": {"targets": list(targets)}}, "target": targets}


def print_definition(matrix: Matrix, images: Sequence[Image]) -> None:
    """Print the definition as JSON."""
    print(json.dumps(make_definition(matrix, images), indent=2))


def name_target(image: Image) -> str:
    """Return the name of an image's target, which may have no full stop."""
    return image.name.replace(".", "_")


def pass_settings(host: Host) -> list[str]:
    """Return the options that hand the host's settings for downloads to every target."""
    options = (option.split("=", 1) for option in host.build_arguments())
    names = {"--build-arg": "*.args.", "--secret": "*.secrets="}
    return [f"--set={names[kind]}{value}" for kind, value in options]
