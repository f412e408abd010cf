"""Compares the contents of two images: which component, layer and line grew."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.table import Table

from slipway.report.contents_tables import format_mb, format_size, shorten, simplify_instruction
from slipway.tables import NOTHING, make_table, show

SHOWN = 15  # rows of a table

Json = Mapping[str, Any]


def compare(first: Json, second: Json) -> dict[str, Any]:
    """Return what differs between two images; the largest differences come first."""
    known = {layer["diff_id"] for layer in first["layers"]}
    shared = [layer for layer in second["layers"] if layer["diff_id"] in known]
    return {
        "images": [first["image"], second["image"]],
        "bytes": [first["bytes"], second["bytes"]],
        "shared": {"layers": len(shared), "bytes": sum(layer["bytes"] for layer in shared)},
        "components": compare_rows(
            first["components"],
            second["components"],
            name=lambda row: f"{row['kind']} {row['name']}",
            describe=lambda row: row["version"],
        ),
        "lines": compare_rows(
            first["layers"],
            second["layers"],
            name=lambda row: simplify_instruction(row["instruction"]),
            describe=lambda row: row["place"] or "",
        ),
        "gpu": compare_rows(first["gpu"], second["gpu"], lambda row: row["architecture"], lambda _: ""),
    }


def compare_rows(
    first: Iterable[Json], second: Iterable[Json], name: Callable[[Json], str], describe: Callable[[Json], str]
) -> list[dict[str, Any]]:
    """Return the rows of two images that differ in bytes or in their description, matched by name."""
    found: dict[str, dict[str, Any]] = {}
    for side, rows in enumerate((first, second)):
        for row in rows:
            entry = found.setdefault(name(row), {"name": name(row), "bytes": [0, 0], "details": ["", ""]})
            entry["bytes"][side] += row["bytes"]
            entry["details"][side] = describe(row)
    changed = (row for row in found.values() if len(set(row["bytes"])) > 1 or len(set(row["details"])) > 1)
    return sorted(changed, key=lambda row: (-abs(row["bytes"][1] - row["bytes"][0]), row["name"]))


def show_comparison(pair: Json) -> None:
    """Print the differences between two images."""
    (first, second), (before, after), shared = pair["images"], pair["bytes"], pair["shared"]
    show(
        f"from {first} to {second}: {format_size(before)} to {format_size(after)}, {(after - before) / 1e6:+,.1f} MB; "
        f"{shared['layers']} layers with {format_size(shared['bytes'])} are the same",
        _make_table(
            "component", "version", pair["components"], lambda row: (shorten(row["name"], 26), _join_versions(row))
        ),
        "",
        _make_table("line", "instruction", pair["lines"], lambda row: (_find_place(row), shorten(row["name"], 30))),
    )
    if pair["gpu"]:
        show("", _make_table("GPU code for", "", pair["gpu"], lambda row: (row["name"], "")))


def _make_table(first: str, second: str, rows: list[Json], describe: Callable[[Json], tuple[str, str]]) -> Table:
    """Return a table with the first rows, and a row for all others."""
    cells: list[tuple[str, ...]] = [(*describe(row), *_format_change(row["bytes"])) for row in rows[:SHOWN]]
    if rest := rows[SHOWN:]:
        sums = [sum(row["bytes"][side] for row in rest) for side in (0, 1)]
        cells.append((f"{len(rest):,} others", "", *_format_change(sums)))
    return make_table((first, second, "MB", "MB now", "change"), cells or [("no difference",)])


def _format_change(sizes: list[int]) -> tuple[str, str, str]:
    before, after = sizes
    return format_mb(before), format_mb(after), f"{(after - before) / 1e6:+,.1f}"


def _join_versions(row: Json) -> str:
    before, after = (shorten(text, 10) for text in row["details"])
    return before if before == after else f"{before or NOTHING} → {after or NOTHING}"


def _find_place(row: Json) -> str:
    before, after = row["details"]
    return after or before or NOTHING
