"""The provenance of an image, an in-toto statement with SLSA's predicate, from its build.json and the commit's files.

It has the sources, arguments and base image of a build, but not who ran it. The signature of the published image
covers it by its digest.
"""

import datetime
from collections.abc import Mapping
from typing import Any

from slipway import repository
from slipway.matrix import Image
from slipway.publish import release_checks
from slipway.publish.registry import compute_digest
from slipway.publish.release_checks import Candidate

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"


def make_statement(candidate: Candidate, repository: str, digest: str) -> dict[str, Any]:
    """Return the provenance of an image with a digest; the same for the same build."""
    labels = candidate.local.labels
    source = f"git+{labels.get(release_checks.SOURCE, '')}"
    return {
        "_type": STATEMENT,
        "subject": [{"name": repository, "digest": {"sha256": digest.removeprefix("sha256:")}}],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": f"{labels.get(release_checks.SOURCE, '')}/blob/{candidate.commit}/noxfile.py",
                "externalParameters": list_parameters(candidate.image),
                "internalParameters": {"image": candidate.local.id},
                "resolvedDependencies": [
                    {"uri": source, "digest": {"gitCommit": candidate.commit}},
                    describe_base(labels),
                    *list_files(candidate),
                ],
            },
            "runDetails": {
                "builder": {"id": f"{labels.get(release_checks.SOURCE, '')}/blob/{candidate.commit}/noxfile.py"},
                "metadata": format_times(candidate.build),
            },
        },
    }


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
    """Return the base image."""
    name = "org.opencontainers.image.base"
    algorithm, _, value = labels.get(f"{name}.digest", "").partition(":")
    return {"uri": f"pkg:docker/{labels.get(f'{name}.name', '')}", "digest": {algorithm: value}}


def list_files(candidate: Candidate) -> list[dict[str, Any]]:
    """Return the files that pin the installed packages, with their digests at the commit."""
    image = candidate.image
    paths = [image.dockerfile, "images.toml", *(str(lock.relative_to(repository.ROOT)) for lock in image.locks)]
    found = ((path, repository.file_at(candidate.commit, path)) for path in paths)
    return [
        {"name": path, "digest": {"sha256": compute_digest(content).removeprefix("sha256:")}}
        for path, content in found
        if content is not None
    ]


def format_times(build: dict[str, Any]) -> dict[str, str]:
    """Return the start and the end of the build."""
    end = datetime.datetime.fromisoformat(str(build["built"]))
    start = end - datetime.timedelta(seconds=float(build["seconds"]))
    return {
        name: moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for name, moment in (("startedOn", start), ("finishedOn", end))
    }
