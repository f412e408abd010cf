"""The bench on the real engine: what a run writes, missing images, and the traces of a build in its cache."""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway import matrix, repository
from slipway.bench import bench, build_times
from slipway.bench.measurements import Figure
from slipway.build import build_cache
from slipway.build.dockerfiles import Dockerfiles
from slipway.errors import SlipwayError


@pytest.fixture
def the_matrix() -> matrix.Matrix:
    """The matrix of this repository."""
    return matrix.load_matrix()


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """A run whose figures a test puts into this list."""
    figures: list[Figure] = []
    monkeypatch.setattr(bench, "FILE", tmp_path / "bench.json")
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    monkeypatch.setattr(bench, "is_built", lambda _image: True)
    monkeypatch.setattr(bench, "measure_all", lambda _matrix, _images, *, with_cold: figures if not with_cold else [])
    return figures


def test_a_missed_target_is_written_and_leaves_the_exit_code(
    stand_in: list[Figure], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Speed is no gate."""
    stand_in.append(Figure("size cpu-base", 0.7, "GB", 0.35, "something"))
    assert bench.main([]) == 0
    written = json.loads((tmp_path / "bench.json").read_text())
    [figure] = written["figures"]
    assert figure["verdict"] == "MISSED"
    assert figure["ratio"] == pytest.approx(2)
    assert figure["target"] == {"most": 0.35, "limits": "figure"}
    assert "1 MISSED; bench.json" in capsys.readouterr().out


def test_bench_json_tells_the_machine_without_its_name(stand_in: list[Figure], tmp_path: Path) -> None:
    """A machine is described by its cores, memory, engine and storage."""
    stand_in.append(Figure("size cpu-base", 0.3, "GB"))
    bench.main([])
    text = (tmp_path / "bench.json").read_text()
    assert json.loads(text)["machine"].keys() >= {"cores", "memory_gb", "engine", "storage_driver"}
    assert os.uname().nodename not in text


def test_a_failed_measurement_fails_the_run_and_the_others_go_on(
    stand_in: list[Figure], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its line says why."""

    def broken() -> Iterator[Figure]:
        yield Figure("size cpu-base", 0.3, "GB")
        raise SlipwayError("the engine went away\nand more")

    stand_in += [*bench.measure("size", broken), Figure("size cuda-base", 1.5, "GB")]
    assert bench.main([]) == 1
    verdicts = [figure["verdict"] for figure in json.loads((tmp_path / "bench.json").read_text())["figures"]]
    assert verdicts == ["met", "failed", "met"]
    assert "failed: the engine went away\n" in capsys.readouterr().out


def test_what_is_not_built_is_said_and_the_rest_is_measured(
    the_matrix: matrix.Matrix, stand_in: list[Figure], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that not every run builds may be missing without a word."""
    monkeypatch.setattr(bench, "is_built", lambda image: image.name == "cpu-base")
    stand_in.append(Figure("size cpu-base", 0.3, "GB"))
    assert bench.main([]) == 0
    figures = {figure["what"]: figure for figure in json.loads((tmp_path / "bench.json").read_text())["figures"]}
    default = {i.name for i in the_matrix.images if i.variant.name in bench.VARIANTS and i.in_tests}
    assert figures.keys() == {f"size {name}" for name in default}
    assert figures["size cuda-devel"]["verdict"] == "not measured"
    assert figures["size cuda-devel"]["note"] == "not built: nox -s build -- cuda-devel"


def test_a_measurement_that_needs_an_image_that_is_not_built(
    the_matrix: matrix.Matrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is built for it: `nox -s build-cuda` with nothing changed needs all three of them."""
    monkeypatch.setattr(bench, "is_built", lambda image: image.name != "cuda-devel")
    [figure] = bench.measure_if_built("nothing changed", the_matrix.variants["cuda"].images.values(), lambda: iter([]))
    assert figure.measured is None
    assert figure.note == "not built: slipway:cuda-devel"
    measured = [Figure("publish", 1)]
    assert (
        list(bench.measure_if_built("publish", [the_matrix.find_image("cpu-base")], lambda: iter(measured))) == measured
    )


@pytest.mark.usefixtures("stand_in")
def test_no_image_at_all_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is measured, and nothing built."""
    monkeypatch.setattr(bench, "is_built", lambda _image: False)
    with pytest.raises(SlipwayError, match=r"no image is built, .* nox -s build-cpu"):
        bench.main([])


def test_a_cold_build_leaves_nothing_in_the_build_cache(tmp_path: Path) -> None:
    """With a real engine: steps, copies on top of them, and the cache mount; other records stay."""
    mark = f"slipway-test-{uuid.uuid4().hex[:8]}"
    (tmp_path / "file").write_text(mark)
    (tmp_path / "Dockerfile").write_text(
        f"FROM {matrix.load_matrix().default_distro.image}\n"
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
