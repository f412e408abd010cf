"""The tables of broken images and the sample of their checks: a mistake is an error, a choice can be repeated."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from slipway import repository
from slipway.errors import SlipwayError
from tests.helpers.programs import write_program
from tests.helpers.reasons import LEFT_OUT
from tests.sabotage import cases, selection
from tests.sabotage.cases import Case

CASE = Case("one", "cpu-base", "cpu-base", breaks={"test_0": "RUN false"})
TABLE = '[bad]\nimage = "cpu-base"\n[bad.breaks]\ntest_one = "RUN false"\n'


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Read the tables anew before and after a test."""
    functions = (cases._tables, cases.broken)  # noqa: SLF001
    for function in functions:
        function.cache_clear()
    yield
    for function in functions:
        function.cache_clear()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TABLE.replace("image", "picture"), r"one\.toml: bad has unknown keys \['picture'\]"),
        (TABLE.replace("RUN false", ""), "bad has no fault for its first check"),
        (TABLE + "".join(f'test_{number} = ""\n' for number in range(8)), "1 to 8 checks"),
        (TABLE.replace("bad", "Bad"), "needs a name of a-z"),
        (TABLE.replace("cpu-base", "cpu-sid"), "cpu-sid"),
        ("[bad", r"one\.toml cannot be read"),
        (TABLE.replace("bad", "other"), "the same name: other"),  # as a case of another file
    ],
)
def test_a_mistake_in_a_table_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setattr(cases, "FOLDER", tmp_path)
    (tmp_path / "one.toml").write_text(text)
    (tmp_path / "two.toml").write_text(TABLE.replace("bad", "other"))
    with pytest.raises(SlipwayError, match=message):
        cases.broken()


def test_a_case_shows_a_check_only_where_every_run_has_its_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an image that `nox -s tests` leaves out, a case may never run."""
    monkeypatch.setattr(cases, "FOLDER", tmp_path)
    rare = TABLE.replace("cpu-base", "cuda12.8-base").replace("bad", "rare").replace("one", "two")
    (tmp_path / "one.toml").write_text(f'{TABLE}{rare}[not-shown]\ntest_three = "no GPU"\n')
    assert cases.list_shown() == {"test_one", "test_three"}


def test_a_case_that_was_not_run_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its image is one that `nox -s tests` leaves out, and this engine has none."""
    write_program(tmp_path / "docker", "exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    case = "training-that-learns-nothing"
    command = [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", "tests/sabotage", f"-k{case}"]
    result = subprocess.run(command, cwd=repository.ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert f"\nnot run: {LEFT_OUT}: test_broken_image_fails_its_checks_only[{case}]\n" in result.stdout, result.stdout


def items(fixture: str = "host") -> list[pytest.Item]:
    """Return the checks of ten modules, thirty each."""
    parts = {"fixturenames": [fixture], "iter_markers": list}
    return [
        cast("pytest.Item", SimpleNamespace(**parts, nodeid=f"x/{module}.py::test_{number}", path=Path(f"{module}.py")))
        for module in range(10)
        for number in range(30)
    ]


def test_a_sample_is_the_same_each_time_and_of_every_module() -> None:
    """Another case has another one."""
    everything = items()
    chosen = selection.choose(everything, CASE, whole=False)
    assert chosen == selection.choose(everything, CASE, whole=False)
    others = [item for item in chosen if not item.nodeid.endswith("::test_0")]
    assert len(others) == selection.CHEAP
    assert {item.path.name for item in others} == {item.path.name for item in everything}
    assert others != selection.sample(everything, selection.CHEAP, "two")
    assert selection.choose(everything, CASE, whole=True) == everything


def test_a_new_check_changes_no_more_of_a_sample() -> None:
    """Otherwise each new check would show what others on the same broken image had not been asked before."""
    everything = items()
    chosen = selection.sample(everything, selection.CHEAP, "one")
    unchosen = next(item for item in everything if item not in chosen)
    assert selection.sample([item for item in everything if item is not unchosen], selection.CHEAP, "one") == chosen
    fewer = selection.sample([item for item in everything if item is not chosen[0]], selection.CHEAP, "one")
    assert len([item for item in fewer if item not in chosen]) == 1


def test_no_image_is_saved_for_the_sample_alone() -> None:
    """Where a check that must fail asks for that, the others that do cost nothing."""
    everything = items("saved")
    assert selection.choose([item for item in everything if not item.nodeid.endswith("_0")], CASE, whole=False) == []
    assert len(selection.choose(everything, CASE, whole=False)) == 10 + selection.CHEAP
