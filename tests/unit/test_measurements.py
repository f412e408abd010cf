"""docs/measurements.json: sizes that were reviewed, and changes since then."""

from pathlib import Path
from typing import Any

import pytest

from slipway.errors import SlipwayError
from slipway.matrix import load_matrix
from slipway.report import contents, measurements
from slipway.report.measurements import find_failures, list_changes, read_measurements, record
from slipway.results import write_json

MB = 1 << 20
BUILD = {"built": "2026-11-20T12:00:00+00:00", "seconds": 1, "labels": {}}


def make_contents(efficiency: float = 0.999, **sizes: int) -> dict[str, Any]:
    """Return the contents of cpu-base with some Python distributions."""
    components = [{"kind": "python", "name": name, "version": "1", "bytes": size} for name, size in sizes.items()]
    return {"image": "cpu-base", "bytes": sum(sizes.values()), "efficiency": efficiency, "components": components}


def test_what_is_recorded_is_read(tmp_path: Path) -> None:
    """Other images stay; a component below a megabyte is a part of the image's bytes alone."""
    file = tmp_path / "measurements.json"
    assert read_measurements(file) == {}
    record([make_contents(a=MB) | {"image": "cuda-base"}], file)
    record([make_contents(a=2 * MB, b=5)], file)
    assert read_measurements(file) == {
        "cpu-base": {"bytes": 2 * MB + 5, "efficiency": 0.999, "components": {"python a": 2 * MB}},
        "cuda-base": {"bytes": MB, "efficiency": 0.999, "components": {"python a": MB}},
    }


def test_figures_that_are_not_known_now_stay_with_an_image_as_large(tmp_path: Path) -> None:
    """The compressed bytes and the time of a build say nothing about another size."""
    file = tmp_path / "measurements.json"
    figures = {"compressed_bytes": 9, "build_seconds": 61.5}
    record([make_contents(a=MB) | figures], file)
    record([make_contents(a=MB) | {"compressed_bytes": None, "build_seconds": 50.5}], file)
    row = read_measurements(file)["cpu-base"]
    assert (row["compressed_bytes"], row["build_seconds"]) == (9, 50.5)
    record([make_contents(a=MB + 1)], file)
    assert not figures.keys() & read_measurements(file)["cpu-base"].keys()


@pytest.mark.usefixtures("root")
def test_a_build_s_time_is_that_of_the_image() -> None:
    """Without the layer cache; the record of another image's build says nothing."""
    known = load_matrix()
    build = known.find_image("cpu-base").results / "build.json"
    for image, seconds, expected in (("a", 61.5, 61.5), ("a", None, None), ("b", 61.5, None)):
        write_json(build, BUILD | {"image": image, "cold_seconds": seconds})
        assert contents.add_build_seconds(make_contents() | {"id": "a"}, known)["build_seconds"] == expected


ROW = '"bytes": 1, "efficiency": 1, "components": {}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"images": []}',
        '{"images": {"a": {}}}',
        '{"images": {"a": {"bytes": "1"}}}',
        f'{{"images": {{"a": {{{ROW}, "build_seconds": "1"}}}}}}',
        f'{{"images": {{"a": {{{ROW}, "compressed_bytes": null}}}}}}',
        "[" * 100_000,
    ],
)
def test_a_damaged_file_is_an_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "measurements.json"
    file.write_text(text)
    with pytest.raises(SlipwayError, match=r"measurements.json .*git checkout"):
        read_measurements(file)
    with pytest.raises(SlipwayError, match="damaged"):
        record([make_contents(a=MB)], file)
    assert file.read_text() == text


def test_a_change_is_named_with_its_components() -> None:
    """Also one that leaves the sum as it is; a new component, one that shrank and one that is gone."""
    same = make_contents(a=MB, b=5)
    assert list_changes(measurements.make_row(same), same) == find_failures(measurements.make_row(same), same) == []
    row = measurements.make_row(make_contents(a=2 * MB, b=3 * MB, c=4 * MB))
    changed = make_contents(a=4 * MB, b=MB, d=4 * MB)
    assert list_changes(row, changed) == [
        "cpu-base has +0 bytes since it was recorded",
        f"python c -{4 * MB:,}",
        f"python d +{4 * MB:,}",
        f"python a +{2 * MB:,}",
        f"python b -{2 * MB:,}",
    ]
    assert find_failures(row, changed) == []


@pytest.mark.parametrize(("size", "fails"), [(101_000_000, False), (101_000_001, True), (98_999_999, True)])
def test_a_change_beyond_the_limit_fails(size: int, fails: bool) -> None:  # noqa: FBT001 - a row of the table
    failures = find_failures(measurements.make_row(make_contents(a=100_000_000)), make_contents(a=size))
    assert bool(failures) is fails
    assert all("nox -s contents -- cpu-base --record" in failure for failure in failures)
    [failure] = find_failures(measurements.make_row(make_contents(a=MB)), make_contents(0.9949, a=MB))
    assert "efficiency of 0.9949" in failure


def test_a_failure_is_the_session_s(capsys: pytest.CaptureFixture[str]) -> None:
    """An image that was never recorded is named and does not fail."""
    recorded = {"cpu-base": measurements.make_row(make_contents(a=100))}
    assert contents.report_changes([make_contents(a=200)], recorded, is_quiet=False) == 1
    assert "error: cpu-base has 200 bytes, 100 are recorded" in capsys.readouterr().err
    assert contents.report_changes([make_contents(a=200)], {}, is_quiet=False) == 0
    assert "cpu-base is not recorded" in capsys.readouterr().out


def test_the_recorded_file_is_whole() -> None:
    """The one of this repository has images of images.toml alone, and components that are parts of them."""
    assert {*read_measurements()} <= {image.name for image in load_matrix().images}
    for row in read_measurements().values():
        assert 0 < sum(row["components"].values()) <= row["bytes"]
