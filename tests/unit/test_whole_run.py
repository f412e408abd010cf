"""A run of an image's checks: whole, or cut and kept apart."""

import pytest

from slipway import junit
from tests.images.helpers import whole_run

pytest_plugins = "pytester"

CONFTEST = """
import types
import pytest

pytest_plugins = ["tests.helpers.not_run", "tests.images.helpers.scope", "tests.images.helpers.whole_run"]

@pytest.fixture(scope="session")
def client():
    return types.SimpleNamespace(version=lambda: {"Version": "26.1.5"})

@pytest.fixture(scope="session")
def image():
    return types.SimpleNamespace(id="sha256:1")
"""
HEAD = """
import pytest
from tests.images.helpers.scope import applies
pytestmark = applies()
"""
FIRST = f"{HEAD}\ndef test_fails():\n    assert False\n\ndef test_passes():\n    pass\n"
SECOND = f"{HEAD}\n@pytest.mark.skip(reason='no GPU')\ndef test_is_not_run():\n    pass\n"
OTHERS = HEAD.replace("applies()", "applies(accelerator='cuda')") + "\ndef test_cuda():\n    pass\n"
INTERRUPT = f"{HEAD}\ndef test_is_interrupted():\n    raise KeyboardInterrupt\n"


@pytest.fixture
def checks(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder with three checks of every image, one of which fails, and one of CUDA images."""
    monkeypatch.setattr(whole_run, "FOLDER", pytester.path)
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_first=FIRST, test_second=SECOND, test_third=OTHERS)
    return pytester


def run(checks: pytest.Pytester, *options: str) -> dict[str, junit.Report]:
    """Run the checks of cpu-base; return what they left, by the file's name."""
    file = checks.path / "dist" / junit.PARTIAL
    own = ["-p", "no:cacheprovider", f"--junit-xml={file}", "--contract=cpu-base", "-o", "junit_family=xunit1"]
    checks.runpytest_inprocess(*own, *(options or [str(checks.path)]), no_reraise_ctrlc=True)
    return {each.name: junit.read_report(each) for each in file.parent.glob("*")}


def test_a_whole_run_says_what_it_was(checks: pytest.Pytester) -> None:
    report = run(checks)[junit.WHOLE]
    assert report.is_whole
    assert [check.outcome for check in report.checks] == ["failed", "passed", "not run"]
    found = dict(report.properties)
    known = {"image": "sha256:1", "contract": "cpu-base", "exit status": "1", "allow not run": "no"}
    assert known.items() <= found.items()
    assert (found["applying"], found["selected"]) == ("3", "3")
    assert found["tools"] == f"pytest {pytest.__version__}, docker engine 26.1.5"
    assert len(found["checks"]) == 64
    assert found["finished"].endswith("+00:00")


@pytest.mark.parametrize(
    "options",
    [
        ["-k", "passes"],
        ["-m", "slow"],
        ["-x", "."],
        ["--maxfail=1", "."],
        ["--deselect=test_second.py::test_is_not_run", "."],
        ["--ignore=test_second.py", "."],
        ["--ignore-glob=*second*", "."],
        ["test_first.py", "test_second.py"],
        ["test_first.py::test_passes"],
        ["--setup-only", "."],
    ],
    ids=" ".join,
)
def test_a_run_that_was_cut_is_kept_apart(checks: pytest.Pytester, options: list[str]) -> None:
    """By whatever option; what an earlier whole run left stays."""
    run(checks)
    left = run(checks, *options)
    assert left[junit.WHOLE].is_whole
    assert junit.PARTIAL not in left or not left[junit.PARTIAL].is_whole


def test_a_run_that_was_interrupted_is_kept_apart(checks: pytest.Pytester) -> None:
    checks.makepyfile(test_second=INTERRUPT)
    left = run(checks)
    assert list(left) == [junit.PARTIAL]
    assert not left[junit.PARTIAL].is_whole
    assert left[junit.PARTIAL].properties["exit status"] == "2"


def test_a_list_of_checks_and_a_run_of_nothing_leave_results_as_they_are(checks: pytest.Pytester) -> None:
    """Also a part of the results."""
    run(checks, "-k", "passes")
    assert list(run(checks, "--collect-only")) == [junit.PARTIAL]


def test_the_digest_is_of_all_checks_that_apply(checks: pytest.Pytester) -> None:
    """The same for a part of a run; another with a check more."""
    whole = run(checks)[junit.WHOLE].properties["checks"]
    assert run(checks, "-k", "passes")[junit.PARTIAL].properties["checks"] == whole
    checks.makepyfile(test_fourth=f"{HEAD}\ndef test_more(): pass\n")
    assert run(checks)[junit.WHOLE].properties["checks"] != whole
