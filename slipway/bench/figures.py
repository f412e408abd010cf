"""Figures of `bench`: what was measured, its baseline from the same run, its goal, and the verdict."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.table import Table

from slipway.tables import Cell, make_table, paint


@dataclass(frozen=True)
class Goal:
    """The largest allowed value of a figure, of its ratio to the baseline, or of its difference from the baseline."""

    most: float
    limits: Literal["figure", "ratio", "difference"] = "figure"


@dataclass(frozen=True)
class Figure:
    """A measured value and its baseline, in the same unit and from the same run; the note says why one is missing."""

    what: str
    measured: float | None = None
    unit: str = "s"
    baseline: float | None = None
    against: str = ""
    noise: float | None = None  # (largest - smallest) / median of the ratio, over measurements in turns
    goal: Goal | None = None
    note: str = ""
    failed: bool = False

    @property
    def ratio(self) -> float | None:
        """The figure divided by its baseline; None without a baseline."""
        return self.measured / self.baseline if self.measured is not None and self.baseline else None

    @property
    def limited(self) -> float | None:
        """The value that the goal limits; None where it was not measured."""
        if self.goal is None or self.measured is None:
            return None
        if self.goal.limits == "difference":
            return None if self.baseline is None else self.measured - self.baseline
        return self.ratio if self.goal.limits == "ratio" else self.measured

    @property
    def verdict(self) -> str:
        """`met`, `MISSED`, `measured` without a goal to compare with, `not measured` or `failed`."""
        if self.failed:
            return "failed"
        if self.measured is None:
            return "not measured"
        if self.goal is None or self.limited is None:
            return "measured"
        return "met" if self.limited <= self.goal.most else "MISSED"

    def make_record(self) -> dict[str, Any]:
        """Return the figure for the file of a run."""
        return asdict(self) | {"ratio": self.ratio, "verdict": self.verdict}


def format_number(value: float | None, unit: str = "") -> str:
    """Return a number with two decimals below 100 and none above; a dash for None."""
    if value is None:
        return "-"
    return (f"{value:.0f}" if value >= 100 else f"{value:.2f}") + (f" {unit}" if unit else "")  # noqa: PLR2004


def format_goal(figure: Figure) -> str:
    """Return a goal as text: `<= 2 s`, `<= 2 x` the baseline, `<= +1 s` above it."""
    if figure.goal is None:
        return "-"
    sign = "+" if figure.goal.limits == "difference" else ""
    return f"<= {sign}{figure.goal.most:g} {'x' if figure.goal.limits == 'ratio' else figure.unit}"


def make_row(figure: Figure) -> list[str]:
    """Return a figure's row, the columns of HEADER."""
    return [
        figure.what,
        format_number(figure.measured, figure.unit),
        f"{format_number(figure.baseline, figure.unit)} {figure.against}".rstrip(),
        format_number(figure.ratio),
        format_goal(figure),
        f"{figure.verdict}: {figure.note}" if figure.note else figure.verdict,
    ]


HEADER = ["what", "measured", "baseline", "ratio", "goal", "verdict"]


def make_figures_table(figures: Iterable[Figure]) -> Table:
    """Return a table with a row for each figure."""
    rows: list[list[Cell]] = []
    for figure in figures:
        *cells, verdict = make_row(figure)
        rows.append([*cells, paint(verdict)])
    return make_table(HEADER, rows)
