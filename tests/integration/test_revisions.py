"""Revisions never move: however publishers mix, whatever the registry does, none is overwritten and none is lost."""

import random
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Queue
from typing import cast

import pytest

from slipway.errors import SlipwayError
from slipway.publish import registry, revisions
from slipway.publish.registry import EMPTY, EMPTY_TYPE, Manifest, Registry, RegistryError
from slipway.publish.revisions import LostRaceError
from tests.integration.registries import Fault, Proxy, Reply, Request, running_registry

TAG = "0.1.0-cpu-base"


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real registry."""
    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture
def proxy(upstream: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy before it, for a client that does not wait long."""
    monkeypatch.setattr(registry, "WAITS", (0.0, 0.01, 0.02))
    with Proxy(upstream) as running:
        yield running


@pytest.fixture
def repository(proxy: Proxy) -> Registry:
    """An unused repository."""
    return Registry(proxy.host, f"team/{uuid.uuid4().hex}")


def manifest(repository: Registry, text: str) -> Manifest:
    """Put a small manifest into a repository, by its digest."""
    repository.put_bytes(EMPTY, EMPTY_TYPE)
    made = revisions.make_note({"test": text})
    repository.put_manifest(made)
    return made


def publish(repository: Registry, made: Manifest) -> int:
    """Do what publishing does once the image is there; returns the revision."""
    free = revisions.find_highest(repository, TAG)[2]
    revisions.allocate_revision(repository, TAG, free, made)
    revisions.settle_tags(repository, TAG, ["latest"], free, lambda _: True)
    return free


def published(host: str, repository: Registry) -> dict[int, str]:
    """Return the revisions with their digests, from the registry itself."""
    plain = Registry(host, repository.name)
    numbers = [revisions.find_highest_listed(TAG, [tag]) for tag in plain.tags()]
    return {number: plain.digest(revisions.name_revision(TAG, number)) for number in numbers if number}


# --- one publisher -------------------------------------------------------------------------------


@pytest.mark.requirement("V5")
def test_the_tag_without_a_revision_follows_the_highest(repository: Registry) -> None:
    """Each publication gets the next number, and those before stay what they were."""
    made = [manifest(repository, str(number)) for number in range(3)]
    assert [publish(repository, each) for each in made] == [1, 2, 3]
    for number, each in enumerate(made, start=1):
        assert repository.digest(f"{TAG}-r{number}") == each.digest
    assert repository.digest(TAG) == repository.digest("latest") == made[2].digest


def test_a_number_that_somebody_else_wrote_is_left_as_it_is(repository: Registry) -> None:
    """A push by hand between looking and writing."""
    own, other = manifest(repository, "own"), manifest(repository, "other")
    repository.write_tag(f"{TAG}-r1", other)
    with pytest.raises(RegistryError, match="was written by another tool meanwhile"):
        revisions.allocate_revision(repository, TAG, 1, own)
    assert repository.digest(f"{TAG}-r1") == other.digest


def test_a_tag_without_any_revision_stops_the_first_one(repository: Registry) -> None:
    """The list may be old, or the tag was pushed by hand: the next number cannot be known."""
    own = manifest(repository, "own")
    repository.write_tag(TAG, own)
    with pytest.raises(RegistryError, match="exists without a revision"):
        publish(repository, own)
    assert not repository.digest(f"{TAG}-r1")


def test_a_first_revision_that_another_publisher_has_just_written_is_a_lost_race(repository: Registry) -> None:
    """The other began and ended between looking for the number and winning it."""
    own, other = manifest(repository, "own"), manifest(repository, "other")
    publish(repository, other)
    with pytest.raises(LostRaceError, match="Nothing was overwritten; run this again"):
        revisions.allocate_revision(repository, TAG, 1, own)
    assert repository.digest(f"{TAG}-r1") == repository.digest(TAG) == other.digest


@pytest.mark.requirement("V7")
def test_a_list_of_tags_that_is_old_hides_no_revision(proxy: Proxy, repository: Registry) -> None:
    """The registry lists what there was at first, and nothing for a while."""
    for old in ([], [f"{TAG}-r1"]):
        body = registry.make_manifest({"tags": old}).content
        proxy.rules.clear()
        proxy.fail("GET", "/tags/list", Fault(status=200, headers={"Content-Type": "application/json"}, body=body))
        before = revisions.find_highest(repository, TAG)[0]
        assert publish(repository, manifest(repository, str(old))) == before + 1
    assert len({repository.digest(f"{TAG}-r{number}") for number in (1, 2)}) == 2


def test_a_deleted_revision_is_not_given_again(proxy: Proxy, repository: Registry) -> None:
    """The number stays taken although its tag is gone."""
    publish(repository, manifest(repository, "1"))
    proxy.fail("GET", "-r1$", Fault(status=404))
    assert revisions.find_highest(repository, TAG) == (0, None, 2)


@pytest.mark.parametrize("fault", [Fault(status=500), Fault(status=503), Fault(cut=True), Fault(cut=True, late=True)])
@pytest.mark.parametrize("place", ["-r2.claim", "-r2.taken", "-r2"])
@pytest.mark.requirement("V7")
def test_a_write_that_fails_ends_it_with_nothing_overwritten(
    proxy: Proxy, repository: Registry, upstream: str, place: str, fault: Fault
) -> None:
    """Whatever arrived of it, it is not sent again; and the next publication goes through."""
    first, second = manifest(repository, "first"), manifest(repository, "second")
    publish(repository, first)
    proxy.fail("PUT", f"{re.escape(place)}$", fault, times=1)
    with pytest.raises(RegistryError):
        publish(repository, second)
    assert sum(each.method == "PUT" and each.path.endswith(place) for each in proxy.requests) == 1
    assert published(upstream, repository)[1] == first.digest
    assert repository.digest(TAG) == first.digest
    publish(repository, second)
    assert repository.digest(TAG) == second.digest
    assert published(upstream, repository)[1] == first.digest


@pytest.mark.parametrize("fault", [Fault(status=500), Fault(cut=True), Fault(status=403)])
@pytest.mark.requirement("V7")
def test_a_read_that_fails_ends_it_before_anything_is_written(proxy: Proxy, repository: Registry, fault: Fault) -> None:
    """Also where it fails again and again; "not found" is the one answer that means free."""
    made = manifest(repository, "first")
    proxy.fail("GET", r"-r1$", fault)
    proxy.requests.clear()
    with pytest.raises(RegistryError):
        publish(repository, made)
    assert not proxy.written()


def test_too_many_requests_are_waited_for(proxy: Proxy, repository: Registry) -> None:
    """429 says that nothing was done, so each step is sent again."""
    for method, place in (("PUT", r"-r1\.claim"), ("PUT", r"-r1$"), ("GET", "/tags/list"), ("PUT", "latest")):
        proxy.fail(method, place, Fault(status=429, headers={"Retry-After": "0"}), times=2)
    assert publish(repository, manifest(repository, "first")) == 1


# --- several at once -----------------------------------------------------------------------------


Steps = Callable[[Registry, str], None]


class Player:
    """One publisher's view of a registry in memory: before each step it waits for its turn."""

    def __init__(self, tags: dict[str, Manifest], steps: Steps) -> None:
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
            steps(cast("Registry", self), f"{TAG}-r1")
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

    def put_bytes(self, *_: object) -> None:
        """Blobs are no part of the race."""

    def write_tag(self, tag: str, made: Manifest) -> None:
        """Write a tag."""
        self.wait()
        self.tags[tag] = made

    def manifest(self, tag: str) -> Manifest | None:
        """Read a tag."""
        self.wait()
        return self.tags.get(tag)

    def digest(self, tag: str) -> str:
        """Read a tag's digest."""
        found = self.manifest(tag)
        return found.digest if found else ""


def winners(order: Iterable[int], *publishers: Steps) -> int:
    """Let publishers take their steps in this order; returns how many won."""
    tags: dict[str, Manifest] = {}
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


def naive(repository: Registry, revision: str) -> None:
    """Look, write, look again: what would let two publishers have the same number."""
    own = revisions.make_note({"publisher": uuid.uuid4().hex})
    if repository.manifest(revision) is not None:
        raise LostRaceError(revision)
    repository.write_tag(revision, own)
    if repository.digest(revision) != own.digest:
        raise LostRaceError(revision)


def late_claim(repository: Registry, revision: str) -> None:
    """The write of a publisher that ended, which arrives at some time."""
    repository.write_tag(f"{revision}.claim", revisions.make_note({"publisher": "ended"}))
    raise LostRaceError(revision)


def late_taken(repository: Registry, revision: str) -> None:
    """The same of its second write."""
    repository.write_tag(f"{revision}.taken", revisions.make_note({"publisher": "ended"}))
    raise LostRaceError(revision)


def test_looking_and_writing_is_not_enough() -> None:
    """These orders do find two winners where there can be two."""
    assert max(winners(order, naive, naive) for order in orders(3, 3)) == 2


@pytest.mark.requirement("V7")
def test_in_no_order_of_steps_do_two_publishers_win_a_number() -> None:
    """All 70; one alone wins."""
    found = [winners(order, revisions.win_revision, revisions.win_revision) for order in orders(4, 4)]
    assert set(found) == {0, 1}
    assert found[0] == found[-1] == 1


@pytest.mark.parametrize("ended", [late_claim, late_taken])
@pytest.mark.requirement("V7")
def test_a_write_that_arrives_late_lets_nobody_win(ended: Steps) -> None:
    """All 630 orders of two publishers and of a write that belongs to a third."""
    assert max(winners(order, revisions.win_revision, revisions.win_revision, ended) for order in orders(4, 4, 1)) == 1


@pytest.mark.requirement("V7")
def test_three_publishers_have_one_winner_at_most() -> None:
    """A thousand of their orders."""
    chance = random.Random(5)  # noqa: S311 - the same orders each time
    steps = [0, 1, 2] * 4
    found = set()
    for _ in range(1000):
        chance.shuffle(steps)
        found.add(winners(steps, revisions.win_revision, revisions.win_revision, revisions.win_revision))
    assert found == {0, 1}


def publish_until_done(repository: Registry, made: Manifest, allocated: dict[int, str]) -> None:
    """Run a publisher again for as long as it loses or the registry fails, and note what it was told."""
    for _ in range(200):
        try:
            free = revisions.find_highest(repository, TAG)[2]
            revisions.allocate_revision(repository, TAG, free, made)
        except RegistryError:
            continue
        assert free not in allocated, "two publishers were told that this revision is theirs"
        allocated[free] = made.digest
        break
    for _ in range(200):
        with suppress(RegistryError):
            revisions.settle_tags(repository, TAG, ["latest"], free, lambda _: True)
            return
    pytest.fail("it never ended")


def chaos(chance: random.Random) -> Callable[[Request], Fault | None]:
    """Return a rule by which some requests fail, in every way that a registry can."""
    faults = [
        Fault(status=500),
        Fault(status=429, headers={"Retry-After": "0"}),
        Fault(cut=True),
        Fault(cut=True, late=True),
        Fault(delay=0.05),
    ]

    def rule(request: Request) -> Fault | None:
        if request.path.endswith("/tags/list?n=1000") and chance.random() < 0.3:
            return Fault(status=200, headers={"Content-Type": "application/json"}, body=b'{"tags": null}')
        return chance.choice(faults) if chance.random() < 0.1 else None

    return rule


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.requirement("V5", "V7")
def test_two_publishers_at_once_lose_nothing(repository: Registry, upstream: str, seed: int) -> None:
    """Two publishers with five images each, while every tenth request fails: ten revisions, each once and for ever."""
    made = [[manifest(repository, f"{who}-{number}") for number in range(5)] for who in range(2)]
    allocated: dict[int, str] = {}

    def run(who: int) -> list[Request]:
        # A proxy of its own: which of a publisher's requests fail does not depend on the other's pace.
        with Proxy(upstream) as own:
            own.rules.append(chaos(random.Random(2 * seed + who)))  # noqa: S311 - the same faults each time
            for each in made[who]:
                publish_until_done(Registry(own.host, repository.name), each, allocated)
            return own.written()

    with ThreadPoolExecutor() as pool:
        requests = [request for written in pool.map(run, range(2)) for request in written]
    assert sorted(allocated.values()) == sorted(each.digest for images in made for each in images)
    there = published(upstream, repository)
    # A winner whose last write was cut off was told of an error; what it wrote is one of the images all the same.
    assert allocated.items() <= there.items()
    assert repository.digest(TAG) == repository.digest("latest") == there[max(there)]
    written = {(each.path, each.digest) for each in requests if re.search(r"-r\d+$", each.path)}
    assert len(written) == len({path for path, _ in written}), "a revision was written with two digests"


@pytest.mark.parametrize("answer", ["body", "header"])
@pytest.mark.requirement("V7")
def test_a_registry_that_lies_about_a_digest_is_caught(proxy: Proxy, repository: Registry, answer: str) -> None:
    """It answers a tag with other bytes than its header says, or says that it stored something else."""

    def lie(reply: Reply) -> Reply:
        reply.headers["Docker-Content-Digest"] = "sha256:" + "0" * 64
        return reply

    made = manifest(repository, "first")
    proxy.fail("GET" if answer == "body" else "PUT", "-r1", Fault(change=lie))
    with pytest.raises(RegistryError, match=r"and says that it is|as sha256:0000"):
        publish(repository, made)
    assert TAG not in repository.tags()


def test_a_tag_that_is_not_what_was_written_is_caught(proxy: Proxy, repository: Registry) -> None:
    """A registry that says yes and stores nothing."""
    yes = {"Docker-Content-Digest": ""}
    proxy.fail("PUT", "-r1$", Fault(status=201, headers={key: value for key, value in yes.items() if value}))
    with pytest.raises(SlipwayError, match=r"-r1 is missing after sha256:"):
        publish(repository, manifest(repository, "first"))
    assert TAG not in repository.tags()
