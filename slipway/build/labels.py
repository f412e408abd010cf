"""The labels of an image: the versions found by running it, its commit, its parent."""

import json
from pathlib import Path

from slipway import docker, results
from slipway.build.commit import find_commit, list_context, warn_shallow
from slipway.errors import SlipwayError
from slipway.host import base_image
from slipway.matrix import Image, Matrix

COMMIT = "org.opencontainers.image.revision"
PROBE = Path(__file__).with_name("probe.py")


def read_versions(image_id: str) -> dict[str, str]:
    """Return the versions that the image's own Python reports; SlipwayError when it does not run."""
    options = ["--rm", "--interactive", "--network=none", "--entrypoint=python"]
    result = docker.call("run", *options, image_id, "-", data=PROBE.read_bytes())
    if result.returncode:
        raise SlipwayError(f"{image_id} was built but its Python does not run:\n{result.stderr.strip()}")
    return dict(json.loads(result.stdout))


def find_versions(image: Image, image_id: str) -> dict[str, str]:
    """Return the versions found in an image; each image is run once."""
    file = image.results / "versions.json"
    known = results.read_json(file)
    if known.get("image") != image_id:
        known = {"image": image_id, "versions": read_versions(image_id)}
        results.write_json(file, known)
    return dict(known["versions"])


def make_parent_labels(image: Image) -> dict[str, str]:
    """Return the labels that name the parent: the base image, or the variant of a workload."""
    base = base_image.describe_image(image.variant.distro.tag)
    parent = base_image.describe_image(image.arguments["BASE"]) if image.workload else base
    return {
        "org.opencontainers.image.base.name": parent["name"] if image.workload else image.variant.distro.image,
        "org.opencontainers.image.base.digest": parent["digest"] or parent["id"],
        "slipway.base.origin": base["origin"],
    }


def read_labels(matrix: Matrix, image: Image, image_id: str) -> dict[str, str]:
    """Return the labels of an image: its origin, and the versions found in it."""
    commit = find_commit(list_context(image))
    warn_shallow(commit)
    origin = {
        "org.opencontainers.image.source": matrix.source,
        COMMIT: commit,
        "org.opencontainers.image.version": matrix.release,
        **make_parent_labels(image),
        "slipway.deprecated": str(image.variant.deprecated or ""),
        "slipway.workload": image.workload.name if image.workload else "",
    }
    found = {f"slipway.{name}": version for name, version in find_versions(image, image_id).items()}
    return {key: value for key, value in (origin | found).items() if value}
