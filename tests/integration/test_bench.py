"""The bench on the real engine: what a run writes, each measurement of a small image, missing images, and traces."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slipway import matrix, repository
from slipway.bench import audit_times, bench, build_times, image_figures, registry_times, update_cost
from slipway.bench.figures import Figure, Goal
from slipway.build import build_cache
from slipway.build.dockerfiles import Dockerfiles
from slipway.errors import SlipwayError
from tests.helpers.built_images import make_name, require_built

MATRIX = matrix.load_matrix()


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """A run whose figures a test puts into this list."""
    figures: list[Figure] = []
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    monkeypatch.setattr(bench, "measure_all", lambda _matrix, *, with_cold: figures if not with_cold else [])
    return figures


def read_last(folder: Path) -> Any:
    """Return what the last run has written."""
    return json.loads((folder / bench.FILE).read_text())


def test_a_missed_goal_is_written_and_leaves_the_exit_code(
    stand_in: list[Figure], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Speed is no gate."""
    stand_in.append(Figure("size cpu-base", 0.7, "GB", 0.35, "something", goal=Goal(0.5)))
    assert bench.main([]) == 0
    [figure] = read_last(tmp_path)["figures"]
    assert figure["verdict"] == "MISSED"
    assert figure["ratio"] == pytest.approx(2)
    assert figure["goal"] == {"most": 0.5, "limits": "figure"}
    assert "1 MISSED; dist/bench/last.json" in capsys.readouterr().out


def test_a_run_tells_the_machine_without_its_name(stand_in: list[Figure], tmp_path: Path) -> None:
    """A machine is described by its cores, memory, engine and storage."""
    stand_in.append(Figure("size cpu-base", 0.3, "GB"))
    bench.main([])
    assert read_last(tmp_path)["machine"].keys() >= {"cores", "memory_gb", "engine", "storage_driver"}
    assert os.uname().nodename not in (tmp_path / bench.FILE).read_text()


def test_figures_are_printed_as_json(
    stand_in: list[Figure], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:

    def measure_one(_matrix: matrix.Matrix, *, with_cold: bool) -> Iterator[Figure]:
        print(f"bench: size {with_cold}")
        yield from stand_in

    stand_in.append(Figure("size cpu-base", 0.3, "GB"))
    monkeypatch.setattr(bench, "measure_all", measure_one)
    assert bench.main(["--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == read_last(tmp_path)
    assert printed.err == "bench: size False\n"


def test_the_second_run_names_what_has_grown(stand_in: list[Figure], capsys: pytest.CaptureFixture[str]) -> None:
    """Beside the same baseline on the same machine."""
    for measured in (1, 2):
        stand_in[:] = [Figure("audit cpu-base", measured, baseline=1, noise=0.1)]
        bench.main([])
    assert "audit cpu-base: its ratio has grown from 1.00 to 2.00" in capsys.readouterr().out


def test_a_failed_measurement_fails_the_run_and_the_others_go_on(
    stand_in: list[Figure], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:

    def broken() -> Iterator[Figure]:
        yield Figure("size cpu-base", 0.3, "GB")
        raise SlipwayError("the engine went away\nand more")

    stand_in += [*bench.measure("size", broken), Figure("size cuda-base", 1.5, "GB")]
    assert bench.main([]) == 1
    assert [figure["verdict"] for figure in read_last(tmp_path)["figures"]] == ["measured", "failed", "measured"]
    assert "failed: the engine went away\n" in capsys.readouterr().out


def test_without_any_image_each_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "is_built", lambda _image: False)
    figures = {figure.what: figure for figure in bench.measure_all(MATRIX, with_cold=False)}
    assert {f"size {image.name}" for image in MATRIX.images if image.in_tests} <= figures.keys()
    assert figures["size cuda-devel"].note == "not built: nox -s build -- cuda-devel"
    assert figures["audit cuda-runtime"].verdict == "not measured"
    assert figures["checks of cpu-base and cuda-base"].note == "not built: nox -s build -- cpu-base cuda-base"
    assert figures["second start noxw"].measured
    assert not [figure for figure in figures.values() if figure.failed]


@pytest.mark.timeout(300)
def test_each_measurement_of_a_small_image_gives_its_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that other tests do not run: they are of what their names say, each beside its baseline, here once."""
    for module in (audit_times, registry_times):
        monkeypatch.setattr(module, "TIMES", 1)
    monkeypatch.setattr(image_figures, "STARTS", 1)
    image = MATRIX.find_image("cpu-base")
    figures = [
        *image_figures.measure_start(image),
        *build_times.measure_update(MATRIX, image),
        *audit_times.measure_readers(image),
        *registry_times.measure_pull(image),
    ]
    assert {figure.what: figure.against for figure in figures} == {
        "healthy cpu-base": "docker run true",
        "a line of app/, cpu-base": "nothing changed",
        "a line of app/, cpu-base, new layers": "the image",
        "audit cpu-base": "docker save",
        "audit cpu-base, again": "",
        "memory audit cpu-base": "",
        "contents cpu-base": "docker save",
        "contents cpu-base, again": "",
        "memory contents cpu-base": "",
        "pull cpu-base (zstd)": "gzip",
        "pull cpu-base (zstd), bytes": "gzip",
    }
    for figure in figures:
        assert figure.measured, figure
        assert bool(figure.baseline) == bool(figure.against), figure
    [update] = [figure for figure in figures if figure.what == "a line of app/, cpu-base"]
    assert update.measured
    assert update.measured < 20, "nothing below the line is built anew"
    [ratio] = [figure.ratio for figure in figures if figure.what.endswith("new layers")]
    assert ratio
    assert ratio < 0.1


@pytest.mark.whole
@pytest.mark.requirement("N8")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", bench.UPDATED)
def test_an_update_of_a_package_changes_its_layer_alone(name: str) -> None:
    """For each lock of an image; what is built above that layer has the same bytes again."""
    image = MATRIX.find_image(name)
    require_built(image)
    figures = list(update_cost.measure_updates(MATRIX, image))
    assert figures
    assert [figure for figure in figures if figure.verdict != "met"] == []


def test_a_cold_build_leaves_nothing_in_the_build_cache(tmp_path: Path) -> None:
    """With a real engine: steps, copies on top of them, and the cache mount; other records stay."""
    mark = make_name()
    (tmp_path / "file").write_text(mark)
    (tmp_path / "Dockerfile").write_text(
        f"FROM {MATRIX.default_distro.image}\n"
        f"RUN --mount=type=cache,id={mark}-uv,target=/cache touch /cache/x /x # {mark}\n"
        "COPY file /file\nWORKDIR /data\n"
    )
    command = ["docker", "buildx", "build", "--quiet", "--build-arg=BUILDKIT_CACHE_MOUNT_NS=cold", f"--tag={mark}"]
    before = build_cache.read_records()
    subprocess.run([*command, str(tmp_path)], check=True, capture_output=True)
    records = build_cache.read_records()
    steps = build_cache.find_steps(records, Dockerfiles([(tmp_path / "Dockerfile").read_text()]))
    own = build_cache.add_children(records, steps)
    assert len(own) >= 4
    assert any(f"cold/{mark}-uv" in records[record].description for record in own)
    subprocess.run(["docker", "image", "rm", mark], check=True, capture_output=True)
    build_times.remove_new_records(set(before) | own, tmp_path / "Dockerfile")
    assert own <= set(build_cache.read_records())
    build_times.remove_new_records(set(before), tmp_path / "Dockerfile")
    assert own & set(build_cache.read_records()) == set()
