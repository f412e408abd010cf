"""Prints tables: as wide as the terminal and in color; in a pipe or a file plain and never cut."""

import contextlib
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

NUMBER = re.compile(r"[+-]?[\d,]+(\.\d)?|-")  # a number or NOTHING; most versions have more digits
NOTHING = "-"  # in place of a missing number
WIDEST = 10_000  # characters, where no terminal has a width
COLORS = {
    "failed": "red",
    "vulnerable": "red",
    "MISSED": "red",
    "not run": "yellow",
    "not scanned": "yellow",
    "not measured": "yellow",
    "passed": "green",
    "met": "green",
}
Cell = str | Text


def escape(text: str) -> str:
    """Return a text with each character that is not printable as its escape sequence.

    Names of files and instructions are an image's own: printed as they are, they could move the cursor and show
    another verdict.
    """
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def paint(words: str) -> Text:
    """Return a verdict, with its reason or with a number before it, in the color of the verdict."""
    return Text(words, COLORS.get(words.lstrip("0123456789 ").partition(":")[0], ""))


def make_table(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Table:
    """Return a table; columns of numbers are aligned right. A row may have fewer cells than the header."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(header):
        cells = [str(row[number]) for row in rows if len(row) > number]
        numbers = bool(cells) and all(NUMBER.fullmatch(cell) for cell in cells)
        table.add_column(name, justify="right" if numbers else "left")
    for row in rows:
        # A plain string would be read as rich's markup.
        table.add_row(*(cell if isinstance(cell, Text) else Text(escape(cell)) for cell in row))
    return table


def show(*parts: Table | str) -> None:
    """Print tables, and lines as they are."""
    console = Console(highlight=False)
    if not os.environ.get("COLUMNS", "").strip("0").isdecimal():  # 0 is the width of a terminal that has no size
        console.width = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDEST
    for part in parts:
        if isinstance(part, str):
            console.print("\n".join(map(escape, part.split("\n"))), markup=False, soft_wrap=True)
            continue
        with console.capture() as captured:
            console.print(part)
        sys.stdout.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())
    sys.stdout.flush()


@contextlib.contextmanager
def waiting(text: str) -> Iterator[Callable[[str], None]]:
    """Show on a terminal that something takes a while, nothing elsewhere; yield a function that changes the text.

    What is logged meanwhile stands above it.
    """
    handlers = [each for each in logging.getLogger().handlers if type(each) is logging.StreamHandler]
    before = [handler.stream for handler in handlers]
    with Console(stderr=True).status(text) as status:
        for handler in handlers:
            handler.setStream(sys.stderr)
        try:
            yield status.update
        finally:
            for handler, stream in zip(handlers, before, strict=True):
                handler.setStream(stream)
