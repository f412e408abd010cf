"""Cleaning frees what Slipway made and leaves what others made."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from slipway import docker, matrix, repository
from slipway.build import clean
from slipway.build.build_cache import Record, add_children, read_records, remove_records
from tests.helpers.built_images import list_tags, make_name

STEP = "mount / from exec /bin/sh -c : {name} >/layer"


def find_records(mark: str) -> dict[str, Record]:
    """Return BuildKit's records whose description holds a mark."""
    return {identifier: record for identifier, record in read_records().items() if mark in record.description}


@pytest.fixture
def neighbour() -> Iterator[dict[str, Record]]:
    """The records of a build that no Dockerfile of the repository describes."""
    name = f"neighbour-{uuid.uuid4().hex[:8]}"
    dockerfile = f"FROM debian:trixie-slim\nRUN : {name} >/layer\nRUN : {name} again >/layer\n"
    docker.output("buildx", "build", "--output=type=cacheonly", "-", data=dockerfile.encode())
    made = find_records(name)
    assert len(made) == 2
    yield made
    remove_records(made, find_records(name))


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Replace Slipway's repository name, Dockerfile, label and folders by the test's own; yield the name."""
    name = make_name()
    rows = matrix.load_matrix()
    variant = replace(rows.variants["cpu"], repository=name, images={})
    image = matrix.Image(variant, "base", 1, 2)
    variant.images["base"] = image  # type: ignore[index]
    own = replace(rows, repository=name, variants={"cpu": variant}, workloads=())
    monkeypatch.setattr(clean, "load_matrix", lambda: own)
    monkeypatch.setattr(docker, "TEST_LABEL", name)  # not that of tests that run beside this one
    step = STEP.format(name=name).partition("-c ")[2]
    cached = f"RUN --mount=type=cache,id={name},target=/made date >/made/now"
    (tmp_path / "Dockerfile").write_text(f"FROM debian:trixie-slim\nRUN {step}\n{cached}\n")
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield name
    for tag in ("cpu-base", "cpu-base-earlier", "someone-elses"):
        docker.call("image", "rm", "--force", f"{name}:{tag}")
    docker.call("volume", "rm", "--force", f"{name}-0")
    made = read_records()
    remove_records(made, add_children(made, find_records(name)))


def test_clean_frees_its_own_and_nothing_else(
    mark: str, neighbour: dict[str, Record], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Images of the matrix, build cache records of its Dockerfile, dist/ and its cache folder; not the neighbours."""
    dockerfile = (tmp_path / "Dockerfile").read_text()
    docker.output("buildx", "build", "--load", f"--tag={mark}:cpu-base", "-", data=dockerfile.encode())
    for tag in ("cpu-base-earlier", "someone-elses"):
        docker.output("tag", f"{mark}:cpu-base", f"{mark}:{tag}")
    docker.output("container", "create", f"--label={mark}", f"--name={mark}", "debian:trixie-slim")
    for labels in ((f"--label={mark}",), ()):
        docker.output("volume", "create", *labels, f"{mark}-{len(labels)}")
    for folder in ("dist/cpu-base", "cache/slipway/layers", "cache/uv"):
        (tmp_path / folder).mkdir(parents=True)
    assert len(find_records(mark)) >= 2

    assert clean.main() == 0
    assert list_tags(mark) == ["someone-elses"]
    assert docker.output("container", "ls", "--all", "--quiet", f"--filter=name={mark}") == ""
    assert docker.output("volume", "ls", "--quiet", f"--filter=name={mark}").split() == [f"{mark}-0"]
    # A step without a cache may be another project's, too.
    assert {record.description for record in find_records(mark).values()} <= {STEP.format(name=mark)}
    assert neighbour.items() <= read_records().items()
    assert not (tmp_path / "dist").exists()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["uv"]
    assert f"image {mark}:cpu-base" in capsys.readouterr().out
    assert clean.main() == 0, "there is nothing left to free"


def test_clean_leaves_what_another_project_built_on(mark: str, tmp_path: Path) -> None:
    """A step of another Dockerfile on one of Slipway's keeps it, until it is gone itself."""
    foreign = (tmp_path / "Dockerfile").read_text() + f"RUN : other >/{mark}\n"
    docker.output("buildx", "build", "--output=type=cacheonly", "-", data=foreign.encode())
    before = find_records(mark)
    clean.remove_build_cache()
    left = find_records(mark)
    assert any("other" in record.description for record in left.values())
    assert {record.description for record in before.values()} - {record.description for record in left.values()} == {
        record.description for record in before.values() if record.description.startswith("cached mount")
    }
    (tmp_path / "Dockerfile").write_text(foreign)
    clean.remove_build_cache()
    assert not any("date >" in record.description for record in find_records(mark).values())
