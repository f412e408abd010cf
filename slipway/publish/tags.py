"""The tags of a published image: release, accelerator with its version, flavor, Python, workload.

    0.1.0-cuda13.0-devel   0.1-cuda13.0-devel   latest-cuda13.0-devel     every image has these three
    0.1.0-devel            0.1-devel            latest-devel              the default CUDA version: without its part
    0.1.0                  0.1                  latest                    the base flavor of it: without any part

Revisions belong to the first. Versions are from the image's labels, which were read from its content, not from
images.toml.
"""

import re
from collections.abc import Mapping

from slipway.errors import SlipwayError
from slipway.matrix import Image

DEFAULT = "cuda"  # the variant whose part may be left out; variants of other versions have it in their names
RELEASE = "org.opencontainers.image.version"
# The part of a tag for each accelerator, and the label with its version.
ACCELERATORS = {"cpu": ("cpu", ""), "cuda": ("cuda", "slipway.cuda"), "rocm": ("rocm", "slipway.hip")}


def list_tags(image: Image, labels: Mapping[str, str]) -> list[str]:
    """Return an image's tags, the first with revisions; SlipwayError when a label is missing or wrong."""
    release = read_label(image, labels, RELEASE, r"\d+\.\d+\.\d+")
    releases = (release, release.rpartition(".")[0], "latest")
    suffix = name_flavor(image, labels)
    accelerator, version = ACCELERATORS[image.variant.accelerator]
    accelerator += read_label(image, labels, version, r"\d+\.\d+") if version else ""
    suffixes = [f"-{accelerator}-{suffix}"]
    if image.variant.name.split("-")[0] == DEFAULT:
        suffixes.append(f"-{suffix}")
    if image.variant.name == DEFAULT and suffix == "base":
        suffixes.append("")
    return [f"{each}{suffix}" for suffix in suffixes for each in releases]


def name_flavor(image: Image, labels: Mapping[str, str]) -> str:
    """Return the part after the accelerator: `devel`, `devel-gfx90a`, `devel-py3.11`, `devel-training`."""
    parts = [read_label(image, labels, "slipway.flavor", image.flavor)]
    if image.variant.gpu:
        parts.append(image.variant.gpu)
    if "-py" in image.variant.name:
        parts.append("py" + read_label(image, labels, "slipway.python", r"\d+\.\d+"))
    if image.workload:
        parts.append(read_label(image, labels, "slipway.workload", image.workload.name))
    return "-".join(parts)


def read_label(image: Image, labels: Mapping[str, str], name: str, pattern: str) -> str:
    """Return a label; SlipwayError when it does not match a pattern."""
    value = labels.get(name, "")
    if not re.fullmatch(pattern, value):
        raise SlipwayError(
            f"{image.tag} has {value or 'nothing'} on its label {name}, so its tags are unknown; build it again: "
            f"nox -s build -- {image.name}"
        )
    return value


def parse_release(labels: Mapping[str, str]) -> tuple[int, ...]:
    """Return the release of an image's labels as numbers; empty without one."""
    parts = str(labels.get(RELEASE, "")).split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()


def parse_revision(tag: str) -> tuple[int, ...]:
    """Return the numbers of a revision's tag, release and revision, which sort by age; empty for any other tag."""
    match = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)-.+-r(\d+)", tag)
    return tuple(int(number) for number in match.groups()) if match else ()
