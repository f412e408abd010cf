"""The tags of a published image: release, accelerator with the version that it holds, flavor, Python, workload.

    0.1.0-cuda13.0-devel   0.1-cuda13.0-devel   latest-cuda13.0-devel     every image has these three
    0.1.0-devel            0.1-devel            latest-devel              the default CUDA version: without its part
    0.1.0                  0.1                  latest                    its base flavor alone: no part at all

The first is the one that revisions belong to. Versions are the image's own, from labels that were read from it; what
images.toml says of them is not looked at.
"""

import re
from collections.abc import Mapping

from slipway.errors import SlipwayError
from slipway.matrix import Image

DEFAULT = "cuda"  # the variant whose part may be left out; a variant of another version has it in its name
RELEASE = "org.opencontainers.image.version"
# What the part of an accelerator is called, and the label with its version.
ACCELERATORS = {"cpu": ("cpu", ""), "cuda": ("cuda", "slipway.cuda"), "rocm": ("rocm", "slipway.hip")}


def list_tags(image: Image, labels: Mapping[str, str]) -> list[str]:
    """Return an image's tags, the one that revisions belong to first; SlipwayError when its labels do not tell them."""
    release = read_label(image, labels, RELEASE, r"\d+\.\d+\.\d+")
    releases = (release, release.rpartition(".")[0], "latest")
    suffix = name_flavor(image, labels)
    suffixes = [f"-{name_accelerator(image, labels)}-{suffix}"]
    if image.variant.name.split("-")[0] == DEFAULT:
        suffixes.append(f"-{suffix}")
    if image.variant.name == DEFAULT and suffix == "base":
        suffixes.append("")
    return [f"{each}{suffix}" for suffix in suffixes for each in releases]


def name_accelerator(image: Image, labels: Mapping[str, str]) -> str:
    """Return `cuda13.0`: the accelerator with the version in the image; a CPU has none."""
    name, version = ACCELERATORS[image.variant.accelerator]
    return name + read_label(image, labels, version, r"\d+\.\d+") if version else name


def name_flavor(image: Image, labels: Mapping[str, str]) -> str:
    """Return `devel`, `devel-py3.11`, `devel-training`: what follows the accelerator."""
    parts = [read_label(image, labels, "slipway.flavor", image.flavor)]
    if "-py" in image.variant.name:
        parts.append("py" + read_label(image, labels, "slipway.python", r"\d+\.\d+"))
    if image.workload:
        parts.append(read_label(image, labels, "slipway.workload", image.workload.name))
    return "-".join(parts)


def read_label(image: Image, labels: Mapping[str, str], name: str, pattern: str) -> str:
    """Return a label that matches a pattern."""
    value = labels.get(name, "")
    if not re.fullmatch(pattern, value):
        raise SlipwayError(
            f"{image.tag} has {value or 'nothing'} on its label {name}, so its tags cannot be told; build it again: "
            f"nox -s build -- {image.name}"
        )
    return value
