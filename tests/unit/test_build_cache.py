"""BuildKit's cache: which records a build left, and in which order they go."""

import pytest

from slipway import docker
from slipway.build import build_cache
from slipway.build.build_cache import Record

RECORDS = {
    name: Record(name, tuple(parents), description)
    for name, parents, description in [
        ("base", [], "pulled"),
        ("below", ["base"], "mount / from exec apt-get"),
        ("step", ["below"], "mount / from exec uv pip install # fresh"),
        ("copy", ["step"], "[runtime 1/2] COPY"),
        ("last", ["copy", "step"], "mount / from exec ldconfig"),
        ("other", ["base"], "mount / from exec uv pip install"),
    ]
}
DU = """\
ID:\t\tstep
Parents:\tbelow, base
Created at:\t2026-11-28
Description:\tmount / from exec uv pip install

ID:\t\tbase
Created at:\t2026-11-28
Description:\tpulled
"""


def test_records_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker, "output", lambda *_: DU)
    records = build_cache.read_records()
    assert list(records) == ["step", "base"]
    assert records["step"].parents == ("below", "base")
    assert records["step"].description.strip() == "mount / from exec uv pip install"
    assert records["base"].parents == ()


def test_a_mark_and_what_was_built_on_it() -> None:
    """Records of other builds stay."""
    marked = build_cache.find_marked(RECORDS, "fresh", "no such mark")
    assert marked == {"step"}
    assert build_cache.add_children(RECORDS, marked) == {"step", "copy", "last"}


def test_the_steps_below() -> None:
    """What was pulled is no step."""
    assert build_cache.add_steps_below(RECORDS, {"copy"}) == {"copy", "step", "below"}


def test_the_last_steps_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """BuildKit keeps a record that others were built on."""
    gone: list[str] = []
    monkeypatch.setattr(docker, "output", lambda *words: gone.append(words[-1].rpartition("=")[2]))
    build_cache.remove_records(RECORDS, {"step", "copy", "last"})
    assert gone == ["last", "copy", "step"]
