"""Prints what an image consists of, within 80 columns: its layers, largest components, waste and GPU code."""

from collections.abc import Iterable, Mapping
from typing import Any

from slipway.tables import NOTHING, make_table, show

COMPONENTS = 15  # that are shown; contents.json has all
WIDTH = 44  # characters of a name or an instruction
SMALL = 0.001  # of the image: waste below it is not shown by file

Json = Mapping[str, Any]


def show_contents(contents: Json) -> None:
    """Print the tables of an image."""
    size = contents["bytes"]
    stored = contents["compressed_bytes"]
    compressed = f", {format_size(stored)} compressed" if stored is not None else ""
    show(
        f"{contents['image']}: {format_size(size)} in {len(contents['layers'])} layers{compressed}, "
        f"{contents['platform']}, efficiency {contents['efficiency']:.4f}",
        make_table(("layer", "MB", "compressed", "line", "instruction"), list(make_layer_rows(contents["layers"]))),
        "",
        make_table(("component", "kind", "version", "MB", "%"), list(make_component_rows(contents))),
        *contents["notes"],
        "",
        make_table(("waste", "files", "MB", "largest"), list(make_waste_rows(contents["waste"], size))),
    )
    if contents["gpu"]:
        rows = [
            (row["architecture"], f"{row['files']:,}", format_mb(row["bytes"]), format_percent(row["bytes"], size))
            for row in contents["gpu"]
        ]
        show("", make_table(("GPU code for", "files", "MB", "%"), rows))
    show("")


def make_layer_rows(layers: Iterable[Json]) -> Iterable[tuple[str, ...]]:
    """Yield a row for each layer."""
    for number, layer in enumerate(layers):
        stored = layer["compressed_bytes"]
        yield (
            str(number),
            format_mb(layer["bytes"]),
            NOTHING if stored is None else format_mb(stored),
            layer["place"] or NOTHING,
            shorten(simplify_instruction(layer["instruction"]), WIDTH - 16),
        )


def make_component_rows(contents: Json) -> Iterable[tuple[str, ...]]:
    """Yield a row for each of the largest components, and one for all others."""
    every, size = contents["components"], contents["bytes"]
    for row in every[:COMPONENTS]:
        name, version = shorten(row["name"], 32), shorten(row["version"], 18)
        yield name, row["kind"], version, format_mb(row["bytes"]), format_percent(row["bytes"], size)
    if others := every[COMPONENTS:]:
        rest = sum(row["bytes"] for row in others)
        yield f"{len(others):,} others", "", "", format_mb(rest), format_percent(rest, size)


def make_waste_rows(waste: Iterable[Json], size: int) -> Iterable[tuple[str, ...]]:
    """Yield a row for each kind of waste."""
    for row in waste:
        largest = row["largest"][0][0] if row["bytes"] > SMALL * size else ""
        yield row["kind"], f"{row['files']:,}", format_mb(row["bytes"]), shorten(largest)


def simplify_instruction(text: str) -> str:
    """Return an instruction as it is written, without its shell and the build arguments that are recorded with it."""
    head, found, command = text.removesuffix("# buildkit").strip().partition("/bin/sh -c ")
    if not found or (not head.startswith(("RUN", "|")) and head):
        return head + found + command
    return command.removeprefix("#(nop)").strip() if command.startswith("#(nop)") else f"RUN {command}"


def format_size(size: int) -> str:
    """Return a size in MB or GB."""
    return f"{size / 1e9:.2f} GB" if size >= 10**9 else f"{size / 1e6:.1f} MB"


def format_mb(size: int) -> str:
    """Return the megabytes of a size."""
    return f"{size / 1e6:,.1f}"


def format_percent(size: int, whole: int) -> str:
    """Return a part of a whole, in percent."""
    return f"{100 * size / whole:.1f}" if whole else NOTHING


def shorten(text: str, width: int = WIDTH) -> str:
    """Return a text of at most some characters."""
    return text if len(text) <= width else f"{text[: width - 1]}…"
