"""Tables of the documentation that a module writes between two comments: `<!-- NAME: COMMAND -->` and `<!-- /NAME -->`.

The document is also the store: what a module does not know anew, such as the last column that is written by hand, it
reads from the table that is there.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from slipway import repository, results
from slipway.errors import SlipwayError

DOCS = repository.ROOT / "docs"
Rows = dict[str, tuple[str, ...]]


def find_table(text: str, name: str) -> re.Match[str]:
    """Return the match of a table's lines in a document's text; SlipwayError without its markers."""
    if not (found := re.search(rf"(?<=<!-- {name}: )(.+ -->\n)(.*?)(?=<!-- /{name} -->)", text, re.DOTALL)):
        raise SlipwayError(f"the table {name} has lost its markers: <!-- {name}: COMMAND --> and <!-- /{name} -->")
    return found


def read_rows(text: str, name: str) -> Rows:
    """Return the cells of each row of a table after the first one, by the first one."""
    lines = find_table(text, name)[2].splitlines()[2:]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return {first: tuple(cells) for first, *cells in rows}


def replace_table(text: str, name: str, header: Sequence[str], rows: Rows) -> str:
    """Return a document's text with other rows in a table."""
    found = find_table(text, name)
    lines = [header, *([first, *cells] for first, cells in rows.items())]
    written = ["".join(f"| {cell} " if cell else "| " for cell in cells) + "|\n" for cells in lines]
    written.insert(1, "|---" * len(header) + "|\n")
    return text[: found.start(2)] + "".join(written) + text[found.end(2) :]


def write_document(file: Path, text: str) -> None:
    """Write a document whose text has changed."""
    if text != file.read_text(encoding="utf-8"):
        results.write(file, text)
        print(f"{file.relative_to(repository.ROOT)} is renewed", flush=True)
