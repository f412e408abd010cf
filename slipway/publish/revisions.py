"""Revisions, TAG-r1, TAG-r2 and so on: finds the highest, allocates a new one, moves the other tags.

A registry cannot refuse to overwrite a tag: the last write wins. Two publishers that both find TAG-r5 free would both
write it, and one of them would overwrite a published revision. So a publisher must first win the number, with two tags
that are used for nothing else:

    1. write TAG-r5.claim with a random note
    2. read TAG-r5.taken: if it exists, the number is lost
    3. write TAG-r5.taken
    4. read TAG-r5.claim: if it is another note, the number is lost; otherwise it is won

At most one publisher wins, however slow the publishers are and in whatever order their steps are run (this is Moir and
Anderson's splitter). For two to win, both must find `taken` missing and their own note in `claim` at the end. The last
write of `claim` was before either write of `taken`, so the other publisher reads that note at the end, and loses. Reads
of a tag must return the last write; the list of tags, which may be old, is not relied on. A write that failed may still
arrive. It is not repeated: its publisher stops, and the note of a stopped publisher can make others lose, but never
win. A number that nobody won, or whose winner was interrupted, stays unused: a gap, and no harm. Two publishers at the
same time may both lose; then both stop with an error, nothing is overwritten, and each can be run again.

The tags without a revision are written after TAG-r5, and the revisions are read again after that. The last publisher
that writes them has seen the highest revision, or the publisher of a higher one has still to write them. The next
publisher completes the work of an interrupted one.
"""

import re
import secrets
from collections.abc import Callable, Iterable

from slipway.publish import registry
from slipway.publish.registry import EMPTY, EMPTY_TYPE, Manifest, Registry, RegistryError

TYPE = "application/vnd.slipway.claim.v1+json"  # of the manifests of .claim and .taken
ROUNDS = 10  # tries to move the tags while others publish


class LostRaceError(RegistryError):
    """Another publisher is allocating the same revision; nothing was overwritten."""


def name_revision(tag: str, number: int) -> str:
    """Return the tag of a revision."""
    return f"{tag}-r{number}"


def find_highest_listed(tag: str, tags: Iterable[str]) -> int:
    """Return the highest revision among some tags, 0 without any."""
    matches = (re.fullmatch(rf"{re.escape(tag)}-r([1-9]\d{{0,8}})", each) for each in tags)
    return max((int(match[1]) for match in matches if match), default=0)


def find_highest(repository: Registry, tag: str, known: int = 0) -> tuple[int, Manifest | None, int]:
    """Return the highest revision's number and manifest (0 and None without one), and the first free number.

    The list of tags may be old, and `known` is only a lower bound: higher revisions are looked up by name.
    """
    number = max(known, find_highest_listed(tag, repository.tags()))
    found, manifest = number, None
    while found and (manifest := repository.manifest(name_revision(tag, found))) is None:
        found -= 1  # it was deleted
    while True:
        following = repository.manifest(name_revision(tag, number + 1))
        if following is None and repository.manifest(f"{name_revision(tag, number + 1)}.taken") is None:
            break
        number += 1
        if following is not None:
            found, manifest = number, following
    return found, manifest, number + 1


def allocate_revision(repository: Registry, tag: str, number: int, manifest: Manifest) -> None:
    """Publish a manifest as a new revision.

    LostRaceError when another publisher takes the number at the same time, RegistryError when the state of the registry
    is uncertain; in both cases no revision was overwritten.
    """
    revision = name_revision(tag, number)
    if number == 1 and repository.manifest(tag) is not None:
        if repository.manifest(revision) is not None:  # it was written meanwhile
            raise make_lost_error(repository, revision)
        raise RegistryError(
            f"{repository}:{tag} exists without a revision, so the next number is unknown. "
            "Was it pushed by hand, or is the registry's list of tags old? Nothing was written"
        )
    win_revision(repository, revision)
    if repository.manifest(revision) is not None:
        raise RegistryError(f"{repository}:{revision} was written by another tool meanwhile; it was not overwritten")
    repository.write_tag(revision, manifest)
    confirm_tag(repository, revision, manifest)


def win_revision(repository: Registry, revision: str) -> None:
    """Win the right to write a revision by the steps above; LostRaceError when another publisher has it."""
    repository.put_bytes(EMPTY, EMPTY_TYPE)
    claim, taken = f"{revision}.claim", f"{revision}.taken"
    own = make_note({"slipway.publisher": secrets.token_hex(16)})
    repository.write_tag(claim, own)
    if repository.manifest(taken) is not None:
        raise make_lost_error(repository, revision)
    repository.write_tag(taken, make_note({"slipway.taken": revision}))
    if repository.digest(claim) != own.digest:
        raise make_lost_error(repository, revision)


def make_note(annotations: dict[str, str]) -> Manifest:
    """Return a manifest that has only annotations."""
    empty = registry.make_descriptor(EMPTY, EMPTY_TYPE).as_json()
    return registry.make_manifest(
        {"artifactType": TYPE, "config": empty, "layers": [empty], "annotations": annotations}
    )


def make_lost_error(repository: Registry, revision: str) -> LostRaceError:
    """Return the error of a race that was lost."""
    return LostRaceError(
        f"another publisher took {repository}:{revision} at the same time. Nothing was overwritten; run this again"
    )


def confirm_tag(repository: Registry, tag: str, manifest: Manifest) -> None:
    """Read a tag again; RegistryError when it does not point at the manifest that was written."""
    found = repository.digest(tag)
    if found != manifest.digest:
        raise RegistryError(f"{repository}:{tag} is {found or 'missing'} after {manifest.digest} was written there")


def settle_tags(
    repository: Registry, tag: str, followers: Iterable[str], known: int, may_move: Callable[[Manifest], bool]
) -> tuple[int, Manifest, list[str]]:
    """Move the tags without a revision to the highest one; repeat if a higher one has appeared meanwhile.

    `may_move` tells whether a follower may be moved away from its present manifest. Returns the number and manifest of
    the highest revision, and the tags that were moved.
    """
    moved: list[str] = []
    for _ in range(ROUNDS):
        number, manifest, _ = find_highest(repository, tag, known)
        if manifest is None:
            raise RegistryError(f"{repository}:{name_revision(tag, known)} has disappeared")
        late = [tag] if repository.digest(tag) != manifest.digest else []
        for follower in followers:
            now = repository.manifest(follower)
            if now is None or (now.digest != manifest.digest and may_move(now)):
                late.append(follower)
        for each in late:
            repository.write_tag(each, manifest)
            require_tag(repository, each)
        moved += late
        if not late:
            return number, manifest, list(dict.fromkeys(moved))
    raise RegistryError(f"{repository}:{tag} is published by others at the same time; run this again to move its tags")


def require_tag(repository: Registry, tag: str) -> None:
    """Raise RegistryError when a tag is missing; another publisher may have moved it."""
    if repository.manifest(tag) is None:
        raise RegistryError(f"{repository}:{tag} is missing after it was written")
