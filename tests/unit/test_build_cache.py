"""BuildKit's cache: which records a build left, and in which order they go."""

from pathlib import Path

import pytest

from slipway import docker
from slipway.build import build_cache, clean
from slipway.build.build_cache import Record
from slipway.build.dockerfiles import Dockerfiles

RECORDS = {
    name: Record(name, tuple(parents), description)
    for name, parents, description in [
        ("base", [], "pulled"),
        ("below", ["base"], "mount / from exec apt-get"),
        ("step", ["below"], "mount / from exec /bin/sh -c set -eux\n    uv pip install # ${NAME}\n"),
        ("copy", ["step"], "[runtime 1/2] COPY"),
        ("last", ["copy", "step"], "mount / from exec /bin/sh -c ldconfig"),
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


DOCKERFILE = """\
FROM x
RUN apt-get
RUN --mount=type=cache,id=own-uv,target=/x <<EOT
set -eux
uv pip install # ${NAME}
EOT
"""


def test_the_steps_of_a_dockerfile_and_what_was_built_on_them() -> None:
    """Records of other builds stay, and so does a step without a cache; a cache mount is known in any namespace."""
    steps = build_cache.find_steps(RECORDS, Dockerfiles([DOCKERFILE]))
    assert steps == {"step", "cache"}
    assert build_cache.add_children(RECORDS, steps) == {"step", "copy", "last", "cache"}


def test_what_another_project_built_on_is_left(root: Path) -> None:
    """`last` is a step of no Dockerfile here; with it, all that it stands on stays."""
    (root / "Dockerfile").write_text(DOCKERFILE)
    assert clean.find_own(RECORDS) == {"cache"}
    (root / "Dockerfile").write_text(f"{DOCKERFILE}RUN ldconfig\n")
    assert clean.find_own(RECORDS) == {"step", "copy", "last", "cache"}


def test_the_last_steps_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """BuildKit keeps a record that others were built on."""
    gone: list[str] = []
    monkeypatch.setattr(docker, "output", lambda *words: gone.append(words[-1].rpartition("=")[2]))
    build_cache.remove_records(RECORDS, {"step", "copy", "last"})
    assert gone == ["last", "copy", "step"]
