"""Revisions, TAG-r1, TAG-r2 and so on: finds the highest, allocates a new one, moves the other tags.

A registry need not refuse to overwrite a tag: the last write wins. Two publishers that both find TAG-r5 free would both
write it, and one of them would overwrite a published revision. So a publisher must first win the number, with two tags
that are used for nothing else:

    1. write TAG-r5.claim with a random note
    2. read TAG-r5.taken: if it exists, the number is lost
    3. write TAG-r5.taken
    4. read TAG-r5.claim: if it is another note, the number is lost; otherwise it is won

At most one publisher wins, however slow the publishers are and in whatever order their steps are run (this is Moir and
Anderson's splitter). For two to win, both must find `taken` missing and their own note in `claim` at the end. The last
write of `claim` was before either write of `taken`, so the other publisher reads that note at the end, and loses. A
write may be repeated within its step. Two conditions: a read of a tag returns the last write, and no proxy repeats a
write after its step has ended. The list of tags may be old; it is not relied on. A registry with immutable tags needs
neither: it refuses the second write of TAG-r5, and that publisher ends with an error.

A number that nobody won, or whose claimant was interrupted, stays unused: a gap, and no harm. It is not tried again: a
registry with immutable tags would refuse each second claim. Two publishers at the same
time may both lose; then both end with an error, nothing is overwritten, and each can be run again.

A revision is bound to its digest by the publisher's signature, which names it. One that is not signed is not counted,
whoever wrote it. The tags without a revision are written after TAG-r5, and the revisions are read again after that:
the last publisher that writes them has seen the highest revision, or the publisher of a higher one has still to write
them. The next publisher completes the work of an interrupted one.
"""

import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from slipway.publish import oci_layout
from slipway.publish.registry import Manifest, RegistryError, Repository

NOTE = "application/vnd.slipway.claim.v1+json"  # of the manifests of .claim and .taken
ROUNDS = 10  # tries to move the tags while others publish

IsSigned = Callable[[str, str], bool]  # whether our signature binds a revision to a digest


class LostRaceError(RegistryError):
    """Another publisher is allocating the same revision; nothing was overwritten."""


@dataclass(frozen=True)
class State:
    """The revisions of a tag: the highest that is signed (0 and None without one), and the first free number."""

    number: int
    manifest: Manifest | None
    free: int


def name_revision(tag: str, number: int) -> str:
    """Return the tag of a revision."""
    return f"{tag}-r{number}"


def find_state(repository: Repository, tag: str, is_signed: IsSigned, known: int = 0) -> State:
    """Return the revisions of a tag.

    The list of tags may be old, and `known` is only a lower bound: higher numbers are looked up by name.
    """
    used = re.compile(
        rf"{re.escape(tag)}-r([1-9]\d{{0,8}})(\.taken|\.claim)?"
    )  # revisions, and numbers that were claimed
    numbers = {int(match[1]) for match in map(used.fullmatch, repository.list_tags()) if match}
    numbers |= {known} if known else set()
    top = max(numbers, default=0)
    while any(repository.find_manifest(f"{name_revision(tag, top + 1)}{end}") for end in ("", ".taken", ".claim")):
        top += 1
        numbers.add(top)
    for number in sorted(numbers, reverse=True):
        manifest = repository.find_manifest(name_revision(tag, number))
        if manifest and is_signed(name_revision(tag, number), manifest.digest):
            return State(number, manifest, top + 1)
    return State(0, None, top + 1)


# --- a new revision ---


def allocate_revision(repository: Repository, tag: str, number: int, digest: str, sign: Callable[[str], None]) -> None:
    """Publish a manifest as a new revision: win its number, sign the binding, write the tag.

    LostRaceError when another publisher takes the number at the same time, RegistryError when the state of the registry
    is uncertain; in both cases no revision was overwritten.
    """
    revision = name_revision(tag, number)
    if number == 1 and repository.find_manifest(tag):
        if repository.find_manifest(revision):  # it was written meanwhile
            raise make_lost_error(repository, revision)
        raise RegistryError(
            f"{repository}:{tag} exists without a revision, so the next number is unknown. "
            "Was it pushed by hand, or is the registry's list of tags old? Nothing was written"
        )
    win_revision(repository, revision)
    sign(revision)
    if repository.find_manifest(revision):
        raise RegistryError(f"{repository}:{revision} was written by another tool meanwhile; it was not overwritten")
    repository.write_tag(revision, digest)
    found = repository.find_digest(revision)
    if found != digest:
        raise RegistryError(f"{repository}:{revision} is {found or 'missing'} after {digest} was written there")


def win_revision(repository: Repository, revision: str) -> None:
    """Win the right to write a revision by the steps above; LostRaceError when another publisher has it."""
    own = write_note(repository, f"{revision}.claim", secrets.token_hex(16))
    if repository.find_manifest(f"{revision}.taken"):
        raise make_lost_error(repository, revision)
    write_note(repository, f"{revision}.taken", revision)
    if repository.find_digest(f"{revision}.claim") != own:
        raise make_lost_error(repository, revision)


def write_note(repository: Repository, tag: str, note: str) -> str:
    """Write a tag with a manifest that has only an annotation, and return its digest."""
    with oci_layout.temporary_layout() as layout:
        empty = layout.describe(oci_layout.EMPTY, layout.add_blob(b"{}"))
        manifest = layout.add_manifest(empty, [empty], artifactType=NOTE, annotations={"slipway.note": note})
        layout.write_index([(manifest, {})])
        repository.push(layout.folder, tag)
    return manifest.digest


def make_lost_error(repository: Repository, revision: str) -> LostRaceError:
    """Return the error of a race that was lost."""
    return LostRaceError(
        f"another publisher took {repository}:{revision} at the same time. Nothing was overwritten; run this again"
    )


# --- the tags without a revision ---


def settle_tags(
    repository: Repository,
    find: Callable[[], State],
    tag: str,
    followers: Iterable[str],
    may_move: Callable[[Manifest], bool],
) -> tuple[State, list[str]]:
    """Move the tags without a revision to the highest one; repeat if a higher one has appeared meanwhile.

    `may_move` tells whether a follower may be moved away from its present manifest. Returns the revisions at the end
    and the tags that were moved.
    """
    moved: list[str] = []
    for _ in range(ROUNDS):
        state = find()
        if state.manifest is None:
            raise RegistryError(f"{repository}: the revisions of {tag} have disappeared")
        digest = state.manifest.digest
        late = [tag] if repository.find_digest(tag) != digest else []
        for follower in followers:
            now = repository.find_manifest(follower)
            if now is None or (now.digest != digest and may_move(now)):
                late.append(follower)
        for each in late:
            repository.write_tag(each, digest)
        moved += late
        if not late:
            return state, list(dict.fromkeys(moved))
    raise RegistryError(f"{repository}:{tag} is published by others at the same time; run this again to move its tags")
