"""JUnit files as pytest writes them: outcomes, reasons, requirements, the image."""

from pathlib import Path

import pytest

from slipway import junit
from slipway.errors import SlipwayError

SUITE = """<testsuites><testsuite errors="1" failures="1" time="61.5">
<properties><property name="image" value="sha256:12"/></properties>
<testcase classname="tests.images.cuda.test_nvcc" name="test_compiles">
  <properties><property name="requirement" value="A2"/><property name="requirement" value="U7"/>
  <property name="size" value="1500"/></properties>
</testcase>
<testcase classname="m" name="test_gpu"><properties><property name="gpu" value="yes"/></properties>
  <skipped message="no GPU"/></testcase>
<testcase classname="m" name="test_fails"><failure message="assert 1 == 2"/></testcase>
<testcase classname="m" name="test_fixture"><skipped message="first"/><error message="no container"/></testcase>
</testsuite><testsuite time="0.5"/></testsuites>"""


def test_a_report_has_every_check_with_its_outcome_and_reason(tmp_path: Path) -> None:
    """An error, also after a skip, is a failure; the file's folder names the place."""
    file = tmp_path / "cuda-devel" / "tests.xml"
    file.parent.mkdir()
    file.write_text(SUITE)
    report = junit.read_report(file)
    assert (report.image, report.size, report.seconds, report.problems) == ("sha256:12", 1500, 62.0, 2)
    assert [(check.outcome, check.reason) for check in report.checks] == [
        ("passed", ""),
        ("not run", "no GPU"),
        ("failed", "assert 1 == 2"),
        ("failed", "no container"),
    ]
    first, second = report.checks[:2]
    assert (first.place, first.name) == ("cuda-devel", "tests.images.cuda.test_nvcc::test_compiles")
    assert (first.requirements, first.needs_gpu, second.needs_gpu) == (("A2", "U7"), False, True)


@pytest.mark.parametrize("content", ["<testsuites><te", '<testsuites><testsuite time="x"/></testsuites>', None])
def test_a_missing_or_damaged_file_is_an_error_that_names_it(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "tests.xml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SlipwayError, match=r"tests\.xml cannot be read"):
        junit.read_report(file)
