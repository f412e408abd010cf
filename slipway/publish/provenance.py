"""The provenance of an image as a predicate of SLSA, from its build.json, its labels and the commit's files.

Source: https://slsa.dev/spec/v1.0/provenance. It reaches level 1: whoever builds also writes it, and it is signed when
the image is published. Level 2 asks for a build platform that writes it itself.
"""

from collections.abc import Mapping
from typing import Any

from slipway import repository
from slipway.matrix import Image
from slipway.publish.registry import compute_digest
from slipway.publish.release_checks import BUILD, ORIGIN, SOURCE, Candidate, read_times

Json = Mapping[str, Any]
BASE = "org.opencontainers.image.base"


def make_predicate(candidate: Candidate) -> Json:
    """Return the provenance of an image; the same for the same build."""
    labels = candidate.local.labels
    source = labels.get(SOURCE, "")
    build = candidate.read(BUILD)
    return {
        "buildDefinition": {
            "buildType": f"{source}/blob/{candidate.commit}/noxfile.py",
            "externalParameters": list_parameters(candidate.image),
            "internalParameters": {
                "image": candidate.local.id,
                "builtFromCleanCommit": not candidate.commit.endswith("-dirty"),
            },
            "resolvedDependencies": [
                {"uri": f"git+{source}", "digest": {"gitCommit": candidate.commit}},
                describe_base(labels),
                *list_files(candidate),
            ],
        },
        "runDetails": {
            "builder": {"id": f"{source}/blob/{candidate.commit}/docs/publishing.md#builder"},
            "metadata": format_times(build),
        },
    }


def read_image(predicate: Json) -> str:
    """Return the ID that the image had in the engine that built it, empty where a predicate does not say."""
    parameters = (predicate.get("buildDefinition") or {}).get("internalParameters") or {}
    return str(parameters.get("image", ""))


def list_parameters(image: Image) -> dict[str, Any]:
    """Return the session, Dockerfile and arguments of the build."""
    return {
        "session": f"build -- {image.name}",
        "dockerfile": image.dockerfile,
        "target": image.target,
        "arguments": dict(image.arguments),
        "platform": image.variant.distro.platform,
    }


def describe_base(labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the base image and where it came from: one that was made here has no digest in a registry."""
    name, origin = labels.get(f"{BASE}.name", ""), labels.get(ORIGIN, "unknown")
    algorithm, _, value = labels.get(f"{BASE}.digest", "").partition(":")
    found = {"digest": {algorithm: value}, "annotations": {"origin": origin}}
    return {"uri": f"pkg:docker/{name}", **found} if origin == "pulled" else {"name": f"{name}, {origin}", **found}


def list_files(candidate: Candidate) -> list[dict[str, Any]]:
    """Return the files that say what is installed, with their digests at the commit."""
    image = candidate.image
    locks = [str(lock.relative_to(repository.ROOT)) for lock in image.locks]
    dockerfiles = [image.dockerfile, *([image.variant.dockerfile] if image.workload else [])]
    found = ((path, repository.file_at(candidate.commit, path)) for path in (*dockerfiles, "images.toml", *locks))
    return [
        {"name": path, "digest": {"sha256": compute_digest(content).removeprefix("sha256:")}}
        for path, content in found
        if content is not None
    ]


def format_times(build: Mapping[str, Any]) -> dict[str, str]:
    """Return the start and the end of the build."""
    names = ("startedOn", "finishedOn")
    return {name: f"{time:%Y-%m-%dT%H:%M:%SZ}" for name, time in zip(names, read_times(build), strict=True)}
