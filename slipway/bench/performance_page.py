"""docs/performance.md: the figures of a run of `bench`, with their goals and the machine."""

from collections.abc import Iterable

from slipway.bench.figures import HEADER, Figure, make_row
from slipway.report import markdown_tables

PAGE = markdown_tables.DOCS / "performance.md"


def write_page(figures: Iterable[Figure], date: str, machine: str) -> None:
    """Write the tables of the page: the machine, and the figures that were measured or have a goal."""
    rows = [make_row(figure) for figure in figures if figure.measured is not None or figure.goal]
    text = PAGE.read_text(encoding="utf-8")
    text = markdown_tables.replace_table(text, "machine", ["date", "machine"], {date: (machine,)})
    text = markdown_tables.replace_table(text, "bench", HEADER, {first: tuple(cells) for first, *cells in rows})
    markdown_tables.write_document(PAGE, text)
