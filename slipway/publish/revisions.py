"""Revisions, TAG-r1, TAG-r2 and so on: which is the highest, how a new one is allocated, what the other tags follow.

A registry has no create-only write: whoever writes a tag last has it. Two publishers that both find TAG-r5 free and
write it would both believe that it is theirs, and one of them would have moved a published revision. So nobody writes
TAG-r5 who has not won it before, in two tags beside it that nothing else depends on:

    1. write TAG-r5.claim with a note of one's own, which no other publisher writes
    2. read TAG-r5.taken: if it is there, the number is lost
    3. write TAG-r5.taken
    4. read TAG-r5.claim: if it is not one's own note, the number is lost; else it is won

At most one publisher wins, however slow each of them is and however their steps mix (this is Moir and Anderson's
splitter). For two to win, both must find `taken` missing and their own note in `claim` at the end. Whoever wrote
`claim` last did so before either wrote `taken`, so the other reads that note at the end, and loses. It is enough that
reading a tag gives what was last written; the list of tags, which may be old, is not relied on. A write that failed
may still arrive. So none is repeated: its publisher ends there, and a note of a publisher that has ended can make
others lose, but never win. A number that nobody won, or whose winner was cut off, stays unused: a gap, nothing else.
Two publishers at once may both lose; then both end with an error, nothing is overwritten, and either can be run again.

The tags without a revision are written after TAG-r5, and the revisions are looked at again after that. Whoever writes
them last has seen the highest revision, or the publisher of a higher one has still to write them. What a publisher
that was cut off left behind is put right by the next.
"""

import re
import secrets
from collections.abc import Callable, Iterable

from slipway.publish import registry
from slipway.publish.registry import EMPTY, EMPTY_TYPE, Manifest, Registry, RegistryError

TYPE = "application/vnd.slipway.claim.v1+json"  # what the tags beside a revision point at
ROUNDS = 10  # how often other publishers may interfere with the moving of tags


class LostRaceError(RegistryError):
    """Another publisher is allocating the same revision; nothing was overwritten."""


def name_revision(tag: str, number: int) -> str:
    """Return the tag of a revision."""
    return f"{tag}-r{number}"


def find_highest_listed(tag: str, tags: Iterable[str]) -> int:
    """Return the highest revision among some tags, 0 where there is none."""
    matches = (re.fullmatch(rf"{re.escape(tag)}-r([1-9]\d{{0,8}})", each) for each in tags)
    return max((int(match[1]) for match in matches if match), default=0)


def find_highest(repository: Registry, tag: str, known: int = 0) -> tuple[int, Manifest | None, int]:
    """Return the highest revision's number and manifest (0 and None where there is none), and the first free number.

    The list of tags may be old and `known` is only where to start: whatever comes above is asked for by name.
    """
    number = max(known, find_highest_listed(tag, repository.tags()))
    found, manifest = number, None
    while found and (manifest := repository.manifest(name_revision(tag, found))) is None:
        found -= 1  # somebody has deleted it
    while True:
        following = repository.manifest(name_revision(tag, number + 1))
        if following is None and repository.manifest(f"{name_revision(tag, number + 1)}.taken") is None:
            break
        number += 1
        if following is not None:
            found, manifest = number, following
    return found, manifest, number + 1


def allocate_revision(repository: Registry, tag: str, number: int, manifest: Manifest) -> None:
    """Publish a manifest as a revision that nobody has yet.

    LostRaceError when another publisher takes the number at the same time, RegistryError when something is not
    certain; in both cases no revision was overwritten.
    """
    revision = name_revision(tag, number)
    if number == 1 and repository.manifest(tag) is not None:
        if repository.manifest(revision) is not None:  # since it was looked for
            raise make_lost_error(repository, revision)
        raise RegistryError(
            f"{repository}:{tag} is there and no revision of it is found, so the next number cannot be told. "
            "Was it pushed by hand, or does the registry list its tags only later? Nothing was written"
        )
    win_revision(repository, revision)
    if repository.manifest(revision) is not None:
        raise RegistryError(f"{repository}:{revision} was written by something that does not take turns; left as it is")
    repository.write_tag(revision, manifest)
    confirm_tag(repository, revision, manifest)


def win_revision(repository: Registry, revision: str) -> None:
    """Win the right to write a revision, by the steps above; LostRaceError when it went to somebody else."""
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
    """Return a manifest that holds nothing but its annotations."""
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
    """Read a tag again; RegistryError when it does not point at what was written."""
    found = repository.digest(tag)
    if found != manifest.digest:
        raise RegistryError(f"{repository}:{tag} is {found or 'missing'} after {manifest.digest} was written there")


def settle_tags(
    repository: Registry, tag: str, followers: Iterable[str], known: int, may_move: Callable[[Manifest], bool]
) -> tuple[int, Manifest, list[str]]:
    """Let the tags without a revision point at the highest one, until no higher one has appeared meanwhile.

    A follower that points at something else now is asked for: `may_move` tells whether it may be taken from there.
    Returns the highest revision's number and manifest, and the tags that had to be moved.
    """
    moved: list[str] = []
    for _ in range(ROUNDS):
        number, manifest, _ = find_highest(repository, tag, known)
        if manifest is None:
            raise RegistryError(f"{repository}:{name_revision(tag, known)} was there and is gone")
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
    raise RegistryError(f"{repository}:{tag} is published by others again and again; run this again to move its tags")


def require_tag(repository: Registry, tag: str) -> None:
    """Read a tag that was just written; it may have been moved on by somebody else, but it must be there."""
    if repository.manifest(tag) is None:
        raise RegistryError(f"{repository}:{tag} is missing after it was written")
