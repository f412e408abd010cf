"""The runs of `bench`, a line of JSON for each in dist/bench/history.jsonl, and what has become slower since."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from slipway import repository
from slipway.bench.figures import Figure, format_number
from slipway.errors import SlipwayError

FILE = Path("dist", "bench", "history.jsonl")
SAME = ("cores", "memory_gb", "engine", "storage_driver")  # what two runs must share for their figures to be compared

Run = Mapping[str, Any]


def read_runs() -> list[Run]:
    """Return the earlier runs, the oldest first; SlipwayError names a line that is none."""
    file = repository.ROOT / FILE
    if not file.is_file():
        return []
    runs = []
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            runs.append(require_run(json.loads(line)))
        except (ValueError, RecursionError):
            raise SlipwayError(f"{FILE}, line {number}, is no run of bench; delete the line, or the file") from None
    return runs


def require_run(content: object) -> Run:
    """Return a line's content; ValueError when it is no run."""
    match content:
        case {"machine": dict(), "figures": list(figures)} if all(map(is_figure, figures)):
            return cast("Run", content)
    raise ValueError("no run")


def is_figure(content: object) -> bool:
    """Tell whether this is a figure, with numbers for what is compared."""
    match content:
        case {"what": str(), **rest}:
            return all(isinstance(rest.get(name, 0), int | float | None) for name in ("noise", "ratio"))
    return False


def add_run(run: Run) -> None:
    """Append a run."""
    file = repository.ROOT / FILE
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as written:
            written.write(json.dumps(run) + "\n")
    except OSError as error:
        raise SlipwayError(f"cannot write {FILE}: {error.strerror}") from None


def list_worse(runs: Iterable[Run], machine: Mapping[str, Any], figures: Iterable[Figure]) -> Iterator[str]:
    """Yield a line for each ratio that has grown by more than its noise since the last run on such a machine."""
    before: dict[str, Mapping[str, Any]] = {}
    for run in runs:
        if all(run["machine"].get(name) == machine.get(name) for name in SAME):
            before |= {
                figure["what"]: figure for figure in run["figures"] if None not in map(figure.get, ("noise", "ratio"))
            }
    for figure in figures:
        last = before.get(figure.what)
        if not last or not last["ratio"] or not figure.ratio or figure.noise is None:
            continue
        noise = figure.noise + last["noise"]
        growth = figure.ratio / last["ratio"] - 1
        if growth > noise:
            ratios = f"{format_number(last['ratio'])} to {format_number(figure.ratio)}"
            yield f"{figure.what}: its ratio has grown from {ratios} ({growth:.0%}; noise {noise:.0%})"
