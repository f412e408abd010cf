"""BuildKit's cache: which records a build left, and in which order they go."""

import pytest

from slipway import docker
from slipway.build import build_cache
from slipway.build.build_cache import Record
from slipway.build.dockerfiles import Dockerfiles

RECORDS = {
    name: Record(name, tuple(parents), description)
    for name, parents, description in [
        ("base", [], "pulled"),
        ("below", ["base"], "mount / from exec apt-get"),
        ("step", ["below"], "mount / from exec /bin/sh -c set -eux\n    uv pip install # ${NAME}\n"),
        ("copy", ["step"], "[runtime 1/2] COPY"),
        ("last", ["copy", "step"], "mount / from exec ldconfig"),
        ("other", ["base"], "mount / from exec /bin/sh -c set -eux\n    uv pip install\n"),
        ("cache", [], 'cached mount /x from exec /bin/sh -c set -eux\n    uv\n with id "other/own-uv"'),
        ("strange", [], 'cached mount /x from exec /bin/sh -c date with id "/uv"'),
    ]
}
DU = """\
ID:\t\tstep
Parents:\tbelow, base
Created at:\t2026-11-28
Description:\tmount / from exec set -eux
    uv pip install

Usage count:\t2
Type:\t\tregular

ID:\t\tbase
Created at:\t2026-11-28
Description:\tpulled
"""


def test_records_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker, "output", lambda *_: DU)
    records = build_cache.read_records()
    assert list(records) == ["step", "base"]
    assert records["step"].parents == ("below", "base")
    assert records["step"].description == "mount / from exec set -eux\n    uv pip install\n"
    assert records["base"].parents == ()


def test_the_steps_of_a_dockerfile_and_what_was_built_on_them() -> None:
    """Records of other builds stay; a cache mount is known by its id in any namespace."""
    text = "FROM x\nRUN --mount=type=cache,id=own-uv,target=/x <<EOT\nset -eux\nuv pip install # ${NAME}\nEOT\n"
    steps = build_cache.find_steps(RECORDS, Dockerfiles([text]))
    assert steps == {"step", "cache"}
    assert build_cache.add_children(RECORDS, steps) == {"step", "copy", "last", "cache"}


def test_the_steps_below() -> None:
    """What was pulled is no step."""
    assert build_cache.add_steps_below(RECORDS, {"copy"}) == {"copy", "step", "below"}


def test_the_last_steps_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """BuildKit keeps a record that others were built on."""
    gone: list[str] = []
    monkeypatch.setattr(docker, "output", lambda *words: gone.append(words[-1].rpartition("=")[2]))
    build_cache.remove_records(RECORDS, {"step", "copy", "last"})
    assert gone == ["last", "copy", "step"]
