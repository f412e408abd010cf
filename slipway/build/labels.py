"""The labels of an image: the versions and the GPUs found by running it, its commit, its parent."""

import hashlib
import json
from pathlib import Path

from slipway import docker, results
from slipway.build.commit import find_commit, list_context, warn_shallow
from slipway.errors import SlipwayError
from slipway.host import base_image
from slipway.matrix import Image, Matrix

COMMIT = "org.opencontainers.image.revision"
PROBE = Path(__file__).with_name("probe.py")
GPU_PROBE = Path(__file__).with_name("gpu_probe.py")


def run_probe(image_id: str, probe: Path) -> dict[str, str]:
    """Return what a program finds that runs on the image's own Python; SlipwayError when it fails."""
    options = ["--rm", "--interactive", "--network=none", "--entrypoint=python"]
    result = docker.call("run", *options, image_id, "-", data=probe.read_bytes())
    if result.returncode:
        raise SlipwayError(f"{image_id} was built but {probe.name} fails in it:\n{result.stderr.strip()}")
    return dict(json.loads(result.stdout))


def find_facts(image: Image, image_id: str) -> dict[str, str]:
    """Return the versions in an image, and in one for GPUs those that it serves, with CUDA the least driver.

    Each image is run once by the same probes.
    """
    file = image.results / "facts.json"
    known = results.read_json(file)
    probes = hashlib.sha256(PROBE.read_bytes() + GPU_PROBE.read_bytes()).hexdigest()
    if (known.get("image"), known.get("probes")) != (image_id, probes):
        facts = run_probe(image_id, PROBE)
        facts |= run_probe(image_id, GPU_PROBE) if {"cuda", "hip"} & facts.keys() else {}
        known = {"image": image_id, "probes": probes, "facts": facts}
        results.write_json(file, known)
    return dict(known["facts"])


def find_base(image: Image) -> dict[str, str]:
    """Return the name, the ID, the digest in its registry and the origin of an image's base image."""
    base = base_image.describe_image(image.variant.distro)
    return {"name": image.variant.distro.image} | {key: base[key] for key in ("id", "digest", "origin")}


def make_parent_labels(image: Image) -> dict[str, str]:
    """Return the labels that name the parent: the base image, or the variant of a workload."""
    base = find_base(image)
    name, digest = base["name"], base["digest"] or base["id"]
    if image.workload:
        name = image.arguments["BASE"]
        digest = docker.require_image(name)["Id"]
    return {
        "org.opencontainers.image.base.name": name,
        "org.opencontainers.image.base.digest": digest,
        "slipway.base.origin": base["origin"],
    }


def read_labels(matrix: Matrix, image: Image, image_id: str, before: str) -> dict[str, str]:
    """Return an image's labels: its origin, the versions and GPUs found in it; `before`: the commit at its start."""
    commit = find_commit(list_context(image))
    if commit != before:  # a file changed while it was built, so nobody knows which one it has
        commit = f"{commit.removesuffix('-dirty')}-dirty"
    warn_shallow(commit)
    origin = {
        "org.opencontainers.image.source": matrix.source,
        COMMIT: commit,
        "org.opencontainers.image.version": matrix.release,
        **make_parent_labels(image),
        "slipway.deprecated": str(image.variant.deprecated or ""),
        "slipway.workload": image.workload.name if image.workload else "",
    }
    found = {f"slipway.{name}": version for name, version in find_facts(image, image_id).items()}
    return {key: value for key, value in (origin | found).items() if value}
