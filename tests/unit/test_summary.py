"""The summary never shows what was not run, or failed somewhere, as met."""

from pathlib import Path

import pytest

from slipway import matrix
from slipway.errors import SlipwayError
from slipway.report import summary

CASES = {
    "passed": "",
    "failed": '<failure message="no"/>',
    "error": '<error message="no"/>',
    "not run": '<skipped message="no NVIDIA GPU on this host"/>',
}


def case(outcome: str, *requirements: str, gpu: bool = False) -> str:
    """Return a JUnit element as pytest writes it."""
    properties = [f'<property name="requirement" value="{name}"/>' for name in requirements]
    properties += ['<property name="gpu" value="yes"/>'] if gpu else []
    return f'<testcase name="t"><properties>{"".join(properties)}</properties>{CASES[outcome]}</testcase>'


def checks(dist: Path, **places: list[str]) -> list[summary.Check]:
    """Write the files of some places and read them back."""
    for place, elements in places.items():
        (dist / place).mkdir()
        (dist / place / "tests.xml").write_text(f"<testsuites><testsuite>{''.join(elements)}</testsuite></testsuites>")
    return list(summary.read_checks(dist))


def test_each_outcome_is_counted_as_itself(tmp_path: Path) -> None:
    """An error of a fixture is a failure."""
    lines = summary.places_table(checks(tmp_path, cpu=[case(outcome) for outcome in CASES]))
    assert lines[1].split() == ["cpu", "1", "2", "1"]


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [(["passed", "passed"], "met"), (["passed", "not run"], "not run"), (["passed", "error", "not run"], "FAILED")],
)
def test_a_requirement_is_met_where_all_its_checks_passed(tmp_path: Path, outcomes: list[str], expected: str) -> None:
    """One check that was not run is enough to leave it open."""
    lines = summary.requirement_lines(checks(tmp_path, cpu=[case(outcome, "A2") for outcome in outcomes]))
    assert [line.split(maxsplit=1) for line in lines] == [["A2", f"{expected:<8} cpu"]]


def test_images_are_told_apart(tmp_path: Path) -> None:
    """Met on one image says nothing of another."""
    lines = summary.requirement_lines(checks(tmp_path, cpu=[case("passed", "T6")], cuda=[case("failed", "T6")]))
    assert [line.split() for line in lines] == [["T6", "FAILED", "cuda"], ["T6", "met", "cpu"]]


def test_what_needs_a_gpu_is_a_line_of_its_own(tmp_path: Path) -> None:
    """The rest of the requirement can be met without one."""
    lines = summary.requirement_lines(checks(tmp_path, cuda=[case("passed", "U9"), case("not run", "U9", gpu=True)]))
    assert [line.split()[:3] for line in lines] == [["U9", "met", "cuda"], ["U9", "GPU", "not"]]


@pytest.mark.requirement("T11")
def test_requirements_without_a_check_are_named(tmp_path: Path) -> None:
    """Silence would look like success."""
    missing = summary.unproved(checks(tmp_path, cpu=[case("passed", "A1", "U13")]))
    assert "A1" not in missing
    assert "U13" not in missing
    assert "A2" in missing
    assert len(missing) == 57


def test_no_results_and_damaged_results_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They must not read as an empty success."""
    monkeypatch.setattr(summary, "ROOT", tmp_path)
    with pytest.raises(SlipwayError, match="nox -s tests"):
        summary.main()
    (tmp_path / "dist" / "cpu-base").mkdir(parents=True)
    (tmp_path / "dist" / "cpu-base" / "tests.xml").write_text("<testsuites><te")
    with pytest.raises(SlipwayError, match="damaged"):
        summary.main()


def test_every_requirement_named_by_a_check_exists() -> None:
    """A misspelt id would prove nothing."""
    known = {f"{group}{number}" for group, count in summary.GROUPS.items() for number in range(1, count + 1)}
    named = set()
    for file in (matrix.ROOT / "tests").rglob("test_*.py"):
        for line in file.read_text().splitlines():
            if line.lstrip().startswith("@pytest.mark.requirement("):
                named.update(line.split("(", 1)[1].rstrip(")").replace('"', "").replace(" ", "").split(","))
    assert named - known == set()
    assert named
