"""What a manifest in a registry holds: its images with their settings, and what its signature says of its tags."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from slipway.publish.attestations import DEPRECATION
from slipway.publish.cosign import Signer
from slipway.publish.registry import Manifest, RegistryError, Repository

# The annotations of a publication's signature: its revision, all tags that it was published under, and the digest of
# the results that were attested before.
REVISION, TAGS, RESULTS = "slipway.revision", "slipway.tags", "slipway.results"


def list_images(repository: Repository, manifest: Manifest) -> list[Manifest]:
    """Return the images of a manifest: those of an index, otherwise itself."""
    if not manifest.is_index:
        return [manifest]
    return [repository.require_manifest(digest) for digest in manifest.children]


def read_settings(repository: Repository, image: Manifest) -> Mapping[str, Any]:
    """Return an image's configuration; RegistryError when it is none of an image."""
    try:
        found = json.loads(repository.read_blob(image.configuration))
    except (ValueError, RecursionError):
        found = None
    match found:
        case {"os": str(), "architecture": str(), "rootfs": {"diff_ids": list()}}:
            return cast("Mapping[str, Any]", found)
    raise RegistryError(f"{repository.refer(image.digest)} has no configuration of an image")


def read_labels(repository: Repository, image: Manifest) -> Mapping[str, str]:
    """Return an image's labels; RegistryError when its settings are no table."""
    match read_settings(repository, image).get("config"):
        case {"Labels": dict(labels)}:
            return {str(name): str(value) for name, value in labels.items()}
        case None | {}:
            return {}
    raise RegistryError(f"{repository.refer(image.digest)} has no settings as an image has them")


def format_platform(settings: Mapping[str, Any]) -> str:
    """Return `linux/amd64`."""
    return f"{settings['os']}/{settings['architecture']}"


# --- signatures ---


def sign_publication(  # noqa: PLR0913, PLR0917 - what is signed, and what the signature says
    repository: Repository, signer: Signer, digests: Iterable[str], revision: str, names: Iterable[str], results: str
) -> None:
    """Sign manifests, bound to the revision, the tags and the results that they are published with."""
    references = [repository.refer(digest) for digest in dict.fromkeys(digests)]
    signer.sign(references, {REVISION: revision, TAGS: " ".join(names), RESULTS: results})


def read_claims(repository: Repository, signer: Signer, digest: str) -> dict[str, set[str]]:
    """Return the revisions that the signer's signatures bind to a manifest, each with its tags; empty without one."""
    found = signer.list_signed(repository.refer(digest))
    return {said[REVISION]: set(said.get(TAGS, "").split()) for _, said in found if REVISION in said}


def list_deprecations(repository: Repository, signer: Signer, digest: str) -> list[str]:
    """Return the reasons for which the signer has deprecated a manifest."""
    reference = repository.refer(digest)
    if DEPRECATION not in {kind for kind, _ in signer.list_signed(reference)}:
        return []
    found = signer.find_attestations(reference, DEPRECATION)
    return list(dict.fromkeys(str(each.get("reason")) for each in found))
