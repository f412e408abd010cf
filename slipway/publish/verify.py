"""Verifies what is published, from the registry alone: every layer, every document of evidence, every signature."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from slipway import sbom
from slipway.errors import SlipwayError
from slipway.publish import attachments, registry, revisions
from slipway.publish.registry import Descriptor, Manifest, Registry, RegistryError
from slipway.publish.signing import Signer, UnsignedError

Artifacts = dict[str, list[Manifest]]


@dataclass(frozen=True)
class PublishedImage:
    """An image for one platform in a registry."""

    manifest: Manifest

    @property
    def configuration(self) -> str:
        """The digest of its configuration: its ID in the classic store of an engine."""
        return registry.read_descriptor(self.manifest.json.get("config")).digest

    @property
    def layers(self) -> list[Descriptor]:
        """Its layers, the lowest first."""
        rows = self.manifest.json.get("layers")
        if not isinstance(rows, list):
            raise RegistryError(f"the manifest {self.manifest.digest} names no layers")
        return [registry.read_descriptor(row) for row in rows]

    def settings(self, repository: Registry) -> Mapping[str, Any]:
        """Return its configuration; RegistryError when it is none of an image."""
        text = repository.blob(registry.read_descriptor(self.manifest.json.get("config")))
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or not {"os", "architecture"} <= found.keys():
            raise RegistryError(f"{repository}@{self.manifest.digest} has no configuration of an image")
        return found

    def labels(self, repository: Registry) -> Mapping[str, str]:
        """Return its labels."""
        return (self.settings(repository).get("config") or {}).get("Labels") or {}


def list_images(repository: Registry, manifest: Manifest) -> list[PublishedImage]:
    """Return the images of a manifest: those of an index, otherwise itself."""
    if "manifests" not in manifest.json:
        return [PublishedImage(manifest)]
    return [PublishedImage(repository.require_manifest(row.digest)) for row in registry.list_children(manifest)]


def check_published(repository: Registry, manifest: Manifest, published: Iterable[PublishedImage]) -> None:
    """Raise RegistryError unless the manifests are in the registry, and each layer with its size."""
    repository.require_manifest(manifest.digest)
    for image in published:
        repository.require_manifest(image.manifest.digest)
        missing = [layer.digest for layer in image.layers if not repository.has_blob(layer)]
        if missing:
            raise RegistryError(f"{repository}@{image.manifest.digest} lacks its layers {', '.join(missing)}")


def verify_tag(repository: Registry, signer: Signer, tag: str) -> str:
    """Verify a tag and return a line with the result; SlipwayError for the first problem."""
    manifest = repository.require_manifest(tag)
    require_highest(repository, tag, manifest)
    published = list_images(repository, manifest)
    signer.verify(
        [f"{repository}@{digest}" for digest in {manifest.digest, *(each.manifest.digest for each in published)}],
        private=False,
    )
    size = 0
    notes: list[str] = []
    for image in published:
        image.settings(repository)
        for layer in image.layers:
            repository.check_blob(layer)
            size += layer.size
        notes += verify_evidence(repository, signer, image)
    reasons = list_deprecations(
        repository, manifest.digest, lambda reference: signer.has_signed([reference], private=False)
    )
    notes += [f"DEPRECATED: {reason}" for reason in reasons]
    found = ", ".join(dict.fromkeys(notes))
    return f"{repository}:{tag}  {manifest.digest}  signed; {size / 1e6:.1f} MB of layers as they should be; {found}"


def require_highest(repository: Registry, tag: str, manifest: Manifest) -> None:
    """Raise SlipwayError for a tag that has revisions and does not point at the highest."""
    number, highest, _ = revisions.find_highest(repository, tag)
    if highest and highest.digest != manifest.digest:
        raise SlipwayError(f"{repository}:{tag} is {manifest.digest}, its highest revision -r{number} {highest.digest}")


def verify_evidence(repository: Registry, signer: Signer, image: PublishedImage) -> list[str]:
    """Verify the documents attached to an image, and return notes about them."""
    where = f"{repository}@{image.manifest.digest}"
    kinds = attachments.TYPES.values()
    found = attachments.find_attached(repository, image.manifest.digest, *kinds)
    missing = [name for name, kind in attachments.TYPES.items() if not found.get(kind)]
    if missing:
        raise SlipwayError(f"{where} has no {', '.join(missing)} attached; publish it again")
    genuine = {
        each.digest for each in select_signed(repository, signer, [each for kind in kinds for each in found[kind]])
    }
    found = {kind: [each for each in found[kind] if each.digest in genuine] for kind in kinds}
    forged = [name for name, kind in attachments.TYPES.items() if not found[kind]]
    if forged:
        raise SlipwayError(f"{where}: {', '.join(forged)} attached to it is not signed by {signer}")
    notes = list(attachments.TYPES)
    for name, kind in attachments.TYPES.items():
        for artifact in found[kind]:
            notes += check_document(repository, image, name, attachments.read_document(repository, artifact), found)
    return notes


def check_document(
    repository: Registry, image: PublishedImage, name: str, document: Mapping[str, Any], found: Artifacts
) -> list[str]:
    """Return notes about a document; SlipwayError when it is about another image or its verdict forbids publishing."""
    where = f"{repository}@{image.manifest.digest}: its {name}"
    if name == "provenance.json":
        digests = [(row.get("digest") or {}).get("sha256") for row in document.get("subject") or ()]
        if digests != [image.manifest.digest.removeprefix("sha256:")]:
            raise SlipwayError(f"{where} is about another image")
        return []
    is_sbom = name.startswith("sbom.")
    about = sbom.find_image_ids(document) if is_sbom else {str(document.get("image"))}
    if not about & list_identities(repository, image, found):
        raise SlipwayError(f"{where} is about another image")
    if is_sbom:
        return []
    if name == "scan.json" and document.get("verdict") == "not scanned":
        return ["NOT SCANNED"]
    if document.get("verdict") != "passed":
        raise SlipwayError(f"{where} says {document.get('verdict')!r}")
    return []


def list_identities(repository: Registry, image: PublishedImage, found: Artifacts) -> set[str]:
    """Return the IDs of an image: its configuration's digest, and the ID in the engine that built it."""
    own = {image.configuration}
    for artifact in found[attachments.TYPES["provenance.json"]]:
        predicate = attachments.read_document(repository, artifact).get("predicate") or {}
        parameters = (predicate.get("buildDefinition") or {}).get("internalParameters") or {}
        own.add(str(parameters.get("image")))
    return own


def select_signed(repository: Registry, signer: Signer, artifacts: list[Manifest]) -> list[Manifest]:
    """Return the artifacts with a signature of this signer; others may have attached their own."""
    try:
        signer.verify([f"{repository}@{each.digest}" for each in artifacts], private=False)
    except UnsignedError:
        if len(artifacts) == 1:
            return []
        return [each for artifact in artifacts for each in select_signed(repository, signer, [artifact])]
    return artifacts


def list_deprecations(repository: Registry, digest: str, is_genuine: Callable[[str], bool]) -> list[str]:
    """Return the reasons of an image's deprecation marks; marks of other signers do not count."""
    kind = attachments.DEPRECATION
    marks = attachments.find_attached(repository, digest, kind).get(kind, [])
    genuine = [mark for mark in marks if is_genuine(f"{repository}@{mark.digest}")]
    return [str(attachments.read_document(repository, mark).get("reason")) for mark in genuine]
