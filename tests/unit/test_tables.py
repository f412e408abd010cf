"""Tables and lines that people read."""

import io
import subprocess
import sys

import pytest
from rich.text import Text

from slipway import repository
from slipway.audit import display
from slipway.audit.findings import Finding
from slipway.tables import make_table, paint, show, waiting

LONG = "a very long cell, " * 30


def test_a_pipe_gets_plain_lines_that_are_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """No color, no width, no space at a line's end; a cell is no markup."""
    show(
        "[bold]head[/bold]",
        make_table(("name", "files", "note"), [("a[b]", "1,000", LONG), ("c", "-", paint("passed"))]),
    )
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == "[bold]head[/bold]"
    assert lines == ["name  files  note", f"a[b]  1,000  {LONG}".rstrip(), "c         -  passed"]
    # A row may end early.
    show(make_table(("image", "built", "checks"), [("a", "-"), ("b", "1 h", Text("3 passed"))]))
    assert capsys.readouterr().out.splitlines() == ["image  built  checks", "a      -", "b      1 h    3 passed"]


FORGED = "/tmp/a\x1b[2J\x1b[32maudit passed\r\udc80"
SHOWN = r"/tmp/a\x1b[2J\x1b[32maudit passed\r\udc80"


def test_a_name_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor end in an error of the terminal's encoding."""
    show(f"found {FORGED}", make_table(("path",), [(FORGED,)]))
    assert capsys.readouterr().out == f"found {SHOWN}\npath\n{SHOWN}\n"


def test_the_findings_of_an_audit_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    """A path, a reason, an instruction and a license are the image's own words."""
    files = {"explained": 1, "all": 2, "owners": {"deb": 1}}
    licenses = {"accepted": {FORGED: ["a"]}, "proprietary": {}, "unknown": [FORGED]}
    result = {"files": files, "packages": {"deb": 1}, "licenses": licenses, "verdict": "failed", "seconds": 1.0}
    finding = Finding("unowned", FORGED, FORGED, layer=3, instruction=FORGED)
    display.show_audit("cpu-base", result, [finding])
    output = capsys.readouterr().out
    assert output.count(SHOWN) == 5
    assert "\x1b" not in output


def test_lines_are_as_wide_as_asked_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A table is folded to the width; a line, which may be a command to copy, is not."""
    monkeypatch.setenv("COLUMNS", "40")
    show(LONG, make_table(("note",), [(LONG,)]))
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.rstrip() == LONG.rstrip()
    assert max(map(len, rest)) <= 40


@pytest.mark.parametrize("columns", ["0", "", "none"])
def test_a_width_that_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str
) -> None:
    """A terminal without a size has 0 columns, and its shell may hand that on; a table of that width would be empty."""
    monkeypatch.setenv("COLUMNS", columns)
    show(make_table(("note",), [(LONG,)]))
    assert capsys.readouterr().out == f"note\n{LONG.rstrip()}\n"


@pytest.mark.parametrize(
    ("words", "color"),
    [("passed", "green"), ("3 failed", "red"), ("not run: why", "yellow"), ("measured", ""), ("-", "")],
)
def test_verdicts_have_a_color(words: str, color: str) -> None:
    assert str(paint(words)) == words
    assert paint(words).style == color


def test_waiting_is_silent_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with waiting("reading cpu-base"):
        pass
    assert stream.getvalue() == ""


def test_a_closed_pipe_is_no_traceback() -> None:
    """`nox -s status | head -1` ends the reader first."""
    program = "from slipway.tables import show; show(*['line'] * 10)"
    command = f'{sys.executable} -c "{program}" | head -n 1'
    result = subprocess.run(command, shell=True, cwd=repository.ROOT, capture_output=True, text=True, check=False)  # noqa: S602
    assert (result.stdout, result.stderr) == ("line\n", "")
