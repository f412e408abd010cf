"""Publishes images with their evidence, and verifies or deprecates published ones.

    python -m slipway.publish --registry HOST/NAME --key cosign.key IMAGE...
    python -m slipway.publish --registry HOST/NAME --key cosign.key --dry-run IMAGE...
    python -m slipway.publish --registry HOST/NAME --key cosign.pub --verify TAG...
    python -m slipway.publish --registry HOST/NAME --key cosign.key --deprecate REASON TAG...
    python -m slipway.publish --registry HOST/STAGING --stage IMAGE...
    python -m slipway.publish --registry HOST/NAME --identity … --issuer … --staged HOST/STAGING@sha256:…

IMAGE is a name of images.toml, TAG one of the registry. Two platforms of an image, named together, become one index.
An image is sent by its digest, then its attestations. Only after that it gets a revision, which is signed, and the tags
move, so a tag always has complete evidence. The next run continues a run that was interrupted.
"""

import argparse
import datetime
from collections.abc import Sequence
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.matrix import Matrix, load_matrix
from slipway.publish import attestations, oci_layout, publish, published, registry, release_checks, staging, verify
from slipway.publish.cosign import Signer
from slipway.publish.publish import Publication
from slipway.publish.published import format_platform, list_images
from slipway.publish.registry import Repository
from slipway.publish.release_checks import Candidate
from slipway.publish.revisions import name_revision

UNSIGNED = "no key or identity to sign or verify with: --key FILE, or --identity and --issuer for a keyless signature"


def read_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m slipway.publish", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", metavar="IMAGE", help="an image of images.toml, a published tag, …")
    parser.add_argument("--registry", required=True, metavar="HOST/NAME", help="first log in: docker login HOST")
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--dry-run", action="store_true", help="print what would be published and what is missing; write nothing"
    )
    action.add_argument("--verify", action="store_true", help="verify published tags with all their evidence")
    action.add_argument("--deprecate", metavar="REASON", help="mark published tags as deprecated; nothing is deleted")
    action.add_argument("--stage", action="store_true", help="send images with their results, unsigned, without tags")
    action.add_argument("--staged", action="store_true", help="publish what was staged: HOST/NAME@sha256:…")
    parser.add_argument("--output", type=Path, metavar="FILE", help="with --stage: append IMAGE=HOST/NAME@sha256:…")
    parser.add_argument("--allow-local-base", action="store_true", help="although the base image is from no registry")
    parser.add_argument(
        "--key", default="", help="cosign's key: a file, a KMS, env://VARIABLE; COSIGN_PASSWORD opens it"
    )
    parser.add_argument("--identity", default="", help="without a key: the identity of the CI job")
    parser.add_argument("--issuer", default="", help="without a key: the issuer of the identity")
    options = parser.parse_args(words)
    if options.deprecate is not None and not (options.deprecate.strip() and options.deprecate.isprintable()):
        parser.error("--deprecate wants a reason in one line")
    return options


# --- what to publish ---


def examine_candidates(
    candidates: Sequence[Candidate], *, allow_local_base: bool
) -> tuple[list[Publication], list[str]]:
    """Return what may be published, and every reason against the rest."""
    found: dict[str, list[Candidate]] = {}
    problems: list[str] = []
    for candidate in candidates:
        reasons = release_checks.list_problems(candidate, allow_local_base=allow_local_base)
        problems += reasons
        if not reasons:
            found.setdefault(candidate.tags[0], []).append(candidate)
    publications = [Publication(tuple(group)) for group in found.values()]
    for publication in publications:
        platforms = [format_platform(each.local.platform) for each in publication.candidates]
        if len(set(platforms)) < len(platforms):
            problems.append(f"{publication.names}: these are for the same platform and would both be {publication.tag}")
        if len({each.commit for each in publication.candidates}) > 1:
            problems.append(f"{publication.names}: these were built from different commits")
    return publications, problems


def find_candidates(matrix: Matrix, options: argparse.Namespace) -> tuple[list[Candidate], list[str]]:
    """Return the images that the command line names, and why some cannot be found."""
    candidates: list[Candidate] = []
    problems: list[str] = []
    for name in dict.fromkeys(options.names):
        try:
            if options.staged:
                candidates.append(staging.read_staged(matrix, name))
            else:
                candidates.append(release_checks.find_candidate(matrix.find_image(name)))
        except SlipwayError as error:
            problems.append(str(error))
    return candidates, problems


# --- the other actions ---


def print_plan(repository: Repository, signer: Signer, publications: Sequence[Publication]) -> None:
    """Print what publishing would do; nothing is written."""
    for publication in publications:
        state = publish.find_state(repository, signer, publication)
        there = list_images(repository, state.manifest) if state.manifest else []
        if publish.match_images(there, [publish.read_known_configuration(each) for each in publication.candidates]):
            revision = name_revision(publication.tag, state.number)
            print(f"{repository}:{revision} is published already: {publication.names}")
            target = state.manifest.digest if state.manifest else ""
        else:
            publish.require_platforms(repository, publication, there)
            print(f"{repository}:{name_revision(publication.tag, state.free)} would be published: {publication.names}")
            target = ""
        own = publication.candidates[0].local.labels
        for tag in (publication.tag, *publication.followers):
            now = repository.find_manifest(tag)
            if now and now.digest == target:
                continue
            if now and not publish.is_replaceable(repository, signer, now, own):
                print(f"  {tag} stays at a later release, {now.digest}")
            else:
                print(f"  {tag} would move there from {now.digest if now else 'nothing'}")


def deprecate_tag(repository: Repository, signer: Signer, tag: str, reason: str) -> None:
    """Mark the manifest of a tag and its platforms as deprecated; nothing is moved or deleted."""
    manifest = repository.require_manifest(tag)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    mark = oci_layout.encode_json({"since": today, "reason": reason})
    for digest in {manifest.digest, *(each.digest for each in list_images(repository, manifest))}:
        if reason not in published.list_deprecations(repository, signer, digest):
            signer.attest(repository.refer(digest), attestations.DEPRECATION, mark)
    print(f"{repository}:{tag}  {manifest.digest}  is marked as deprecated: {reason}")


def publish_named(repository: Repository, signer: Signer | None, options: argparse.Namespace) -> None:
    """Publish or stage images, or print what would be published; SlipwayError with all reasons against it."""
    candidates, problems = find_candidates(load_matrix(), options)
    publications, reasons = examine_candidates(candidates, allow_local_base=options.allow_local_base)
    problems += reasons
    if signer is None and not options.stage:
        problems.append(UNSIGNED)
    if options.dry_run and signer:
        print_plan(repository, signer, publications)
    if problems:
        raise SlipwayError("\n  ".join(["nothing is published, because:", *problems]))
    if options.stage:
        for candidate in candidates:
            staging.stage_image(repository, candidate, options.output)
    elif signer and not options.dry_run:
        for publication in publications:
            publish.publish_images(repository, signer, publication)


def main(words: Sequence[str] | None = None) -> int:
    """Publish, stage, verify or deprecate; exit code 1 when evidence is missing or wrong."""
    options = read_arguments(words)
    is_named = options.key or (options.identity and options.issuer)
    signer = Signer(options.key, options.identity, options.issuer, is_public=options.verify) if is_named else None
    repository = registry.parse_repository(options.registry)
    if not options.verify and not options.deprecate:
        publish_named(repository, signer, options)
        return 0
    if signer is None:
        raise SlipwayError(UNSIGNED)
    for tag in options.names:
        if options.deprecate:
            deprecate_tag(repository, signer, tag, options.deprecate.strip())
        else:
            print(verify.verify_tag(repository, signer, tag))
    return 0
