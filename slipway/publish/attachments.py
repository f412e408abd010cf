"""The evidence of a published image: each document is an OCI artifact that refers to the image's digest.

The same evidence makes the same artifact, so an attached one is not sent again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slipway.publish import provenance, registry
from slipway.publish.registry import EMPTY, EMPTY_TYPE, Descriptor, Manifest, Registry, RegistryError
from slipway.publish.release_checks import Candidate

# The type of each attached document; `--verify` requires one of each.
TYPES = {
    "sbom.cdx.json": "application/vnd.cyclonedx+json",
    "sbom.spdx.json": "application/spdx+json",
    "provenance.json": "application/vnd.in-toto+json",
    "tests.json": "application/vnd.slipway.tests.v1+json",
    "audit.json": "application/vnd.slipway.audit.v1+json",
    "scan.json": "application/vnd.slipway.scan.v1+json",
}
DEPRECATION = "application/vnd.slipway.deprecation.v1+json"
TITLE = "org.opencontainers.image.title"


@dataclass(frozen=True)
class Attachment:
    """A document and the artifact that holds it."""

    document: bytes
    manifest: Manifest


def make_attachment(name: str, kind: str, document: bytes, subject: Descriptor) -> Attachment:
    """Return the artifact of a document."""
    blob = registry.make_descriptor(document, kind)
    content = {
        "artifactType": kind,
        "config": registry.make_descriptor(EMPTY, EMPTY_TYPE).as_json(),
        "layers": [blob.as_json() | {"annotations": {TITLE: name}}],
        "subject": {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.size},
        "annotations": {TITLE: name},
    }
    return Attachment(document, registry.make_manifest(content))


def make_attachments(candidate: Candidate, repository: Registry, subject: Descriptor) -> list[Attachment]:
    """Return the evidence of an image as artifacts that refer to its manifest."""
    documents = candidate.documents | {
        "provenance.json": encode_json(provenance.make_statement(candidate, str(repository), subject.digest)),
        "tests.json": encode_json(candidate.tests),
    }
    return [make_attachment(name, kind, documents[name], subject) for name, kind in TYPES.items()]


def encode_json(document: object) -> bytes:
    """Return a document as JSON text."""
    return (json.dumps(document, indent=2) + "\n").encode()


def attach(repository: Registry, subject: Descriptor, wanted: list[Attachment]) -> list[str]:
    """Send what is not attached yet; return the digests of the new artifacts."""
    listed = {row.digest for row in repository.referrers(subject.digest)}
    new = [each for each in wanted if each.manifest.digest not in listed]
    if new:
        repository.put_bytes(EMPTY, EMPTY_TYPE)
    for each in new:
        repository.put_bytes(each.document, str(each.manifest.json["artifactType"]))
    if new:
        repository.send_referrers(subject, [each.manifest for each in new])
    return [each.manifest.digest for each in new]


def find_attached(repository: Registry, digest: str, *kinds: str) -> dict[str, list[Manifest]]:
    """Return the artifacts of some types that refer to a manifest, by type; their own `subject` is compared."""
    found: dict[str, list[Manifest]] = {}
    for row in repository.referrers(digest):
        manifest = repository.manifest(row.digest) if row.more.get("artifactType") in kinds else None
        if manifest and (manifest.json.get("subject") or {}).get("digest") == digest:
            found.setdefault(str(manifest.json.get("artifactType", "")), []).append(manifest)
    return found


def read_bytes(repository: Registry, manifest: Manifest) -> bytes:
    """Return the only document of an artifact, compared with its digest."""
    match manifest.json.get("layers"):
        case [row]:
            return repository.blob(registry.read_descriptor(row))
    raise RegistryError(f"{manifest.digest} in {repository} does not hold exactly one document")


def read_document(repository: Registry, manifest: Manifest) -> Mapping[str, Any]:
    """Return an artifact's document as JSON."""
    try:
        found = json.loads(read_bytes(repository, manifest))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise RegistryError(f"{manifest.digest} in {repository} holds no JSON object")
    return found
