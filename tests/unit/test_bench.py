"""The bench: goals and verdicts, measurements in turns, the history, and each measurement with stand-ins."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slipway import matrix, tables
from slipway.bench import (
    audit_times,
    bench,
    build_times,
    history,
    image_figures,
    performance_page,
    registry_times,
    timing,
)
from slipway.bench.figures import Figure, Goal, format_goal, make_figures_table
from slipway.errors import SlipwayError
from slipway.host import downloads

MACHINE = {"cores": 2, "memory_gb": 24, "engine": "28.2.2", "storage_driver": "overlay2"}
DIFFERENCE = Goal(0.7, "difference")
MATRIX = matrix.load_matrix()


# --- what a figure comes to ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        (Figure("size", 0.35, "GB", goal=Goal(0.35)), "met"),
        (Figure("size", 0.36, "GB", goal=Goal(0.35)), "MISSED"),
        (Figure("size", 5.8, "GB", 5.2, goal=DIFFERENCE), "met"),
        (Figure("size", 5.8, "GB", 5.0, goal=DIFFERENCE), "MISSED"),
        (Figure("size", 5.8, "GB", goal=DIFFERENCE), "measured"),
        (Figure("cold build", 135, baseline=100, goal=Goal(1.35, "ratio")), "met"),
        (Figure("cold build", 136, baseline=100, goal=Goal(1.35, "ratio")), "MISSED"),
        (Figure("size", 9, "GB"), "measured"),
        (Figure("size", note="why", goal=Goal(9)), "not measured"),
        (Figure("size", note="why", goal=Goal(9), failed=True), "failed"),
    ],
)
def test_a_verdict_compares_a_figure_with_its_goal(figure: Figure, expected: str) -> None:
    """The figure, its ratio to the baseline, or its difference from it."""
    assert figure.verdict == expected


def test_the_table_shows_measured_baseline_ratio_goal_and_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each figure, in columns; a reason follows its verdict."""
    figures = [
        Figure("nothing changed", 1.5, baseline=0.5, against="docker buildx bake", goal=Goal(2)),
        Figure("checks cuda-devel", goal=Goal(90), note="no tests.xml"),
        Figure("memory setup", 251.3, "MB", goal=Goal(200)),
    ]
    tables.show(make_figures_table(figures))
    lines = [re.split(r"\s{2,}", line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["what", "measured", "baseline", "ratio", "goal", "verdict"],
        ["nothing changed", "1.50 s", "0.50 s docker buildx bake", "3.00", "<= 2 s", "met"],
        ["checks cuda-devel", "-", "-", "-", "<= 90 s", "not measured: no tests.xml"],
        ["memory setup", "251 MB", "-", "-", "<= 200 MB", "MISSED"],
    ]
    # Beside a baseline: of it, and above it.
    assert format_goal(Figure("cold build", goal=Goal(2, "ratio"))) == "<= 2 x"
    assert format_goal(Figure("healthy", goal=DIFFERENCE)) == "<= +0.7 s"


def test_every_image_with_a_goal_is_known() -> None:
    """A misspelt one would never be compared."""
    for name in (*image_figures.CHECKS, *bench.READ, *bench.TOGETHER, *bench.PULLED, build_times.COLD):
        assert MATRIX.find_image(name).name == name


# --- measuring -----------------------------------------------------------------------------------


def test_medians_are_of_measurements_in_turns() -> None:
    """One slow run does not change the median; the noise is the spread of the ratio."""
    order = []

    def series(name: str, *values: float) -> Iterator[float]:
        for value in values:
            order.append(name)
            yield value

    first, second = series("a", 1, 90, 2), series("b", 5, 3, 4)
    pairs = timing.measure_in_turns(lambda: next(first), lambda: next(second), 3)
    assert pairs == {"measured": 2, "baseline": 4, "noise": pytest.approx((30 - 0.2) / 0.5)}
    assert "".join(order) == "ababab"


def test_a_command_that_fails_is_an_error_with_its_last_line() -> None:
    """The time of a failed command is no result."""
    with pytest.raises(SlipwayError, match=r"`sh -c .*` failed: oh no"):
        timing.time_command("sh", "-c", "echo before; echo oh no >&2; exit 3")


def test_peak_memory_is_that_of_the_process_not_of_the_bench() -> None:
    """A child's peak begins with that of the process it was forked from."""
    ballast = bytearray(150_000_000)
    assert 3 < timing.measure_peak_memory("this") < 100
    assert len(ballast) == 150_000_000


@pytest.mark.usefixtures("root")
def test_checks_are_timed_by_their_junit_file() -> None:
    """Where there is none, the session that leaves one is named; a damaged one is an error."""
    image = MATRIX.find_image("cuda-devel")
    [figure] = image_figures.measure_checks([image])
    assert figure.measured is None
    assert "nox -s test -- cuda-devel" in figure.note
    image.results.mkdir(parents=True)
    (image.results / "tests.xml").write_text('<testsuites><testsuite time="61.5"/></testsuites>')
    assert next(image_figures.measure_checks([image])).measured == pytest.approx(61.5)
    (image.results / "tests.xml").write_text("<testsuites><te")
    with pytest.raises(SlipwayError, match="cannot be read"):
        list(image_figures.measure_checks([image]))


def test_the_last_run_of_tests_counts_when_it_ended(root: Path) -> None:
    """A run that was interrupted has left only its start."""
    (root / "dist").mkdir()
    for content, expected in (('{"started": 1.5}', None), ('{"seconds": 400}', 400)):
        (root / "dist" / "tests.json").write_text(content)
        assert next(image_figures.measure_tests()).measured == expected


@pytest.mark.parametrize(
    ("measuring", "missing"),
    [
        (registry_times.measure_publish, "there is no docker-registry: nox -s setup -- --registry"),
        (registry_times.measure_pull, "there is no docker-registry: nox -s setup -- --registry"),
        (audit_times.measure_dive, "dive is not on PATH: https://github.com/wagoodman/dive"),
    ],
)
def test_a_program_that_is_missing_is_named(
    measuring: Callable[[matrix.Image], Iterator[Figure]], missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    [figure] = measuring(MATRIX.find_image("cpu-base"))
    assert (figure.verdict, figure.note) == ("not measured", missing)


def test_a_build_of_more_images_than_are_built_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of them is no figure of nine."""
    monkeypatch.setattr(downloads, "find", lambda _suite: None)
    assert [figure.note for figure in build_times.measure_unchanged(MATRIX, [])] == ["0 are built"] * 3


# --- earlier runs --------------------------------------------------------------------------------


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    ("machine", "measured", "noise", "expected"),
    [
        (MACHINE, 1.5, 0.1, ["audit: its ratio has grown from 1.00 to 1.50 (50%; noise 20%)"]),
        (MACHINE, 1.5, 0.5, []),
        (MACHINE, 1.19, 0.1, []),
        (MACHINE | {"cores": 8}, 1.5, 0.1, []),
        (MACHINE | {"load": 3}, 1.5, 0.1, ["audit: its ratio has grown from 1.00 to 1.50 (50%; noise 20%)"]),
    ],
)
def test_a_ratio_that_grows_beyond_its_noise_is_named(
    machine: dict[str, object], measured: float, noise: float, expected: list[str]
) -> None:
    """Compared with the last run on such a machine; figures that were not measured in turns have no noise."""
    before = [Figure("audit", 1, baseline=1, noise=0.1), Figure("pull", 1, baseline=1)]
    for figure in (Figure("audit", 0.2, baseline=1, noise=0.1), *before):
        history.add_run({"machine": MACHINE, "figures": [figure.make_record()]})
    now = [Figure("audit", measured, baseline=1, noise=noise), Figure("pull", 9, baseline=1, noise=noise)]
    assert list(history.list_worse(history.read_runs(), machine, now)) == expected


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        '{"machine": {}}',
        "7",
        '{"machine": 7, "figures": 7}',
        '{"machine": {}, "figures": [7]}',
        '{"machine": {}, "figures": [{}]}',
        '{"machine": {}, "figures": [{"what": "a", "noise": "x"}]}',
        "[" * 100_000,
    ],
)
def test_a_damaged_history_is_one_message(root: Path, line: str) -> None:
    """The line and what to do are named; nothing is measured before."""
    history.add_run({"machine": MACHINE, "figures": []})
    with (root / history.FILE).open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(SlipwayError, match=r"dist/bench/history.jsonl, line 2, is no run of bench; delete the line"):
        history.read_runs()


def test_a_run_gets_a_line_of_its_own(root: Path) -> None:
    """Also after a line without an end, and after bytes that are no text."""
    file = root / history.FILE
    file.parent.mkdir(parents=True)
    file.write_bytes(b'{"machine": {"name": "\xff"}, "figures": []}')
    history.add_run({"machine": MACHINE, "figures": []})
    assert [run.machine for run in history.read_runs()] == [{"name": "\ufffd"}, MACHINE]


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("ratio", [{}, {"ratio": None}, {"ratio": 0}])
def test_a_figure_without_a_ratio_is_not_compared(ratio: dict[str, object]) -> None:
    history.add_run({"machine": MACHINE, "figures": [{"what": "audit", "noise": 0.1, **ratio}]})
    now = [Figure("audit", 2, baseline=1, noise=0.1)]
    assert list(history.list_worse(history.read_runs(), MACHINE, now)) == []


def test_performance_page_has_the_figures_with_their_machine(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was neither measured nor has a goal is left out; a bar in a note splits no cell."""
    page = root / "performance.md"
    page.write_text((Path(__file__).parents[2] / "docs" / "performance.md").read_text())
    monkeypatch.setattr(performance_page, "PAGE", page)
    figures = [
        Figure("audit", 1.5, baseline=1, against="docker save", goal=Goal(1.2, "ratio")),
        Figure("cold build", goal=Goal(1.35, "ratio"), note="nox -s bench -- --cold"),
        Figure("pull", note="there is no docker-registry"),
    ]
    performance_page.write_page(figures, "2026-11-29", "2 cores")
    text = page.read_text()
    assert "| 2026-11-29 | 2 cores |" in text
    assert "| audit | 1.50 s | 1.00 s docker save | 1.50 | <= 1.2 x | MISSED |" in text
    assert "| cold build | - | - | - | <= 1.35 x | not measured: nox -s bench -- --cold |" in text
    assert "pull" not in text.partition("<!-- bench")[2]
    performance_page.write_page(figures, "2026-11-29", "2 cores")
    assert page.read_text() == text
