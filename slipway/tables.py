"""A table on the terminal, its columns as wide as they must be."""

from collections.abc import Sequence

NOTHING = "-"  # in place of a number that there is none of


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table; numbers stand flush right. All rows have the same number of cells."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(pad, row, widths)).rstrip() for row in rows]


def pad(cell: str, width: int) -> str:
    """Return a cell of a certain width."""
    return cell.rjust(width) if cell.isdigit() or cell == NOTHING else cell.ljust(width)
