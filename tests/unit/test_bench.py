"""The bench: a missed target, a failed measurement and a missing one have different verdicts."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway import matrix, repository, tables
from slipway.bench import bench, measurements
from slipway.bench.measurements import Figure
from slipway.errors import SlipwayError


@pytest.fixture
def the_matrix() -> matrix.Matrix:
    """The matrix of this repository."""
    return matrix.load_matrix()


# --- what a figure comes to ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        (Figure("size cpu-base", 0.35, "GB"), "met"),
        (Figure("size cpu-base", 0.36, "GB"), "MISSED"),
        (Figure("size cuda-devel", 5.8, "GB", 5.1), "met"),
        (Figure("size cuda-devel", 5.8, "GB", 5.0), "MISSED"),
        (Figure("size cuda-devel", 5.8, "GB"), "measured"),
        (Figure("cold build cuda-runtime", 199, baseline=100), "met"),
        (Figure("cold build cuda-runtime", 201, baseline=100), "MISSED"),
        (Figure("size cpu-devel", 9, "GB"), "measured"),
        (Figure("size cpu-base", note="why"), "not measured"),
        (Figure("size cpu-base", note="why", failed=True), "failed"),
    ],
)
def test_a_verdict_compares_a_figure_with_its_target(figure: Figure, expected: str) -> None:
    """The figure, its ratio to the baseline, or its difference from it."""
    assert bench.decide_verdict(figure) == expected


def test_every_target_is_that_of_a_known_image(the_matrix: matrix.Matrix) -> None:
    """A misspelt one would never be compared."""
    names = {image.name for image in the_matrix.images if image.variant.name in bench.VARIANTS}
    for what in bench.TARGETS:
        kind, _, name = what.partition(" ")
        assert kind not in {"size", "healthy", "checks"} or name in names, what


def test_the_table_shows_measured_baseline_ratio_target_and_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each figure, in columns; a reason follows its verdict."""
    figures = [
        Figure("nothing changed, a flavor", 1.5, baseline=0.5, against="docker buildx build"),
        Figure("checks cuda-devel", note="no tests.xml"),
        Figure("memory slipway.image.saved_image", 251.3, "MB"),
    ]
    tables.show(bench.make_figures_table(figures))
    lines = [re.split(r"\s{2,}", line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["what", "measured", "baseline", "ratio", "target", "verdict"],
        ["nothing changed, a flavor", "1.50 s", "0.50 s docker buildx build", "3.00", "<= 2 s", "met"],
        ["checks cuda-devel", "-", "-", "-", "<= 90 s", "not measured: no tests.xml"],
        ["memory slipway.image.saved_image", "251 MB", "-", "-", "<= 200 MB", "MISSED"],
    ]


def test_targets_beside_a_baseline_say_so() -> None:
    """`<= 2 x` of it and `<= +1 s` above it are not `<= 2 s`."""
    assert bench.format_target(Figure("cold build cuda-runtime")) == "<= 2 x"
    assert bench.format_target(Figure("nothing changed, what nox and slipway add")) == "<= +1 s"


# --- measuring -----------------------------------------------------------------------------------


def test_medians_are_of_measurements_in_turns() -> None:
    """One slow run does not change the median."""
    order = []

    def series(name: str, *values: float) -> Iterator[float]:
        for value in values:
            order.append(name)
            yield value

    first, second = series("a", 1, 90, 2), series("b", 5, 4, 70)
    assert measurements.measure_in_turns(lambda: next(first), lambda: next(second), 3) == (2, 5)
    assert "".join(order) == "ababab"


def test_a_command_that_fails_is_an_error_with_its_last_line() -> None:
    """The time of a failed command is no result."""
    with pytest.raises(SlipwayError, match=r"`sh -c .*` failed: oh no"):
        measurements.time_command("sh", "-c", "echo before; echo oh no >&2; exit 3")


def test_peak_memory_is_that_of_the_process_not_of_the_bench() -> None:
    """A child's peak begins with that of the process it was forked from."""
    ballast = bytearray(150_000_000)
    assert 3 < measurements.measure_peak_memory("this") < 100
    assert len(ballast) == 150_000_000


def test_checks_are_timed_by_their_junit_file(
    the_matrix: matrix.Matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is none, the session that leaves one is named; a damaged one is an error."""
    image = the_matrix.find_image("cuda-devel")
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    [figure] = measurements.measure_checks([image])
    assert figure.measured is None
    assert "nox -s test -- cuda-devel" in figure.note
    image.results.mkdir(parents=True)
    (image.results / "tests.xml").write_text('<testsuites><testsuite time="61.5"/></testsuites>')
    assert next(measurements.measure_checks([image])).measured == pytest.approx(61.5)
    (image.results / "tests.xml").write_text("<testsuites><te")
    with pytest.raises(SlipwayError, match="cannot be read"):
        list(measurements.measure_checks([image]))


def test_the_last_run_of_tests_counts_when_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was interrupted has left only its start."""
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    (tmp_path / "dist").mkdir()
    for content, expected in (('{"started": 1.5}', None), ('{"seconds": 400}', 400)):
        (tmp_path / "dist" / "tests.json").write_text(content)
        assert next(measurements.measure_tests()).measured == expected
