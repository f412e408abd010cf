"""Compares the contents of two images: which component, layer and line grew."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from slipway.report.contents_tables import format_mb, format_size, shorten, simplify_instruction
from slipway.tables import NOTHING, make_table, show

SHOWN = 15  # rows of a table

Json = Mapping[str, Any]
Rows = list[tuple[str, ...]]


def compare(first: Json, second: Json) -> dict[str, Any]:
    """Return what differs between two images; the largest differences come first."""
    known = {layer["diff_id"] for layer in first["layers"]}
    shared = [layer for layer in second["layers"] if layer["diff_id"] in known]
    return {
        "images": [first["image"], second["image"]],
        "bytes": [first["bytes"], second["bytes"]],
        "shared": {"layers": len(shared), "bytes": sum(layer["bytes"] for layer in shared)},
        "components": compare_rows(first["components"], second["components"], _name_component, _show_component),
        "lines": compare_rows(first["layers"], second["layers"], _name_layer, _show_layer),
        "gpu": compare_rows(first["gpu"], second["gpu"], lambda row: str(row["architecture"]), lambda _: ""),
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


def _name_component(row: Json) -> str:
    return f"{row['kind']} {row['name']}"


def _name_layer(row: Json) -> str:
    return simplify_instruction(row["instruction"])


def _show_component(row: Json) -> str:
    return str(row["version"])


def _show_layer(row: Json) -> str:
    return str(row["place"] or "")


def show_comparison(pair: Json) -> None:
    """Print the differences between two images."""
    (first, second), (before, after), shared = pair["images"], pair["bytes"], pair["shared"]
    show(
        f"from {first} to {second}: {format_size(before)} to {format_size(after)}, {(after - before) / 1e6:+,.1f} MB; "
        f"{shared['layers']} layers with {format_size(shared['bytes'])} are the same",
        make_table(("component", "version", "MB", "MB now", "change"), _make_rows(pair["components"], _join_versions)),
        "",
        make_table(("line", "instruction", "MB", "MB now", "change"), _make_lines(pair["lines"])),
    )
    if pair["gpu"]:
        show("", make_table(("GPU code for", "", "MB", "MB now", "change"), _make_rows(pair["gpu"], lambda _: "")))


def _make_rows(rows: list[Json], detail: Callable[[Json], str]) -> Rows:
    shown: Rows = [(shorten(row["name"], 26), detail(row), *_format_change(row["bytes"])) for row in rows[:SHOWN]]
    return _add_rest(rows, shown)


def _make_lines(rows: list[Json]) -> Rows:
    shown: Rows = [
        (row["details"][1] or row["details"][0] or NOTHING, shorten(row["name"], 30), *_format_change(row["bytes"]))
        for row in rows[:SHOWN]
    ]
    return _add_rest(rows, shown)


def _add_rest(rows: list[Json], shown: Rows) -> Rows:
    """Add a row for those that are not shown."""
    rest = rows[SHOWN:]
    if rest:
        sums = [sum(row["bytes"][side] for row in rest) for side in (0, 1)]
        shown.append((f"{len(rest):,} others", "", *_format_change(sums)))
    return shown or [("no difference",)]


def _format_change(sizes: list[int]) -> tuple[str, str, str]:
    before, after = sizes
    return format_mb(before), format_mb(after), f"{(after - before) / 1e6:+,.1f}"


def _join_versions(row: Json) -> str:
    before, after = (shorten(text, 10) for text in row["details"])
    return before if before == after else f"{before or NOTHING} → {after or NOTHING}"
