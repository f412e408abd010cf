"""Which versions an image holds, read by running it, and the labels that say so."""

import json
import subprocess
from pathlib import Path

from slipway import results
from slipway.errors import SlipwayError
from slipway.host import base_image
from slipway.matrix import ROOT, Image, Matrix

PROBE = Path(__file__).with_name("probe.py")


def read_versions(image_id: str) -> dict[str, str]:
    """Run the image's own Python and ask it and its libraries; SlipwayError when that fails."""
    command = ["docker", "run", "--rm", "--interactive", "--network=none", "--entrypoint=python", image_id, "-"]
    result = subprocess.run(command, input=PROBE.read_text(), capture_output=True, text=True, check=False)
    if result.returncode:
        raise SlipwayError(f"{image_id} was built but its Python does not run:\n{result.stderr.strip()}")
    return dict(json.loads(result.stdout))


def versions(image: Image, image_id: str) -> dict[str, str]:
    """Return an image's versions; an image that was asked before is not asked again."""
    file = image.results / "versions.json"
    known = results.read_json(file)
    if known.get("image") != image_id:
        known = {"image": image_id, "versions": read_versions(image_id)}
        results.write_json(file, known)
    return dict(known["versions"])


def revision() -> str:
    """Return the commit of the working tree, with -dirty when files differ; empty outside a repository."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def below(image: Image) -> dict[str, str]:
    """Return the labels that name what an image was built from: the base image, or a workload's variant."""
    base = base_image.describe(image.arguments["BASE"] if image.workload else image.variant.distro.tag)
    return {
        "org.opencontainers.image.base.name": base["name"] if image.workload else image.variant.distro.image,
        "org.opencontainers.image.base.digest": base["digest"] or base["id"],
    }


def labels(matrix: Matrix, image: Image, image_id: str) -> dict[str, str]:
    """Return the labels that tell of this image: its origin and what was read from it."""
    origin = {
        "org.opencontainers.image.source": matrix.source,
        "org.opencontainers.image.revision": revision(),
        "org.opencontainers.image.version": matrix.release,
        **below(image),
        "slipway.base.origin": base_image.describe(image.variant.distro.tag)["origin"],
        "slipway.deprecated": str(image.variant.deprecated or ""),
        "slipway.workload": image.workload.name if image.workload else "",
    }
    found = {f"slipway.{name}": version for name, version in versions(image, image_id).items()}
    return {key: value for key, value in (origin | found).items() if value}
