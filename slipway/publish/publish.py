"""Publishes images with their evidence, and looks at what is published.

    python -m slipway.publish --registry HOST/NAME --key cosign.key IMAGE...
    python -m slipway.publish --registry HOST/NAME --key cosign.key --dry-run IMAGE...
    python -m slipway.publish --registry HOST/NAME --key cosign.pub --verify TAG...
    python -m slipway.publish --registry HOST/NAME --key cosign.key --deprecate REASON TAG...

IMAGE is a name of images.toml, TAG one of the registry. Two platforms of an image, named together, become one index.
An image goes up by its digest, its evidence and signatures after it, and only then it gets a revision and the tags
move: whoever pulls a tag finds everything there. What ended in between is taken up again by the next run.
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
    """What goes under one tag: an image, or the same image for several platforms."""

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
    """What is in the registry: the manifest for the tag, its images in order; and what was done, step by step."""

    manifest: Manifest
    images: list[PublishedImage]
    new: bool
    evidence: list[str] = field(default_factory=list)  # digests of what is attached, and of what of it is new
    newly_attached: list[str] = field(default_factory=list)
    signed: list[str] = field(default_factory=list)
    revision: int = 0
    newest: int = 0  # the highest revision when all was done
    moved: list[str] = field(default_factory=list)
    deprecated: list[str] = field(default_factory=list)


# --- what to publish ---


def read_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m slipway.publish", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", metavar="IMAGE", help="an image of images.toml, or a published tag")
    parser.add_argument("--registry", required=True, metavar="HOST/NAME", help="where; log in by docker login HOST")
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--dry-run", action="store_true", help="say what would happen and what is missing; write nothing"
    )
    action.add_argument("--verify", action="store_true", help="read published tags again, with everything attached")
    action.add_argument("--deprecate", metavar="REASON", help="mark published tags; nothing is deleted")
    parser.add_argument(
        "--key", default="", help="cosign's key: a file, a KMS, env://VARIABLE; COSIGN_PASSWORD opens it"
    )
    parser.add_argument("--identity", default="", help="without a key: the identity that a CI system proves")
    parser.add_argument("--issuer", default="", help="without a key: who vouches for the identity")
    options = parser.parse_args(words)
    if options.deprecate is not None and not (options.deprecate.strip() and options.deprecate.isprintable()):
        parser.error("--deprecate wants a reason in one line")
    return options


def find_signer(options: argparse.Namespace) -> Signer | None:
    """Return who signs; None where nobody was named."""
    if options.key or (options.identity and options.issuer):
        return Signer(options.key, options.identity, options.issuer)
    return None


UNSIGNED = (
    "there is nothing to sign with or to verify by: --key FILE, or --identity and --issuer for a keyless signature"
)


def examine_images(images: Sequence[Image]) -> tuple[list[Publication], list[str]]:
    """Return what may be published and every reason why something may not."""
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
    """Yield why the images of one tag do not belong together."""
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
    """Publish an image with its evidence, and say what came of it."""
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
    """Return what the tag is to point at: the highest revision where it is these very images, else what was sent."""
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
    """Return the published images in the order of these configurations; empty where they are not the same ones."""
    by_configuration = {each.configuration: each for each in published}
    if set(by_configuration) != set(configurations):
        return []
    return [by_configuration[each] for each in configurations]


def require_platforms(repository: Registry, publication: Publication, published: list[PublishedImage]) -> None:
    """Refuse to take away a platform that the tag has."""
    there = {format_platform(each.settings(repository)) for each in published}
    left_out = there - {format_platform(each.local.platform) for each in publication.candidates}
    if left_out:
        raise SlipwayError(
            f"{repository}:{publication.tag} is also there for {', '.join(sorted(left_out))}: name that image, too, so "
            "that both become one index. Nothing was published"
        )


def send_image(repository: Registry, candidate: Candidate) -> PublishedImage:
    """Send an image by its digest: the layers that are missing, the configuration, the manifest."""

    def send_layer(layer: Descriptor, file: BinaryIO) -> None:
        if not repository.has_blob(layer):
            repository.put_blob(layer, file)

    configuration, manifest = oci_image.pack_image(candidate.local, repository.has_blob, send_layer)
    repository.put_bytes(configuration, oci_image.CONFIGURATION)
    repository.put_manifest(manifest)
    return PublishedImage(manifest)


def attach_evidence(repository: Registry, publication: Publication, outcome: Outcome) -> None:
    """Attach its evidence to each image."""
    for candidate, image in zip(publication.candidates, outcome.images, strict=True):
        subject = image.manifest.descriptor
        wanted = attachments.make_attachments(candidate, repository, subject)
        outcome.newly_attached += attachments.attach(repository, subject, wanted)
        outcome.evidence += [each.manifest.digest for each in wanted]


def sign_all(repository: Registry, signer: Signer, outcome: Outcome) -> None:
    """Sign what has no signature yet, and verify that of everything; nothing that others attached is signed."""
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
    """Let the tags without a revision point at the highest one."""
    outcome.newest, _, outcome.moved = revisions.settle_tags(
        repository,
        publication.tag,
        publication.followers,
        outcome.revision,
        lambda now: is_later(repository, publication, now),
    )


def is_later(repository: Registry, publication: Publication, now: Manifest) -> bool:
    """Tell whether a publication is no earlier release than what a tag points at: `latest` never goes back."""
    own = read_release(publication.candidates[0].local.labels)
    return all(read_release(each.labels(repository)) <= own for each in verify.list_images(repository, now))


def read_release(labels: Mapping[str, str]) -> tuple[int, ...]:
    """Return the release on an image's labels as numbers; nothing where it has none."""
    parts = str(labels.get(tags.RELEASE, "")).split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()


# --- what is remembered of it ---


def find_record(image: Image) -> Path:
    """Return the record of what was published."""
    return image.results / "publish.json"


def read_known_revision(repository: Registry, publication: Publication) -> int:
    """Return the revision that was published from here the last time, 0 where there was none."""
    found = results.read_json(find_record(publication.candidates[0].image))
    number = found.get("revision")
    same = found.get("registry") == str(repository) and found.get("tag") == publication.tag
    return number if same and isinstance(number, int) else 0


def read_known_configuration(candidate: Candidate) -> str:
    """Return the digest of an image's configuration: its ID, but for an engine that names it by its manifest."""
    found = results.read_json(find_record(candidate.image))
    known = found.get("configuration") if found.get("image") == candidate.local.id else None
    return known if isinstance(known, str) else candidate.local.id


def write_record(repository: Registry, signer: Signer, publication: Publication, outcome: Outcome) -> None:
    """Leave dist/<image>/publish.json."""
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
    """Say what is published now, what was sent for it, and what its users must know."""
    revision = f"{repository}:{revisions.name_revision(publication.tag, outcome.revision)}"
    sent = f"{repository.written} objects, {repository.bytes_written / 1e6:.1f} MB sent"
    state = "published" if outcome.new else "is published already"
    sent = sent if repository.written else "nothing sent"
    print(f"{revision}  {outcome.manifest.digest}  {state}, {sent}, in {seconds:.1f} s")
    if outcome.moved:
        print(f"  moved: {', '.join(outcome.moved)}")
    if outcome.newest > outcome.revision:
        print(
            f"  -r{outcome.newest} was published by somebody else meanwhile; the tags without a revision are that one"
        )
    for candidate in publication.candidates:
        not_run = sum(candidate.tests["not run"].values())
        print(f"  {candidate.image.name}: {candidate.tests['passed']} checks passed, {not_run} not run")
        if results.read_json(candidate.image.results / "scan.json").get("verdict") == "not scanned":
            print(f"  {candidate.image.name}: NOT SCANNED, by --allow-not-scanned")
    for reason in outcome.deprecated:
        print(f"  this revision is deprecated: {reason}")


# --- the other actions ---


def print_plan(repository: Registry, publications: Sequence[Publication]) -> None:
    """Say what publishing would do; nothing is written anywhere."""
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
    """Return how to tell a mark that this signer has made."""
    return lambda reference: signer.has_signed([reference], private=True)


def deprecate_tag(repository: Registry, signer: Signer, tag: str, reason: str) -> None:
    """Mark what a tag points at, with all its platforms; nothing is moved or deleted."""
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
    """Publish, foretell, verify or deprecate; exit code 1 where something is refused, missing or wrong."""
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
        raise SlipwayError("\n  ".join(["nothing is published, because of this:", *problems]))
    for publication in publications if not options.dry_run else ():
        publish_images(repository, signer, publication)
    return 0
