"""The summary never shows a requirement as met that failed on an image or was not run."""

import json
from pathlib import Path

import pytest

from slipway import junit, repository, tables
from slipway.errors import SlipwayError
from slipway.report import summary

pytest_plugins = "pytester"

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


def checks(dist: Path, **places: list[str]) -> list[junit.Check]:
    """Write the files of some places and read them back."""
    for place, elements in places.items():
        (dist / place).mkdir()
        (dist / place / "tests.xml").write_text(f"<testsuites><testsuite>{''.join(elements)}</testsuite></testsuites>")
    return list(summary.read_checks(dist))


def test_each_outcome_is_counted_as_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An error of a fixture is a failure."""
    tables.show(summary.make_places_table(checks(tmp_path, cpu=[case(outcome) for outcome in CASES])))
    assert capsys.readouterr().out.splitlines()[1].split() == ["cpu", "1", "2", "1"]


@pytest.mark.parametrize(
    ("places", "lines"),
    [
        # Met where all its checks passed; one that was not run is enough to leave it open.
        ({"cpu": [case("passed", "A2"), case("passed", "A2")]}, ["A2 met cpu"]),
        ({"cpu": [case("passed", "A2"), case("not run", "A2")]}, ["A2 not run cpu"]),
        ({"cpu": [case("passed", "A2"), case("error", "A2"), case("not run", "A2")]}, ["A2 FAILED cpu"]),
        # One that is met on one image may not be met on another.
        ({"cpu": [case("passed", "T6")], "cuda": [case("failed", "T6")]}, ["T6 FAILED cuda", "T6 met cpu"]),
        # The rest of it can be met without a GPU.
        ({"cuda": [case("passed", "U9"), case("not run", "U9", gpu=True)]}, ["U9 met cuda", "U9 GPU not run cuda"]),
    ],
)
def test_a_requirement_is_met_where_all_its_checks_passed(
    tmp_path: Path, places: dict[str, list[str]], lines: list[str]
) -> None:
    assert [" ".join(line.split()) for line in summary.format_requirements(checks(tmp_path, **places))] == lines


@pytest.mark.requirement("T11")
def test_requirements_without_a_check_are_named(tmp_path: Path) -> None:
    missing = summary.list_unnamed_requirements(checks(tmp_path, cpu=[case("passed", "A1", "U13")]))
    assert "A1" not in missing
    assert "U13" not in missing
    assert "A2" in missing
    assert len(missing) == len(summary.list_requirements()) - 2


def test_requirements_are_those_of_the_documentation(tmp_path: Path) -> None:
    """Each line that begins with an id counts, in its order; an id listed twice and an empty page are errors."""
    assert {"A1", "A16", "C11", "V9", "U13", "T18", "N12"} <= set(summary.list_requirements())
    page = tmp_path / "requirements.md"
    with pytest.raises(SlipwayError, match="cannot read"):
        summary.list_requirements(page)
    for content in ("# Requirements\n", "- A1 One.\n- A1 Another.\n"):
        page.write_text(content)
        with pytest.raises(SlipwayError, match="each requirement once"):
            summary.list_requirements(page)
    page.write_text("# Requirements\n- T2 The second.\n- no id\n- A10 The tenth.\n")
    assert summary.list_requirements(page) == ["T2", "A10"]


def test_json_has_checks_and_requirements_by_place(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is that of the lists: 1 when a check failed."""
    (root / "dist").mkdir()
    checks(root / "dist", cpu=[case("passed", "A2"), case("failed")], cuda=[case("not run", "A2")])
    assert summary.main(["--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "checks": {"cpu": {"passed": 1, "failed": 1}, "cuda": {"not run": 1}},
        "requirements": {"A2": {"cpu": "passed", "cuda": "not run"}},
    }


def test_no_results_and_damaged_results_are_errors(root: Path) -> None:
    with pytest.raises(SlipwayError, match="nox -s tests"):
        summary.main([])
    (root / "dist" / "cpu-base").mkdir(parents=True)
    (root / "dist" / "cpu-base" / "tests.xml").write_text("<testsuites><te")
    with pytest.raises(SlipwayError, match="damaged"):
        summary.main([])


@pytest.mark.parametrize("finished", ["yesterday", "2026-11-20T12:00:00"])
def test_a_run_without_a_time_is_an_error(tmp_path: Path, finished: str) -> None:
    with pytest.raises(SlipwayError, match=r"tests.xml cannot be read .*run its test session again"):
        checks(tmp_path, cpu=[f'<properties><property name="finished" value="{finished}"/></properties>'])


@pytest.mark.parametrize("started", ['"x"', "[1]", "-5", "1e400", "null"])
def test_a_damaged_start_of_a_run_is_none(tmp_path: Path, started: str) -> None:
    (tmp_path / "tests.json").write_text(f'{{"started": {started}}}')
    assert summary.read_start(tmp_path) == 0


def test_a_check_that_names_an_unknown_requirement_is_an_error(pytester: pytest.Pytester) -> None:
    """A misspelt id proves no requirement; the run ends before the first check."""
    pytester.makeconftest((repository.ROOT / "tests" / "conftest.py").read_text())
    pytester.makeini("[pytest]\nmarkers = requirement(id): what it proves\n")
    check = 'import pytest\n\n\n@pytest.mark.requirement("A1", "{}")\ndef test_one(): ...\n'
    pytester.makepyfile(test_known=check.format("A2"))
    assert pytester.runpytest("-p", "no:cacheprovider").ret == pytest.ExitCode.OK
    pytester.makepyfile(test_unknown=check.format("A99"))
    ended = pytester.runpytest("-p", "no:cacheprovider")
    assert ended.ret == pytest.ExitCode.USAGE_ERROR
    ended.stderr.fnmatch_lines(["*test_unknown.py::test_one names A99, which docs/requirements.md does not list*"])
