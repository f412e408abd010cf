"""The rounds of `tests -- --all`: which images stay, and in which order the others are built, checked and removed."""

from typing import Any, cast

import nox
import pytest

from slipway import matrix, sessions
from slipway.build import images, record, rounds
from slipway.matrix import Image

MATRIX = matrix.load_matrix()
ROUNDS = rounds.plan_rounds(MATRIX.images)
STAYING = rounds.list_staying(MATRIX.images)


class Session:
    """Notes what a session runs and says; a command that contains `fails` fails."""

    def __init__(self, *posargs: str, fails: str = "nothing") -> None:
        self.posargs, self.fails, self.events = list(posargs), fails, list[str]()

    def run(self, *command: str, **options: Any) -> None:
        """Note the words after `nox -s`."""
        assert options["external"]
        self.events.append(" ".join(command[4:]))
        if self.fails in self.events[-1]:
            raise nox.command.CommandFailed("Returned code 1")

    def warn(self, text: str) -> None:
        """Note a warning."""
        self.events.append(text)


@pytest.fixture
def present(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The tags that the engine has: those of images that stay, until the test adds some."""
    found = {image.tag for image in STAYING}
    monkeypatch.setattr(images, "is_built", lambda image: image.tag in found)
    return found


def run_round(
    monkeypatch: pytest.MonkeyPatch, chosen: list[Image], fails: str = "nothing"
) -> tuple[list[str], list[str]]:
    """Return what happens in a round, and the commands that have failed."""
    session = Session("--all", fails=fails)
    monkeypatch.setattr(record, "remove_tags", lambda *tags: session.events.append(f"remove {' '.join(tags)}"))
    failed = sessions.run_round(cast("nox.Session", session), MATRIX, chosen)
    return session.events, list(failed)


def test_what_later_sessions_need_stays() -> None:
    """Each image of a run without --all, and each that a case breaks."""
    staying = {image.name for image in STAYING}
    assert {image.name for image in MATRIX.images if image.in_tests} < staying
    assert "cpu-runtime-compute" in staying


def test_each_image_stays_or_is_in_one_round() -> None:
    names = [image.name for group in (STAYING, *ROUNDS) for image in group]
    assert sorted(names) == sorted(image.name for image in MATRIX.images)


def test_a_round_has_all_that_is_built_on_its_images() -> None:
    """Nothing later needs what it removes; so it is a variant, or one workload on an image that stays."""
    staying = {image.name for image in STAYING}
    for group in ROUNDS:
        own = {image.name for image in group}
        assert {image.name for image in rounds.add_below(MATRIX, group)} <= staying | own
    assert [image.name for image in ROUNDS[2]] == ["cuda13.2-runtime", "cuda13.2-devel"]


def test_a_round_builds_checks_and_removes(monkeypatch: pytest.MonkeyPatch, present: set[str]) -> None:
    """The flavors below are built for the comparison with them, and stay."""
    chosen = [MATRIX.find_image(f"cuda13.2-{flavor}") for flavor in ("runtime", "devel")]
    events = [
        "build -- cuda13.2-base cuda13.2-runtime cuda13.2-devel",
        "test -- --skip-passed cuda13.2-runtime cuda13.2-devel",
    ]
    runtime, devel = (image.tag for image in chosen)
    removed = f"remove {runtime} {devel}"
    assert run_round(monkeypatch, chosen) == ([*events, removed], [])
    assert run_round(monkeypatch, chosen, fails="build") == ([*events, removed], events[:1])
    # Who had built an image before keeps it.
    present.add(devel)
    assert run_round(monkeypatch, chosen)[0][-1] == f"remove {runtime}"
    present.add(runtime)
    assert run_round(monkeypatch, chosen) == (events, [])


def test_images_are_removed_when_somebody_stops_the_run(monkeypatch: pytest.MonkeyPatch, present: set[str]) -> None:
    """Their results stay, and the next run goes on."""
    assert present
    removed: list[str] = []
    monkeypatch.setattr(record, "remove_tags", lambda *tags: removed.extend(tags))

    def stop(*_: str, **__: Any) -> None:
        raise KeyboardInterrupt

    session, workbench = Session("--all"), MATRIX.find_image("cpu-base-workbench")
    monkeypatch.setattr(session, "run", stop)
    with pytest.raises(KeyboardInterrupt):
        sessions.run_round(cast("nox.Session", session), MATRIX, [workbench])
    assert removed == [workbench.tag]


def test_a_failed_round_ends_none_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end the session fails with the commands that did."""
    done: list[list[str]] = []
    failed: dict[str, Exception] = {}

    def run_one(_: object, __: object, chosen: list[Image]) -> dict[str, Exception]:
        done.append([image.name for image in chosen])
        return {f"build -- {chosen[0].name}": nox.command.CommandFailed()} if len(done) == 1 else {}

    monkeypatch.setattr(sessions, "run_round", run_one)
    monkeypatch.setattr(sessions, "fail_session", lambda _, found: failed.update(found))
    sessions.run_rounds(cast("nox.Session", Session("--all")), MATRIX, MATRIX.images)
    assert done == [[image.name for image in group] for group in ROUNDS]
    assert list(failed) == [f"build -- {done[0][0]}"]


def test_without_all_there_is_no_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sessions that follow build and check each image that was chosen; with --all those that stay."""
    monkeypatch.setattr(sessions, "run_round", lambda *_: pytest.fail("a round"))
    chosen, session = [image for image in MATRIX.images if image.in_tests], Session()
    sessions.run_rounds(cast("nox.Session", session), MATRIX, chosen)
    left_out = len(MATRIX.images) - len(chosen)
    assert session.events == [f"{left_out} images are left out: nox -s tests -- --all"]
    assert sessions.list_staying(cast("nox.Session", session), MATRIX.images) == MATRIX.images
    assert sessions.list_staying(cast("nox.Session", Session("--all")), MATRIX.images) == STAYING
