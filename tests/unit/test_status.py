"""The status: the results of an image, and the commands to run next."""

import json
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from slipway import matrix
from slipway.build.commit import find_commit, list_context
from slipway.build.labels import COMMIT
from slipway.report import status

IMAGE = matrix.load_matrix().find_image("cuda-base")
CHECKS = """<testsuites><testsuite><properties><property name="image" value="{id}"/>
<property name="whole" value="yes"/></properties>
<testcase name="a"><properties><property name="size" value="1450000000"/></properties></testcase>
<testcase name="b"/><testcase name="c"><skipped message="no GPU"/></testcase>{more}</testsuite></testsuites>"""
FAILURE = '<testcase name="d"><failure message="no"/></testcase>'
Show = Callable[..., str]


@pytest.fixture
def show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Show:
    """Print the status of an engine that has cuda-base, with the given results in dist/."""
    monkeypatch.setattr(matrix.Image, "results", property(lambda image: tmp_path / "dist" / image.name))
    monkeypatch.setenv("COLUMNS", "100")
    image = IMAGE

    def run(*words: str, stderr: str = "Error: No such image: x", commit: str = "", **files: str) -> str:
        image.results.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (image.results / name.replace("_", ".")).write_text(text)
        labels = {"Labels": {COMMIT: commit} if commit else None}
        created = {"Created": "2026-11-20T12:00:00.123456789Z"}
        answer = json.dumps([{"Id": "sha256:1", "RepoTags": [image.tag], "Config": labels} | created])
        stdout = answer if "No such image" in stderr else ""
        result = subprocess.CompletedProcess((), 1, stdout, stderr)
        monkeypatch.setattr("slipway.docker.call", lambda *_: result)
        assert status.main(words) == 0
        return capsys.readouterr().out

    return run


def line(output: str, image: str = "cuda-base") -> str:
    """Return the line of an image, with single spaces."""
    return next(" ".join(row.split()) for row in output.splitlines() if row.startswith(f"{image} "))


def commands(output: str) -> list[str]:
    """Return the next commands for cuda-base."""
    return [row.split()[3] for row in output.splitlines() if row.startswith("next: nox") and "cuda-base" in row.split()]


def test_an_image_without_results_is_to_be_tested(show: Show) -> None:
    """The others of `nox -s tests` are to be built."""
    output = show()
    assert line(output).endswith(" days - - - -")
    assert commands(output) == ["test"]
    assert line(output, "cpu-base") == "cpu-base -"
    assert "next: nox -s build -- cpu-base cpu-runtime" in output


@pytest.mark.parametrize(
    ("more", "audit", "scan", "shown", "step"),
    [
        ("", "passed", "passed", "2 passed, 1 not run passed passed", []),
        ("", "passed", "not scanned", "2 passed, 1 not run passed not scanned", ["scan"]),
        ("", "failed", "passed", "2 passed, 1 not run failed passed", ["audit"]),
        (FAILURE, "passed", "passed", "2 passed, 1 failed, 1 not run passed passed", ["test"]),
    ],
)
def test_results_are_shown_as_they_are(  # noqa: PLR0913, PLR0917 - a row of the table
    show: Show, more: str, audit: str, scan: str, shown: str, step: list[str]
) -> None:
    """Not run and not scanned are never shown as passed."""
    verdicts = {
        f"{name}_json": json.dumps({"image": "sha256:1", "verdict": word})
        for name, word in (("audit", audit), ("scan", scan))
    }
    output = show(tests_xml=CHECKS.format(id="sha256:1", more=more), **verdicts)
    budget = "-".join(f"{size / 1e9:.2f}" for size in (IMAGE.least_size, IMAGE.most_size))
    assert line(output).endswith(f" days {shown} 1.45 ({budget})")
    assert commands(output) == step


def test_json_has_what_the_table_shows_of_every_image(show: Show) -> None:
    """Also of those that are not built: bytes and times as numbers and ISO times."""
    found = {row["image"]: row for row in json.loads(show("--json", tests_xml=CHECKS.format(id="sha256:1", more="")))}
    assert list(found) == [image.name for image in matrix.load_matrix().images]
    assert found["cpu-base"].keys() == {"image", "budget", "is_built", "next"}
    assert found["cuda-base"] == {
        "image": "cuda-base",
        "budget": [IMAGE.least_size, IMAGE.most_size],
        "is_built": True,
        "built": "2026-11-20T12:00:00.123456789Z",
        "is_stale": False,
        "checks": {"passed": 2, "failed": 0, "not run": 1},
        "is_whole": True,
        "audit": "-",
        "scan": "-",
        "size": 1450000000,
        "next": "audit",
    }


def test_a_run_that_was_cut_is_partial(show: Show) -> None:
    """It is to be run again; a whole run of the same image counts more."""
    whole = CHECKS.format(id="sha256:1", more="")
    cut = CHECKS.format(id="sha256:1", more=FAILURE).replace('"yes"', '"no"')
    output = show(tests_partial_xml=cut)
    assert " partial: 2 passed, 1 failed, 1 not run " in line(output)
    assert commands(output) == ["test"]
    assert " 2 passed, 1 not run " in line(show(tests_xml=whole, tests_partial_xml=cut))


def test_results_of_another_image_do_not_count(show: Show) -> None:
    """Its tag was built anew since, or its results are damaged."""
    other = json.dumps({"image": "sha256:2", "verdict": "passed"})
    output = show(tests_xml=CHECKS.format(id="sha256:2", more=""), audit_json=other, scan_json=other)
    assert line(output).endswith(" days - - - -")
    assert line(show(tests_xml="<testsuites><te", audit_json="{")).endswith(" days - - - -")


def test_an_image_of_an_earlier_commit_is_stale(show: Show) -> None:
    output = show(commit="0" * 40)
    assert line(output).endswith(" days, stale - - - -")
    assert commands(output) == ["build"]
    current = find_commit(list_context(IMAGE))
    assert commands(show(commit=current)) == ["test"]


def test_without_an_engine_the_records_are_shown(show: Show) -> None:
    record = {"image": "sha256:1", "built": "2026-11-20T12:00:00+00:00", "seconds": 1, "labels": {}}
    output = show(stderr="Cannot connect to the Docker daemon", build_json=json.dumps(record))
    assert line(output).endswith(" days - - - -")
    assert "no engine answers: nox -s setup" in output
    assert commands(output) == []


@pytest.mark.parametrize(
    "change", [{"built": None}, {"built": "2026-11-20"}, {"built": "yesterday"}, {"labels": "x"}, {"image": 1}]
)
def test_a_record_of_another_format_says_nothing(show: Show, change: dict[str, object]) -> None:
    """The engine knows when the image was built; without one, the image is not shown as built."""
    record = {"image": "sha256:1", "built": "2026-11-20T12:00:00+00:00", "seconds": 1, "labels": {}} | change
    assert line(show(build_json=json.dumps(record))).endswith(" days - - - -")
    assert line(show(stderr="Cannot connect to the Docker daemon", build_json=json.dumps(record))) == "cuda-base -"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "1 s"), (59, "59 s"), (60, "1 min"), (7300, "2 h"), (86400 * 3, "3 days")]
)
def test_an_age_has_one_unit(seconds: int, shown: str) -> None:
    assert status.format_age(timedelta(seconds=seconds)) == shown
