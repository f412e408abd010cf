"""Publishes the images of a tag: sends them, attests, allocates a revision, moves the tags."""

import contextlib
import datetime
import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slipway import results
from slipway.errors import SlipwayError
from slipway.matrix import Image
from slipway.publish import attestations, oci_layout, published, release_checks, revisions, tags
from slipway.publish.cosign import Signer
from slipway.publish.published import format_platform, list_images
from slipway.publish.registry import Manifest, Repository
from slipway.publish.release_checks import SCAN, SOURCE, Candidate
from slipway.publish.revisions import State, name_revision


@dataclass(frozen=True)
class Publication:
    """The content of one tag: an image, or the same image for several platforms."""

    candidates: tuple[Candidate, ...]

    @property
    def tag(self) -> str:
        """The tag that revisions belong to."""
        return self.candidates[0].tags[0]

    @property
    def followers(self) -> tuple[str, ...]:
        """The other tags."""
        return self.candidates[0].tags[1:]

    @property
    def names(self) -> str:
        """The names of its images."""
        return ", ".join(each.image.name for each in self.candidates)


@dataclass
class Outcome:
    """The result of publishing: the manifest of the tag, its images in order, and what each step has changed."""

    manifest: Manifest
    images: list[Manifest]
    is_new: bool
    attested: list[str] = field(default_factory=list)
    revision: int = 0
    newest: int = 0  # the highest revision at the end
    moved: list[str] = field(default_factory=list)
    later: list[str] = field(default_factory=list)  # the manifests of later releases, which keep their tags
    deprecated: list[str] = field(default_factory=list)


# --- publishing ---


def publish_images(repository: Repository, signer: Signer, publication: Publication) -> None:
    """Publish the images of one tag with their evidence, and print the result."""
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        for candidate in publication.candidates:
            if not candidate.staged:
                stack.enter_context(results.exclusive(candidate.image))
                if release_checks.find_candidate(candidate.image) != candidate:
                    raise SlipwayError(f"{candidate.image.name} was built or tested again meanwhile; run this again")
        state = find_state(repository, signer, publication)
        outcome = find_or_send(repository, publication, state.manifest)
        outcome.revision = state.free if outcome.is_new else state.number
        attest_results(repository, signer, publication, outcome)
        move_tags(repository, signer, publication, outcome)
        outcome.deprecated = published.list_deprecations(repository, signer, outcome.manifest.digest)
        write_record(repository, signer, publication, outcome)
    print_outcome(repository, publication, outcome, time.monotonic() - started)


def find_state(repository: Repository, signer: Signer, publication: Publication) -> State:
    """Return the revisions of a publication's tag that this signer has signed."""
    known = read_known_revision(repository, publication)
    return revisions.find_state(
        repository,
        publication.tag,
        lambda revision, digest: revision in published.read_claims(repository, signer, digest),
        known,
    )


def find_or_send(repository: Repository, publication: Publication, current: Manifest | None) -> Outcome:
    """Return the highest revision if it has these images; otherwise send them and return the new manifest.

    The revision bears our signature. Any other manifest is taken for ours only by its digest.
    """
    there = list_images(repository, current) if current else []
    if current and (same := match_images(there, [read_known_configuration(each) for each in publication.candidates])):
        return Outcome(current, same, is_new=False)
    require_platforms(repository, publication, there)
    sent = [send_image(repository, candidate) for candidate in publication.candidates]
    if current and (same := match_images(there, [each.configuration for each in sent])):
        return Outcome(current, same, is_new=False)
    if len(sent) == 1:
        return Outcome(sent[0], sent, is_new=True)
    with oci_layout.temporary_layout() as layout:
        platforms = [each.local.platform for each in publication.candidates]
        index = layout.write_index(zip(sent, platforms, strict=True))
        repository.push(layout.folder, index.digest, is_index=True)
    return Outcome(index, sent, is_new=True)


def match_images(there: list[Manifest], configurations: list[str]) -> list[Manifest]:
    """Return published images in the order of these configurations; empty when they differ."""
    by_configuration = {each.configuration: each for each in there}
    if len(there) != len(configurations) or set(by_configuration) != set(configurations):
        return []
    return [by_configuration[each] for each in configurations]


def require_platforms(repository: Repository, publication: Publication, there: list[Manifest]) -> None:
    """Raise SlipwayError when the tag would lose a platform."""
    platforms = {format_platform(published.read_settings(repository, each)) for each in there}
    left_out = platforms - {format_platform(each.local.platform) for each in publication.candidates}
    if left_out:
        raise SlipwayError(
            f"{repository}:{publication.tag} is also there for {', '.join(sorted(left_out))}: name that image, too, so "
            "that both become one index. Nothing was published"
        )


def send_image(repository: Repository, candidate: Candidate) -> Manifest:
    """Send an image by its digest, from the engine or from the staging repository, and return its manifest."""
    print(f"{candidate.image.name}: sending {len(candidate.local.diff_ids)} layers", flush=True)
    if candidate.staged:
        digest = candidate.staged.rpartition("@")[2]
        repository.copy_from(candidate.staged, digest)
        return repository.require_manifest(digest)
    with oci_layout.temporary_layout() as layout:
        manifest = oci_layout.pack_image(candidate.local, layout)
        repository.push(layout.folder, manifest.digest)
    return repository.require_manifest(manifest.digest)


def attest_results(repository: Repository, signer: Signer, publication: Publication, outcome: Outcome) -> None:
    """Attest the results, and publish a new revision; the signature binds it to its digest, tags and results."""
    attested = attestations.compute_digest(publication.candidates)
    references = [repository.refer(each.digest) for each in outcome.images]
    said = [said.get(published.RESULTS) for _, said in signer.list_signed(repository.refer(outcome.manifest.digest))]
    if not outcome.is_new and attested in said and all(attestations.has_all(signer, each) for each in references):
        return
    for candidate, image in zip(publication.candidates, outcome.images, strict=True):
        outcome.attested += attestations.attest_missing(repository, signer, candidate, image.digest)

    def sign(revision: str) -> None:
        digests = [outcome.manifest.digest, *(each.digest for each in outcome.images)]
        published.sign_publication(repository, signer, digests, revision, publication.candidates[0].tags, attested)

    if outcome.is_new:
        revisions.allocate_revision(repository, publication.tag, outcome.revision, outcome.manifest.digest, sign)
    else:
        sign(name_revision(publication.tag, outcome.revision))


def move_tags(repository: Repository, signer: Signer, publication: Publication, outcome: Outcome) -> None:
    """Move the tags without a revision to the highest revision; `latest` never goes back to an earlier release."""

    @functools.cache  # many tags point at the same manifest
    def may_move(now: Manifest) -> bool:
        if is_replaceable(repository, signer, now, publication.candidates[0].local.labels):
            return True
        is_signed = published.read_claims(repository, signer, now.digest)
        unsigned = f", NOT SIGNED by {signer}: verify it by the key of its publisher, or delete the tags at it"
        outcome.later.append(f"{now.digest}{'' if is_signed else unsigned}")
        return False

    state, outcome.moved = revisions.settle_tags(
        repository,
        lambda: find_state(repository, signer, publication),
        publication.tag,
        publication.followers,
        may_move,
    )
    outcome.newest = state.number


def is_replaceable(repository: Repository, signer: Signer, now: Manifest, own: Mapping[str, str]) -> bool:
    """Tell whether an image with these labels may take a tag from a manifest: unless that is a later release of ours.

    Ours is what this signer has signed, and what names the same source: another key or identity may have signed it.
    """
    labels = [published.read_labels(repository, each) for each in list_images(repository, now)]
    is_ours = any(SOURCE in own and each.get(SOURCE) == own[SOURCE] for each in labels)
    if not is_ours and not published.read_claims(repository, signer, now.digest):
        return True
    return max(map(tags.parse_release, labels), default=()) <= tags.parse_release(own)


# --- the record ---


def find_record(image: Image) -> Path:
    """Return the file that records the last publication of an image."""
    return image.results / "publish.json"


def read_known_revision(repository: Repository, publication: Publication) -> int:
    """Return the last revision that was published from this checkout, 0 without one."""
    found = results.read_json(find_record(publication.candidates[0].image))
    number = found.get("revision")
    same = found.get("registry") == str(repository) and found.get("tag") == publication.tag
    return number if same and isinstance(number, int) else 0


def read_known_configuration(candidate: Candidate) -> str:
    """Return the digest of an image's configuration: its ID, unless the engine's ID is the manifest's digest."""
    found = results.read_json(find_record(candidate.image))
    known = found.get("configuration") if found.get("image") == candidate.local.id else None
    return known if isinstance(known, str) else candidate.local.id


def write_record(repository: Repository, signer: Signer, publication: Publication, outcome: Outcome) -> None:
    """Write dist/<image>/publish.json."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    revision = name_revision(publication.tag, outcome.revision)
    for candidate, image in zip(publication.candidates, outcome.images, strict=True):
        content = {
            "image": candidate.local.id,
            "verdict": "published",
            "finished": now,
            "registry": str(repository),
            "tag": publication.tag,
            "revision": outcome.revision,
            "tags": [revision, publication.tag, *publication.followers],
            "digest": outcome.manifest.digest,
            "manifest": image.digest,
            "configuration": image.configuration,
            "signer": str(signer),
        }
        results.write_json(find_record(candidate.image), content)


def print_outcome(repository: Repository, publication: Publication, outcome: Outcome, seconds: float) -> None:
    """Print the published revision, what was changed, and notes for users."""
    revision = f"{repository}:{name_revision(publication.tag, outcome.revision)}"
    state = "published" if outcome.is_new else "is published already"
    print(f"{revision}  {outcome.manifest.digest}  {state}, in {seconds:.1f} s")
    for what, names in (("attested", outcome.attested), ("moved", outcome.moved)):
        if names:
            print(f"  {what}: {', '.join(dict.fromkeys(names))}")
    for each in outcome.later:
        print(f"  tags stay at a later release: {each}")
    if outcome.newest > outcome.revision:
        print(f"  another publisher published -r{outcome.newest} meanwhile; the tags without a revision point at it")
    for candidate in publication.candidates:
        checks = candidate.report.checks
        passed, not_run = (sum(each.outcome == kind for each in checks) for kind in ("passed", "not run"))
        print(f"  {candidate.image.name}: {passed} checks passed, {not_run} not run")
        if candidate.read(SCAN).get("verdict") == "not scanned":
            print(f"  {candidate.image.name}: NOT SCANNED, by --allow-not-scanned")
    for reason in outcome.deprecated:
        print(f"  this revision is deprecated: {reason}")
