"""Tests that were not run: they fail a run unless the reason is accepted."""

import pytest

from tests.helpers.reasons import NO_GPU

pytest_plugins = "pytester"

NOT_RUN = "import pytest\n\n@pytest.mark.skip(reason={reason!r})\ndef test_one():\n    pass\n"
MODULE = "import pytest\n\npytest.skip('no tool', allow_module_level=True)\n"
PASSES = "def test_two():\n    pass\n"


@pytest.mark.parametrize(
    ("source", "options", "status", "line"),
    [
        (NOT_RUN.format(reason="no tool"), (), 1, "not run: no tool: test_one"),
        (NOT_RUN.format(reason="no tool"), ("--allow-not-run",), 0, "not run: no tool: test_one"),
        (NOT_RUN.format(reason=NO_GPU), (), 0, f"not run: {NO_GPU}: test_one"),
        (MODULE, (), 1, "not run: no tool: test_source.py"),
        (NOT_RUN.format(reason="no tool"), ("-n2",), 1, "not run: no tool: test_one"),
        (MODULE, ("-n2",), 1, "not run: no tool: test_source.py"),
    ],
    ids=[
        "not accepted",
        "accepted by the option",
        "accepted by its reason",
        "a whole module",
        "in another process",
        "a whole module in other processes",
    ],
)
def test_what_was_not_run_is_no_pass(
    pytester: pytest.Pytester, source: str, options: tuple[str, ...], status: int, line: str
) -> None:
    pytester.makepyfile(test_source=source, test_other=PASSES)
    result = pytester.runpytest("-p", "tests.helpers.not_run", "-p", "no:cacheprovider", *options)
    assert result.ret == status
    assert line in result.outlines
    assert ("a test that was not run is not a pass; --allow-not-run accepts it" in result.outlines) is bool(status)
