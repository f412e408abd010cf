"""Verifies what is published, from the registry alone: every layer, every attestation, every signature and tag."""

import concurrent.futures
import hashlib
import re

from slipway.docker import CHUNK
from slipway.errors import SlipwayError
from slipway.image.compression import unpack
from slipway.image.tar_reader import BLOCK
from slipway.publish import attestations, published, tags
from slipway.publish.cosign import Signer, UnsignedError
from slipway.publish.registry import Manifest, RegistryError, Repository


def verify_tag(repository: Repository, signer: Signer, tag: str) -> str:
    """Verify a tag and return a line with the result; SlipwayError for the first problem."""
    manifest = repository.require_manifest(tag)
    verify_place(repository, signer, tag, manifest)
    notes: list[str] = []
    for image in published.list_images(repository, manifest):
        verify_layers(repository, image)
        notes += attestations.verify_attestations(repository, signer, image)
    notes += [f"DEPRECATED: {reason}" for reason in published.list_deprecations(repository, signer, manifest.digest)]
    told = ", ".join(dict.fromkeys(notes))
    return f"{repository}:{tag}  {manifest.digest}  signed; all layers as they should be; {told}"


# --- the tag ---


def verify_place(repository: Repository, signer: Signer, tag: str, manifest: Manifest) -> None:
    """Raise SlipwayError unless a signature binds the tag to the manifest, and nothing newer was published so."""
    where = f"{repository}:{tag} ({manifest.digest})"
    claims = published.read_claims(repository, signer, manifest.digest)
    if not claims:
        raise UnsignedError(f"{where} is not signed by {signer}")
    if re.search(r"-r\d+$", tag):
        if tag not in claims:
            raise SlipwayError(f"{where} was signed as {', '.join(claims)}: somebody let the revision point elsewhere")
        return
    own = [revision for revision, names in claims.items() if tag in names]
    if not own:
        raise SlipwayError(f"{where} was published as {', '.join(claims)} and not under this tag: somebody moved it")
    newest = max(own, key=tags.parse_revision)
    if repository.find_digest(newest) != manifest.digest:
        raise SlipwayError(f"{where} was signed as {newest}, and that is another manifest now")
    if later := find_later(repository, signer, tag, newest):
        raise SlipwayError(f"{where} is {newest}, but {later} was published under this tag after it")


def find_later(repository: Repository, signer: Signer, tag: str, revision: str) -> str:
    """Return the newest revision that was published under a tag after another one; empty without one.

    A later revision that somebody deleted from the registry is not found.
    """
    after = [each for each in repository.list_tags() if tags.parse_revision(each) > tags.parse_revision(revision)]
    for each in sorted(after, key=tags.parse_revision, reverse=True):
        found = repository.find_manifest(each)
        if found and tag in published.read_claims(repository, signer, found.digest).get(each, ()):
            return each
    return ""


# --- layers ---


def verify_layers(repository: Repository, image: Manifest) -> None:
    """Read all layers of an image; RegistryError unless they are the ones that its configuration names."""
    diff_ids = published.read_settings(repository, image)["rootfs"]["diff_ids"]
    if len(diff_ids) != len(image.layers):
        raise RegistryError(f"{repository.refer(image.digest)} has not the layers of its configuration")
    print(f"{repository.refer(image.digest)}: reading {len(diff_ids)} layers", flush=True)
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        found = list(pool.map(lambda digest: compute_diff_id(repository, digest), image.layers))
    for digest, diff_id, actual in zip(image.layers, diff_ids, found, strict=True):
        if diff_id != actual:
            raise RegistryError(f"{repository.refer(digest)} is the layer {actual}, and should be {diff_id}")


def compute_diff_id(repository: Repository, digest: str) -> str:
    """Return the digest of a layer's uncompressed content; RegistryError when it cannot be read."""
    content = hashlib.sha256()
    try:
        with repository.open_blob(digest) as blob, unpack(blob.peek(BLOCK), blob.read) as plain:
            while piece := plain(CHUNK):
                content.update(piece)
    except SlipwayError as error:
        raise RegistryError(f"{repository.refer(digest)}: {error}") from None
    return f"sha256:{content.hexdigest()}"
