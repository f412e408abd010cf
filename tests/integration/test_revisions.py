"""Revisions never move: however publishers mix, whatever the registry does, none is overwritten and none is lost."""

import json
import random
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from queue import Queue
from typing import cast

import pytest

from slipway.publish import registry, revisions
from slipway.publish.registry import RegistryError, Repository
from slipway.publish.revisions import LostRaceError
from tests.integration.registries import Fault, Proxy, Request

TAG = "0.1.0-cpu-base"


@pytest.fixture
def repository(target: str) -> Repository:
    """An unused repository."""
    return registry.parse_repository(target)


def push(repository: Repository, text: str) -> str:
    """Put a small manifest into a repository and return its digest."""
    return revisions.write_note(repository, "any", text)


def find_state(repository: Repository) -> revisions.State:
    """Return the revisions; each counts as signed."""
    return revisions.find_state(repository, TAG, lambda *_: True)


def publish(repository: Repository, digest: str) -> int:
    """Do what publishing does once the image is there; returns the revision."""
    free = find_state(repository).free
    revisions.allocate_revision(repository, TAG, free, digest, lambda _: None)
    settle(repository)
    return free


def settle(repository: Repository) -> None:
    """Move the other tags."""
    revisions.settle_tags(repository, lambda: find_state(repository), TAG, ["latest"], lambda _: True)


def published(upstream: str, repository: Repository) -> dict[int, str]:
    """Return the revisions with their digests, from the registry itself."""
    plain = registry.parse_repository(f"{upstream}/{repository.name.partition('/')[2]}")
    tags = [tag for tag in plain.list_tags() if re.search(r"-r\d+$", tag)]
    return {int(tag.rpartition("-r")[2]): plain.find_digest(tag) for tag in tags}


# --- one publisher -------------------------------------------------------------------------------


@pytest.mark.requirement("V5")
def test_the_tag_without_a_revision_follows_the_highest(repository: Repository) -> None:
    """Each publication gets the next number, and those before stay what they were."""
    made = [push(repository, str(number)) for number in range(3)]
    assert [publish(repository, each) for each in made] == [1, 2, 3]
    assert [repository.find_digest(f"{TAG}-r{number}") for number in (1, 2, 3)] == made
    assert repository.find_digest(TAG) == repository.find_digest("latest") == made[2]


def test_a_number_that_somebody_else_wrote_is_left_as_it_is(repository: Repository) -> None:
    own, other = push(repository, "own"), push(repository, "other")
    repository.write_tag(f"{TAG}-r1", other)
    with pytest.raises(RegistryError, match="was written by another tool meanwhile"):
        revisions.allocate_revision(repository, TAG, 1, own, lambda _: None)
    assert repository.find_digest(f"{TAG}-r1") == other


def test_a_tag_without_any_revision_stops_the_first_one(repository: Repository) -> None:
    """The list may be old, or the tag was pushed by hand: the next number cannot be known."""
    own = push(repository, "own")
    repository.write_tag(TAG, own)
    with pytest.raises(RegistryError, match="exists without a revision"):
        publish(repository, own)
    assert not repository.find_digest(f"{TAG}-r1")


def test_a_first_revision_that_another_publisher_has_just_written_is_a_lost_race(repository: Repository) -> None:
    """The other began and ended between looking for the number and winning it."""
    own, other = push(repository, "own"), push(repository, "other")
    publish(repository, other)
    with pytest.raises(LostRaceError, match="Nothing was overwritten; run this again"):
        revisions.allocate_revision(repository, TAG, 1, own, lambda _: None)
    assert repository.find_digest(f"{TAG}-r1") == repository.find_digest(TAG) == other


@pytest.mark.requirement("V7")
def test_a_list_of_tags_that_is_old_hides_no_revision(proxy: Proxy, repository: Repository) -> None:
    """The registry lists what there was at first, and nothing for a while."""
    for old in ([], [f"{TAG}-r1"]):
        body = json.dumps({"name": "x", "tags": old}).encode()
        proxy.rules.clear()
        proxy.fail("GET", "/tags/list", Fault(status=200, headers={"Content-Type": "application/json"}, body=body))
        before = find_state(repository).number
        assert publish(repository, push(repository, str(old))) == before + 1
    assert len({repository.find_digest(f"{TAG}-r{number}") for number in (1, 2)}) == 2


def test_a_deleted_revision_is_not_given_again(proxy: Proxy, repository: Repository) -> None:
    """The number stays taken although its tag is gone."""
    publish(repository, push(repository, "1"))
    proxy.fail("GET", "-r1$", Fault(status=404, body=b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": ""}]}'))
    assert find_state(repository) == revisions.State(0, None, 2)


@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.requirement("V7")
def test_a_number_that_a_killed_publisher_claimed_is_not_tried_again(
    proxy: Proxy, repository: Repository, *, is_old: bool
) -> None:
    """A registry with immutable tags refuses each second claim; also where its list of tags is old."""
    first, second = push(repository, "first"), push(repository, "second")
    publish(repository, first)
    revisions.write_note(repository, f"{TAG}-r2.claim", "killed")
    proxy.fail("PUT", r"-r2\.claim$", Fault(status=403))
    if is_old:
        body = json.dumps({"name": "x", "tags": [f"{TAG}-r1"]}).encode()
        proxy.fail("GET", "/tags/list", Fault(status=200, headers={"Content-Type": "application/json"}, body=body))
    assert publish(repository, second) == 3
    assert repository.find_digest(TAG) == second


@pytest.mark.parametrize("place", ["-r2.claim", "-r2.taken", "-r2"])
@pytest.mark.requirement("V7")
@pytest.mark.usefixtures("proxy")
def test_a_write_that_fails_ends_it_with_nothing_overwritten(upstream: str, place: str) -> None:
    """Whatever arrived of it; and the next publication goes through. All at once: crane waits before it tries again."""

    def publish_through(fault: Fault) -> None:
        with Proxy(upstream) as proxy:
            repository = registry.parse_repository(f"{proxy.host}/team/{uuid.uuid4().hex}")
            first, second = push(repository, "first"), push(repository, "second")
            publish(repository, first)
            proxy.fail("PUT", f"{re.escape(place)}$", fault)
            with pytest.raises(RegistryError):
                publish(repository, second)
            assert published(upstream, repository)[1] == first
            assert repository.find_digest(TAG) == first
            proxy.rules.clear()
            publish(repository, second)
            assert repository.find_digest(TAG) == second
            assert published(upstream, repository)[1] == first

    faults = [Fault(status=500), Fault(cut=True), Fault(cut=True, late=True), Fault(status=403)]
    with ThreadPoolExecutor() as pool:
        assert len(list(pool.map(publish_through, faults))) == len(faults)


@pytest.mark.parametrize("fault", [Fault(status=500), Fault(cut=True), Fault(status=403), Fault(status=404)])
@pytest.mark.requirement("V7")
def test_a_read_that_fails_ends_it_before_anything_is_written(
    proxy: Proxy, repository: Repository, fault: Fault
) -> None:
    """Also "not found" without the registry's word for it: a proxy of the network may have said that."""
    made = push(repository, "first")
    proxy.fail("GET", r"-r1$", fault)
    proxy.requests.clear()
    with pytest.raises(RegistryError):
        publish(repository, made)
    assert not proxy.written()


def test_a_tag_that_is_not_what_was_written_is_caught(proxy: Proxy, repository: Repository) -> None:
    """A registry that says yes and stores nothing."""
    digest = push(repository, "first")
    proxy.fail("PUT", "-r1$", Fault(status=201))
    with pytest.raises(RegistryError, match=r"-r1 is missing after sha256:"):
        publish(repository, digest)
    assert TAG not in repository.list_tags()


def test_a_digest_that_is_answered_with_other_bytes_is_caught(proxy: Proxy, repository: Repository) -> None:
    """By crane or by us."""
    digest = push(repository, "first")
    proxy.fail("GET", f"{digest}$", Fault(status=200, body=b"{}", headers={"Content-Type": "application/json"}))
    with pytest.raises(RegistryError):
        repository.require_manifest(digest)


# --- several at once -----------------------------------------------------------------------------


def write_note(player: object, tag: str, note: str) -> str:
    """Write a tag of the registry in memory."""
    return cast("Player", player).write(tag, note)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the steps write to the registry in memory."""
    monkeypatch.setattr(revisions, "write_note", write_note)


Steps = Callable[[Repository, str], None]


class Player:
    """One publisher's view of a registry in memory: before each step it waits for its turn."""

    def __init__(self, tags: dict[str, str], steps: Steps) -> None:
        self.tags = tags
        self.won = False
        self.ended = False
        self.turn: Queue[None] = Queue()
        self.waits: Queue[None] = Queue()
        self.thread = threading.Thread(target=self.play, args=(steps,), daemon=True)
        self.thread.start()
        self.waits.get(timeout=60)

    def play(self, steps: Steps) -> None:
        """Take all steps."""
        with suppress(LostRaceError):
            steps(cast("Repository", self), f"{TAG}-r1")
            self.won = True
        self.ended = True
        self.waits.put(None)

    def go(self) -> None:
        """Take one step, unless all are taken."""
        if not self.ended:
            self.turn.put(None)
            self.waits.get(timeout=60)

    def wait(self) -> None:
        """Wait for one's turn."""
        self.waits.put(None)
        self.turn.get(timeout=60)

    def write(self, tag: str, note: str) -> str:
        """Write a tag."""
        self.wait()
        self.tags[tag] = note
        return note

    def find_digest(self, tag: str) -> str:
        """Read a tag."""
        self.wait()
        return self.tags.get(tag, "")

    find_manifest = find_digest


def winners(order: Iterable[int], *publishers: Steps) -> int:
    """Let publishers take their steps in this order; returns how many won."""
    tags: dict[str, str] = {}
    players = [Player(tags, steps) for steps in publishers]
    for number in order:
        players[number].go()
    assert all(player.ended for player in players)
    return sum(player.won for player in players)


def orders(*counts: int) -> Iterator[tuple[int, ...]]:
    """Yield every order of so many steps of each publisher."""
    if not any(counts):
        yield ()
    for number, count in enumerate(counts):
        if count:
            rest = (*counts[:number], count - 1, *counts[number + 1 :])
            yield from ((number, *order) for order in orders(*rest))


def naive(repository: Repository, revision: str) -> None:
    """Look, write, look again: what would let two publishers have the same number."""
    own = uuid.uuid4().hex
    if repository.find_manifest(revision):
        raise LostRaceError(revision)
    write_note(repository, revision, own)
    if repository.find_digest(revision) != own:
        raise LostRaceError(revision)


def late_claim(repository: Repository, revision: str) -> None:
    """The write of a publisher that ended, which arrives at some time."""
    write_note(repository, f"{revision}.claim", "ended")
    raise LostRaceError(revision)


def late_taken(repository: Repository, revision: str) -> None:
    """The same of its second write."""
    write_note(repository, f"{revision}.taken", "ended")
    raise LostRaceError(revision)


@pytest.mark.usefixtures("memory")
def test_looking_and_writing_is_not_enough() -> None:
    """These orders do find two winners where there can be two."""
    assert max(winners(order, naive, naive) for order in orders(3, 3)) == 2


@pytest.mark.requirement("V7")
@pytest.mark.usefixtures("memory")
def test_in_no_order_of_steps_do_two_publishers_win_a_number() -> None:
    """All 70; one alone wins."""
    found = [winners(order, revisions.win_revision, revisions.win_revision) for order in orders(4, 4)]
    assert set(found) == {0, 1}
    assert found[0] == found[-1] == 1


@pytest.mark.parametrize("ended", [late_claim, late_taken])
@pytest.mark.requirement("V7")
@pytest.mark.usefixtures("memory")
def test_a_write_that_arrives_late_lets_nobody_win(ended: Steps) -> None:
    """All 630 orders of two publishers and of a write that belongs to a third."""
    assert max(winners(order, revisions.win_revision, revisions.win_revision, ended) for order in orders(4, 4, 1)) == 1


@pytest.mark.requirement("V7")
@pytest.mark.usefixtures("memory")
def test_three_publishers_have_one_winner_at_most() -> None:
    chance = random.Random(5)  # noqa: S311 - the same orders each time
    steps = [0, 1, 2] * 4
    found = set()
    for _ in range(1000):
        chance.shuffle(steps)
        found.add(winners(steps, revisions.win_revision, revisions.win_revision, revisions.win_revision))
    assert found == {0, 1}


def publish_until_done(repository: Repository, digest: str, allocated: dict[int, str]) -> None:
    """Run a publisher again for as long as it loses or the registry fails, and note what it was told."""
    for _ in range(200):
        try:
            free = find_state(repository).free
            revisions.allocate_revision(repository, TAG, free, digest, lambda _: None)
        except RegistryError:
            continue
        assert free not in allocated, "two publishers were told that this revision is theirs"
        allocated[free] = digest
        break
    for _ in range(200):
        with suppress(RegistryError):
            settle(repository)
            return
    pytest.fail("it never ended")


def chaos(chance: random.Random) -> Callable[[Request], Fault | None]:
    """Return a rule by which some requests fail, in every way that a registry can."""
    faults = [Fault(status=403), Fault(status=429), Fault(cut=True), Fault(cut=True, late=True), Fault(delay=0.05)]

    def rule(request: Request) -> Fault | None:
        if "/tags/list" in request.path and chance.random() < 0.3:
            return Fault(status=200, headers={"Content-Type": "application/json"}, body=b'{"tags": null}')
        return chance.choice(faults) if chance.random() < 0.1 else None

    return rule


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.requirement("V5", "V7")
@pytest.mark.usefixtures("proxy")
def test_two_publishers_at_once_lose_nothing(upstream: str) -> None:
    """Two publishers with three images each, while every tenth request fails: six revisions, each once and for ever.

    Three times with other faults, all at once: crane waits before it tries again.
    """
    with ThreadPoolExecutor() as pool:
        assert len(list(pool.map(partial(race, upstream), range(3)))) == 3


def race(upstream: str, seed: int) -> None:
    """Let two publishers publish in an unused repository at once, with the faults of a seed."""
    repository = registry.parse_repository(f"{upstream}/race/{uuid.uuid4().hex}")
    made = [[push(repository, f"{who}-{number}") for number in range(3)] for who in range(2)]
    allocated: dict[int, str] = {}

    def run(who: int) -> list[Request]:
        # A proxy of its own: which of a publisher's requests fail does not depend on the other's pace.
        with Proxy(upstream) as own:
            own.rules.append(chaos(random.Random(2 * seed + who)))  # noqa: S311 - the same faults each time
            name = repository.name.partition("/")[2]
            for each in made[who]:
                publish_until_done(registry.parse_repository(f"{own.host}/{name}"), each, allocated)
            return own.written()

    with ThreadPoolExecutor() as pool:
        requests = [request for written in pool.map(run, range(2)) for request in written]
    assert sorted(allocated.values()) == sorted(each for images in made for each in images)
    there = published(upstream, repository)
    # A winner whose last write was cut off was told of an error; what it wrote is one of the images all the same.
    assert allocated.items() <= there.items()
    assert repository.find_digest(TAG) == repository.find_digest("latest") == there[max(there)]
    written = {(each.path, each.digest) for each in requests if re.search(r"-r\d+$", each.path)}
    assert len(written) == len({path for path, _ in written}), "a revision was written with two digests"
