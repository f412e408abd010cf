"""Which images the engine has."""

import sys
from collections.abc import Iterable

from slipway import docker
from slipway.errors import SlipwayError
from slipway.images_toml import PLATFORMS
from slipway.matrix import Image, Matrix


def list_built(matrix: Matrix) -> list[Image]:
    """Return the images of the matrix that the engine has; SlipwayError when no engine answers, or without any."""
    tags = set(docker.output("image", "ls", "--format={{.Repository}}:{{.Tag}}").split())
    images = [image for image in matrix.images if image.tag in tags]
    if not images:
        raise SlipwayError("no image is built; start with nox -s build-cpu, or name one: nox -s build -- cuda-base")
    return images


def add_parents(matrix: Matrix, images: Iterable[Image]) -> list[Image]:
    """Return the images to build: before workloads come their variants, which may have changed since their build."""
    wanted = list(images)
    names = dict.fromkeys(image.variant_image for image in wanted if image.workload)
    added = [matrix.find_image(name) for name in names if name not in {image.name for image in wanted}]
    for parent in added:
        print(f"{parent.name} is built first: a workload is built on it", file=sys.stderr)
    return [*added, *wanted]


def list_arguments(matrix: Matrix, image: Image) -> dict[str, str]:
    """Return the build arguments of an image, with those that every image has."""
    return {"BASE_IMAGE": image.variant.distro.tag, "APT_DATE": matrix.apt_date, **image.arguments}


def platform_option(image: Image) -> list[str]:
    """Return docker's option for an image that is not of the default platform."""
    platform = image.variant.distro.platform
    return [f"--platform={platform}"] if platform != PLATFORMS[0] else []


def is_built(image: Image) -> bool:
    """Tell whether the engine answers and has an image."""
    try:
        return inspect_labels(image.tag) is not None
    except SlipwayError:
        return False


def inspect_labels(reference: str) -> dict[str, str] | None:
    """Return an image's labels, None without such an image; SlipwayError when the engine does not answer."""
    found = docker.inspect(reference)
    return None if found is None else (found.get("Config") or {}).get("Labels") or {}


def require_built(image: Image) -> str:
    """Return the tag of an image; SlipwayError when the engine does not have it."""
    if inspect_labels(image.tag) is None:
        build = f"nox -s build -- {image.name}"
        raise SlipwayError(f"there is no {image.tag}: it was never built, or its last build failed. Run: {build}")
    return image.tag


def find_tested(image: Image, reference: str | None, *, is_named: bool) -> str | None:
    """Return the image to test against a contract: the one built here, or another reference.

    Unless the contract was named the labels of the other image decide: None when they name another contract.
    SlipwayError when the engine lacks the image, or when its labels name none.
    """
    if not reference:
        return require_built(image)
    labels = inspect_labels(reference)
    if labels is None:
        raise SlipwayError(f"{reference} is not an image of this engine: docker pull {reference}")
    if not is_named and not labels.get("slipway.flavor"):
        command = f"nox -s test -- {image.name} --image {reference}"
        raise SlipwayError(f"{reference} has no label slipway.flavor: name its contract, {command}")
    own = {"flavor": image.flavor, "workload": image.workload.name if image.workload else ""}
    own |= {"accelerator": image.variant.accelerator} if image.workload else {}
    is_same = all(labels.get(f"slipway.{name}", "") == value for name, value in own.items())
    return reference if is_named or is_same else None
