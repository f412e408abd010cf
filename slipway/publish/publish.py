"""Publishes images with their evidence, and verifies or deprecates published ones.

    python -m slipway.publish --registry HOST/NAME --key cosign.key IMAGE...
    python -m slipway.publish --registry HOST/NAME --key cosign.key --dry-run IMAGE...
    python -m slipway.publish --registry HOST/NAME --key cosign.pub --verify TAG...
    python -m slipway.publish --registry HOST/NAME --key cosign.key --deprecate REASON TAG...

IMAGE is a name of images.toml, TAG one of the registry. Two platforms of an image, named together, become one index.
An image is sent by its digest, then its evidence and signatures. Only after that it gets a revision and the tags
move, so a tag always has complete evidence. The next run continues a run that was interrupted.
"""

import argparse
import contextlib
import datetime
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from slipway import results
from slipway.errors import SlipwayError
from slipway.matrix import Image, load_matrix
from slipway.publish import attachments, oci_image, registry, release_checks, revisions, tags, verify
from slipway.publish.registry import INDEX, Descriptor, Manifest, Registry
from slipway.publish.release_checks import Candidate
from slipway.publish.signing import Signer
from slipway.publish.verify import PublishedImage


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
    images: list[PublishedImage]
    new: bool
    evidence: list[str] = field(default_factory=list)  # digests of all attachments; `newly_attached`: of the new ones
    newly_attached: list[str] = field(default_factory=list)
    signed: list[str] = field(default_factory=list)
    revision: int = 0
    newest: int = 0  # the highest revision at the end
    moved: list[str] = field(default_factory=list)
    deprecated: list[str] = field(default_factory=list)


# --- what to publish ---


def read_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m slipway.publish", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", metavar="IMAGE", help="an image of images.toml, or a published tag")
    parser.add_argument("--registry", required=True, metavar="HOST/NAME", help="first log in: docker login HOST")
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--dry-run", action="store_true", help="print what would be published and what is missing; write nothing"
    )
    action.add_argument("--verify", action="store_true", help="verify published tags with all their evidence")
    action.add_argument("--deprecate", metavar="REASON", help="mark published tags as deprecated; nothing is deleted")
    parser.add_argument(
        "--key", default="", help="cosign's key: a file, a KMS, env://VARIABLE; COSIGN_PASSWORD opens it"
    )
    parser.add_argument("--identity", default="", help="without a key: the identity of the CI job")
    parser.add_argument("--issuer", default="", help="without a key: the issuer of the identity")
    options = parser.parse_args(words)
    if options.deprecate is not None and not (options.deprecate.strip() and options.deprecate.isprintable()):
        parser.error("--deprecate wants a reason in one line")
    return options


def find_signer(options: argparse.Namespace) -> Signer | None:
    """Return the signer, or None without a key or identity."""
    if options.key or (options.identity and options.issuer):
        return Signer(options.key, options.identity, options.issuer)
    return None


UNSIGNED = "no key or identity to sign or verify with: --key FILE, or --identity and --issuer for a keyless signature"


def examine_images(images: Sequence[Image]) -> tuple[list[Publication], list[str]]:
    """Return what may be published, and every reason against the rest."""
    found: dict[str, list[Candidate]] = {}
    problems: list[str] = []
    for image in images:
        candidate, reasons = release_checks.examine_image(image)
        problems += reasons
        if candidate:
            found.setdefault(candidate.tags[0], []).append(candidate)
    publications = [Publication(tuple(group)) for group in found.values()]
    for publication in publications:
        problems += list_disagreements(publication)
    return publications, problems


def list_disagreements(publication: Publication) -> Iterator[str]:
    """Yield the reasons why images cannot share a tag."""
    platforms = [format_platform(each.local.platform) for each in publication.candidates]
    if len(set(platforms)) < len(platforms):
        yield f"{publication.names}: these are for the same platform and would both be {publication.tag}"
    if len({each.commit for each in publication.candidates}) > 1:
        yield f"{publication.names}: these were built from different commits"


def format_platform(platform: Mapping[str, Any]) -> str:
    """Return `linux/amd64`."""
    return f"{platform['os']}/{platform['architecture']}"


# --- publishing ---


def publish_images(repository: Registry, signer: Signer, publication: Publication) -> None:
    """Publish the images of one tag with their evidence, and print the result."""
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        for candidate in publication.candidates:
            stack.enter_context(results.exclusive(candidate.image))
            if release_checks.examine_image(candidate.image)[0] != candidate:
                raise SlipwayError(f"{candidate.image.name} was built or tested again meanwhile; run this again")
        repository.written = repository.bytes_written = 0
        known = read_known_revision(repository, publication)
        highest, current, free = revisions.find_highest(repository, publication.tag, known)
        outcome = find_or_send(repository, publication, current)
        attach_evidence(repository, publication, outcome)
        sign_all(repository, signer, outcome)
        outcome.revision = free if outcome.new else highest
        if outcome.new:
            revisions.allocate_revision(repository, publication.tag, free, outcome.manifest)
            verify.check_published(repository, outcome.manifest, outcome.images)
        move(repository, publication, outcome)
        outcome.deprecated = verify.list_deprecations(repository, outcome.manifest.digest, make_mark_check(signer))
        write_record(repository, signer, publication, outcome)
    print_outcome(repository, publication, outcome, time.monotonic() - started)


def find_or_send(repository: Registry, publication: Publication, current: Manifest | None) -> Outcome:
    """Return the highest revision if it has these images; otherwise send them and return the new manifest."""
    published = verify.list_images(repository, current) if current else []
    if current and (
        same := match_images(published, [read_known_configuration(each) for each in publication.candidates])
    ):
        return Outcome(current, same, new=False)
    require_platforms(repository, publication, published)
    sent = [send_image(repository, candidate) for candidate in publication.candidates]
    if current and (same := match_images(published, [each.configuration for each in sent])):
        return Outcome(current, same, new=False)
    manifest = sent[0].manifest
    if len(sent) > 1:
        rows = zip(sent, publication.candidates, strict=True)
        platforms = [each.manifest.descriptor.as_json() | {"platform": dict(c.local.platform)} for each, c in rows]
        manifest = registry.make_manifest({"manifests": platforms}, INDEX)
        repository.put_manifest(manifest)
    return Outcome(manifest, sent, new=True)


def match_images(published: list[PublishedImage], configurations: list[str]) -> list[PublishedImage]:
    """Return the published images in the order of these configurations; empty when they differ."""
    by_configuration = {each.configuration: each for each in published}
    if set(by_configuration) != set(configurations):
        return []
    return [by_configuration[each] for each in configurations]


def require_platforms(repository: Registry, publication: Publication, published: list[PublishedImage]) -> None:
    """Raise SlipwayError when the tag would lose a platform."""
    there = {format_platform(each.settings(repository)) for each in published}
    left_out = there - {format_platform(each.local.platform) for each in publication.candidates}
    if left_out:
        raise SlipwayError(
            f"{repository}:{publication.tag} is also there for {', '.join(sorted(left_out))}: name that image, too, so "
            "that both become one index. Nothing was published"
        )


def send_image(repository: Registry, candidate: Candidate) -> PublishedImage:
    """Send an image by its digest: the missing layers, the configuration, the manifest."""

    def send_layer(layer: Descriptor, file: BinaryIO) -> None:
        if not repository.has_blob(layer):
            repository.put_blob(layer, file)

    configuration, manifest = oci_image.pack_image(candidate.local, repository.has_blob, send_layer)
    repository.put_bytes(configuration, oci_image.CONFIGURATION)
    repository.put_manifest(manifest)
    return PublishedImage(manifest)


def attach_evidence(repository: Registry, publication: Publication, outcome: Outcome) -> None:
    """Attach the evidence of each image."""
    for candidate, image in zip(publication.candidates, outcome.images, strict=True):
        subject = image.manifest.descriptor
        wanted = attachments.make_attachments(candidate, repository, subject)
        outcome.newly_attached += attachments.attach(repository, subject, wanted)
        outcome.evidence += [each.manifest.digest for each in wanted]


def sign_all(repository: Registry, signer: Signer, outcome: Outcome) -> None:
    """Sign what has no signature yet, and verify all signatures; attachments of others are not signed."""
    digests = [outcome.manifest.digest, *(each.manifest.digest for each in outcome.images), *outcome.evidence]
    outcome.signed = list(dict.fromkeys(digests))
    references = [f"{repository}@{digest}" for digest in outcome.signed]
    fresh = references if outcome.new else [f"{repository}@{digest}" for digest in outcome.newly_attached]
    if fresh:
        signer.sign(fresh)
    if not signer.has_signed(references, private=True):
        signer.sign(references)
        signer.verify(references, private=True)


def move(repository: Registry, publication: Publication, outcome: Outcome) -> None:
    """Move the tags without a revision to the highest revision."""
    outcome.newest, _, outcome.moved = revisions.settle_tags(
        repository,
        publication.tag,
        publication.followers,
        outcome.revision,
        lambda now: is_later(repository, publication, now),
    )


def is_later(repository: Registry, publication: Publication, now: Manifest) -> bool:
    """Tell whether a publication is no earlier release than a tag's manifest: `latest` never goes back."""
    own = read_release(publication.candidates[0].local.labels)
    return all(read_release(each.labels(repository)) <= own for each in verify.list_images(repository, now))


def read_release(labels: Mapping[str, str]) -> tuple[int, ...]:
    """Return the release of an image's labels as numbers; empty without one."""
    parts = str(labels.get(tags.RELEASE, "")).split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()


# --- the record ---


def find_record(image: Image) -> Path:
    """Return the file that records the last publication of an image."""
    return image.results / "publish.json"


def read_known_revision(repository: Registry, publication: Publication) -> int:
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


def write_record(repository: Registry, signer: Signer, publication: Publication, outcome: Outcome) -> None:
    """Write dist/<image>/publish.json."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    revision = revisions.name_revision(publication.tag, outcome.revision)
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
            "manifest": image.manifest.digest,
            "configuration": image.configuration,
            "signed": outcome.signed,
            "signer": str(signer),
        }
        results.write_json(find_record(candidate.image), content)


def print_outcome(repository: Registry, publication: Publication, outcome: Outcome, seconds: float) -> None:
    """Print the published revision, what was sent, and notes for users."""
    revision = f"{repository}:{revisions.name_revision(publication.tag, outcome.revision)}"
    sent = f"{repository.written} objects, {repository.bytes_written / 1e6:.1f} MB sent"
    state = "published" if outcome.new else "is published already"
    sent = sent if repository.written else "nothing sent"
    print(f"{revision}  {outcome.manifest.digest}  {state}, {sent}, in {seconds:.1f} s")
    if outcome.moved:
        print(f"  moved: {', '.join(outcome.moved)}")
    if outcome.newest > outcome.revision:
        print(f"  another publisher published -r{outcome.newest} meanwhile; the tags without a revision point at it")
    for candidate in publication.candidates:
        not_run = sum(candidate.tests["not run"].values())
        print(f"  {candidate.image.name}: {candidate.tests['passed']} checks passed, {not_run} not run")
        if results.read_json(candidate.image.results / "scan.json").get("verdict") == "not scanned":
            print(f"  {candidate.image.name}: NOT SCANNED, by --allow-not-scanned")
    for reason in outcome.deprecated:
        print(f"  this revision is deprecated: {reason}")


# --- the other actions ---


def print_plan(repository: Registry, publications: Sequence[Publication]) -> None:
    """Print what publishing would do; nothing is written."""
    for publication in publications:
        known = read_known_revision(repository, publication)
        highest, current, free = revisions.find_highest(repository, publication.tag, known)
        published = verify.list_images(repository, current) if current else []
        if match_images(published, [read_known_configuration(each) for each in publication.candidates]):
            revision = revisions.name_revision(publication.tag, highest)
            print(f"{repository}:{revision} is published already: {publication.names}")
            target = current.digest if current else ""
        else:
            require_platforms(repository, publication, published)
            print(
                f"{repository}:{revisions.name_revision(publication.tag, free)} would be published: {publication.names}"
            )
            target = ""
        for tag in (publication.tag, *publication.followers):
            now = repository.manifest(tag)
            if now and now.digest == target:
                continue
            if now and not is_later(repository, publication, now):
                print(f"  {tag} stays at a later release, {now.digest}")
            else:
                print(f"  {tag} would move there from {now.digest if now else 'nothing'}")


def make_mark_check(signer: Signer) -> Callable[[str], bool]:
    """Return a function that tells whether a mark has this signer's signature."""
    return lambda reference: signer.has_signed([reference], private=True)


def deprecate_tag(repository: Registry, signer: Signer, tag: str, reason: str) -> None:
    """Mark the manifest of a tag and its platforms as deprecated; nothing is moved or deleted."""
    manifest = repository.require_manifest(tag)
    targets = {
        each.digest: each for each in (manifest, *(i.manifest for i in verify.list_images(repository, manifest)))
    }
    for target in targets.values():
        if reason in verify.list_deprecations(repository, target.digest, make_mark_check(signer)):
            continue
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        document = attachments.encode_json({"digest": target.digest, "since": today, "reason": reason})
        mark = attachments.make_attachment("deprecation.json", attachments.DEPRECATION, document, target.descriptor)
        attachments.attach(repository, target.descriptor, [mark])
        signer.sign([f"{repository}@{mark.manifest.digest}"])
    print(f"{repository}:{tag}  {manifest.digest}  is marked as deprecated: {reason}")


def main(words: Sequence[str] | None = None) -> int:
    """Publish, verify or deprecate; exit code 1 when evidence is missing or wrong."""
    options = read_arguments(words)
    signer = find_signer(options)
    repository = registry.parse_repository(options.registry)
    if options.verify or options.deprecate:
        if signer is None:
            raise SlipwayError(UNSIGNED)
        for tag in options.names:
            if options.deprecate:
                deprecate_tag(repository, signer, tag, options.deprecate.strip())
            else:
                print(verify.verify_tag(repository, signer, tag))
        return 0
    matrix = load_matrix()
    publications, problems = examine_images([matrix.find_image(name) for name in dict.fromkeys(options.names)])
    if signer is None:
        problems.append(UNSIGNED)
    if options.dry_run:
        print_plan(repository, publications)
    if problems or signer is None:
        raise SlipwayError("\n  ".join(["nothing is published, because:", *problems]))
    for publication in publications if not options.dry_run else ():
        publish_images(repository, signer, publication)
    return 0
