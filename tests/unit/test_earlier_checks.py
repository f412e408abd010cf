"""Checks of the same image are taken over only when nothing that decides them has changed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from slipway import docker, junit, matrix, sessions
from slipway.host import devices
from slipway.matrix import Image
from slipway.report import earlier_checks, summary
from tests.sabotage import breakage, earlier
from tests.sabotage.cases import Case
from tests.sabotage.conftest import decide

NOW = datetime.now(UTC).isoformat(timespec="seconds")
PASSED = '<testcase classname="tests.images.common.test_size" name="test_budget"/>'
NO_GPU = """
<testcase name="g"><properties><property name="gpu" value="yes"/></properties><skipped message="no"/></testcase>
"""
FAILED = '<testcase classname="tests.images" name="f"><failure message="no"/></testcase>'

Write = Callable[..., Image]


@pytest.fixture
def write(root: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write the results of a run of cpu-base, in a repository with no file but its locks."""
    image = matrix.load_matrix().find_image("cpu-base")
    monkeypatch.setattr(docker, "inspect", lambda _tag: {"Id": "sha256:1"})
    monkeypatch.setattr(devices, "gpu_options", lambda _accelerator: [])
    for lock in image.locks:
        lock.parent.mkdir(exist_ok=True)
        lock.touch()

    def write(*checks: str, **properties: str) -> Image:
        own = {"image": "sha256:1", "whole": "yes", "derived": "no", "exit status": "0"}
        own |= {"allow not run": "no", "finished": NOW}
        values = own | {"inputs": earlier_checks.digest_inputs(image)} | properties
        listed = "".join(f'<property name="{name}" value="{value}"/>' for name, value in values.items())
        failures = sum("<failure" in check for check in checks)
        suite = f'<testsuite failures="{failures}"><properties>{listed}</properties>{"".join(checks)}</testsuite>'
        image.results.mkdir(parents=True, exist_ok=True)
        (image.results / junit.WHOLE).write_text(f"<testsuites>{suite}</testsuites>")
        return image

    return write


def test_the_same_image_and_checks_are_taken_over(write: Write) -> None:
    """Also when a check was not run for want of a GPU that is still missing."""
    assert earlier_checks.find_passed(write(PASSED, NO_GPU)) == datetime.fromisoformat(NOW)


@pytest.mark.parametrize(
    "changed",
    [
        {"image": "sha256:2"},
        {"whole": "no"},
        {"derived": "yes"},
        {"derived": ""},
        {"exit status": "1"},
        {"allow not run": "yes"},
        {"inputs": "0"},
        {"finished": ""},
        {"finished": (datetime.now(UTC) - timedelta(hours=25)).isoformat()},
    ],
    ids="_".join,
)
def test_another_image_a_part_of_a_run_and_an_old_one_are_not(write: Write, changed: dict[str, str]) -> None:
    assert earlier_checks.find_passed(write(PASSED, **changed)) is None


def test_a_failure_and_a_damaged_file_are_not(write: Write) -> None:
    image = write(PASSED, FAILED)
    assert earlier_checks.find_passed(image) is None
    (image.results / junit.WHOLE).write_text("<testsuites>")
    assert earlier_checks.find_passed(image) is None


def test_a_gpu_that_has_come_is_used(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not run for want of it is due."""
    monkeypatch.setattr(devices, "gpu_options", lambda _accelerator: ["--gpus=all"])
    assert earlier_checks.find_passed(write(PASSED, NO_GPU)) is None
    assert earlier_checks.find_passed(write(PASSED))


def test_a_changed_check_and_a_changed_lock_are_due(write: Write, tmp_path: Path) -> None:
    """A new file, too; one that no check reads is nothing."""
    image = write(PASSED)
    (tmp_path / "README.md").write_text("new")
    assert earlier_checks.find_passed(image)
    image.locks[0].write_text("numpy==2")
    assert not earlier_checks.find_passed(image)
    image.locks[0].write_text("")
    for name in ("tests/images/test_new.py", "docs/choosing.md"):
        file = tmp_path / name
        file.parent.mkdir(parents=True)
        file.touch()
        assert not earlier_checks.find_passed(image)
        file.unlink()
    assert earlier_checks.find_passed(image)


@pytest.mark.parametrize(
    ("name", "parent"), [("cpu-devel", "cpu-runtime"), ("cuda-base-workbench", "cuda-base"), ("cpu-base-py3.11", None)]
)
def test_another_parent_is_an_input(
    write: Write, monkeypatch: pytest.MonkeyPatch, name: str, parent: str | None
) -> None:
    """An image that was rebuilt or is gone; the files of the image are compared with it."""
    write()
    image = matrix.load_matrix().find_image(name)
    tag = f"{image.variant.repository}:{parent}"
    engine = {tag: {"Id": "sha256:1"}}
    monkeypatch.setattr(docker, "inspect", engine.get)
    before = earlier_checks.digest_inputs(image)
    engine[tag]["Id"] = "sha256:2"
    rebuilt = earlier_checks.digest_inputs(image)
    engine.clear()
    assert len({before, rebuilt, earlier_checks.digest_inputs(image)}) == (3 if parent else 1)


def test_only_the_option_takes_checks_over(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """The results of an image that must be checked again are removed before."""

    def find(*words: str) -> list[str]:
        session = SimpleNamespace(posargs=words, log=logged.append, error=pytest.fail)
        return [image.name for image in sessions.read_unchecked(session, matrix.load_matrix())]  # type: ignore[arg-type]

    logged: list[str] = []
    image = write(PASSED)
    assert find("cpu-base") == ["cpu-base"]
    assert find("cpu-base", "cpu-runtime", "--skip-passed") == ["cpu-runtime"]
    assert logged == [f"cpu-base: the same image passed the same checks on {NOW[:10]} at {NOW[11:16]} UTC"]
    for option in (["--require-gpu"], ["--image=x"], ["--", "-k", "size"]):
        assert find("cpu-base", "--skip-passed", *option) == ["cpu-base"]
        assert (image.results / junit.WHOLE).exists()
    write(PASSED, inputs="0")
    assert find("cpu-base", "--skip-passed") == ["cpu-base"]
    assert not (image.results / junit.WHOLE).exists()


def test_the_summary_says_what_it_takes_over(write: Write, tmp_path: Path) -> None:
    """A run of all tests forgets the results of images that are not part of it."""
    image = write(PASSED)
    dist = tmp_path / "dist"
    assert summary.format_taken_over(dist) == []
    (dist / "old").mkdir()
    (dist / "old" / junit.WHOLE).write_text((image.results / junit.WHOLE).read_text())
    summary.start_run([image])
    assert [file.parent.name for file in dist.glob(f"*/{junit.WHOLE}")] == ["cpu-base"]
    assert summary.format_taken_over(dist) == [f"passed on {NOW[:10]}, the same image and checks: cpu-base"]


def test_an_unbroken_image_that_failed_need_not_run_again(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its broken images would prove nothing: the test session has shown which checks fail on the image as it is."""
    case = Case("cpu-base", "cpu-base", "cpu-base")
    write(PASSED, FAILED, **{"exit status": "1"})
    monkeypatch.setattr(breakage, "require_built", lambda _name: None)
    monkeypatch.setattr(earlier, "passed_on", lambda _case, **_: "")
    assert decide(case, fresh=False, whole=False).problem == "  failed in its test session   tests.images::f"
    write(PASSED, FAILED, **{"exit status": "1", "image": "sha256:2"})
    assert earlier.find_failed(case) == []
