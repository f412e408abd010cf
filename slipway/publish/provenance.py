"""The provenance of an image as a predicate of SLSA, from its build.json, its labels and the commit's files.

Source: https://slsa.dev/spec/v1.0/provenance. It reaches level 1: whoever builds also writes it, and it is signed when
the image is published. Level 2 asks for a build platform that writes it itself.
"""

import functools
from collections.abc import Mapping
from typing import Any

from slipway import repository
from slipway.build.commit import list_context
from slipway.matrix import FILE
from slipway.publish.registry import compute_digest
from slipway.publish.release_checks import BUILD, SOURCE, Candidate, read_times

Json = Mapping[str, Any]
BASE = "org.opencontainers.image.base"


def make_predicate(candidate: Candidate) -> Json:
    """Return the provenance of an image; the same for the same build."""
    image, source = candidate.image, candidate.local.labels.get(SOURCE, "")
    build = candidate.read(BUILD)
    started, finished = (f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in read_times(build))
    return {
        "buildDefinition": {
            "buildType": f"{source}/blob/{candidate.commit}/noxfile.py",
            "externalParameters": {
                "session": f"build -- {image.name}",
                "dockerfile": image.dockerfile,
                "target": image.target,
                "arguments": dict(image.arguments),
                "platform": image.variant.distro.platform,
            },
            "internalParameters": {
                "image": candidate.local.id,
                "builtFromCleanCommit": not candidate.commit.endswith("-dirty"),
            },
            "resolvedDependencies": [
                {"uri": f"git+{source}", "digest": {"gitCommit": candidate.commit}},
                *describe_bases(candidate),
                *list_files(candidate),
            ],
        },
        "runDetails": {
            "builder": {"id": build.get("builder") or f"{source}/blob/{candidate.commit}/docs/publishing.md#builder"},
            "metadata": {
                **({"invocationId": build["run"]} if "run" in build else {}),
                "startedOn": started,
                "finishedOn": finished,
            },
        },
    }


def read_image(predicate: Json) -> str:
    """Return the ID that the image had in the engine that built it, empty where a predicate does not say."""
    parameters = (predicate.get("buildDefinition") or {}).get("internalParameters") or {}
    return str(parameters.get("image", ""))


def describe_bases(candidate: Candidate) -> list[dict[str, Any]]:
    """Return the base image and, of a workload, its parent: only what has a digest in a registry has an address."""
    base, labels = candidate.read(BUILD)["base"], candidate.local.labels
    name, digest, origin = base["name"], base["digest"], base["origin"]
    found = {"uri": f"pkg:docker/{name}"} if digest else {"name": f"{name}, {origin}"}
    bases = [{**found, "digest": split_digest(digest or base["id"]), "annotations": {"origin": origin}}]
    if candidate.image.workload:
        identity = split_digest(labels.get(f"{BASE}.digest", ""))
        bases.append({"name": labels.get(f"{BASE}.name", ""), "digest": identity})
    return bases


def split_digest(text: str) -> dict[str, str]:
    """Return a digest by its algorithm."""
    algorithm, _, value = text.partition(":")
    return {algorithm: value}


def list_files(candidate: Candidate) -> list[dict[str, Any]]:
    """Return the files that the build could read, with their digests at the commit."""
    paths = [*list_context(candidate.image, candidate.commit), FILE.name]
    found = repository.git("ls-tree", "-r", "-z", "--name-only", candidate.commit, "--", *paths)
    return [{"name": name, "digest": digest_at(candidate.commit, name)} for name in found.split("\0") if name]


@functools.cache  # images of a commit have most of their files in common
def digest_at(commit: str, path: str) -> dict[str, str]:
    """Return the SHA-256 of a file at a commit."""
    return split_digest(compute_digest(repository.file_at(commit, path) or b""))
