"""The runs of `bench`, a line of JSON for each in dist/bench/history.jsonl, and what has become slower since."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

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
            runs.append(json.loads(line))
            runs[-1]["machine"], runs[-1]["figures"]
        except (ValueError, LookupError, TypeError):
            raise SlipwayError(f"{FILE}, line {number}, is no run of bench; delete the line, or the file") from None
    return runs


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
            before |= {figure["what"]: figure for figure in run["figures"] if figure.get("noise") is not None}
    for figure in figures:
        last = before.get(figure.what)
        if not last or not figure.ratio or figure.noise is None:
            continue
        noise = figure.noise + last["noise"]
        growth = figure.ratio / last["ratio"] - 1
        if growth > noise:
            ratios = f"{format_number(last['ratio'])} to {format_number(figure.ratio)}"
            yield f"{figure.what}: its ratio has grown from {ratios} ({growth:.0%}; noise {noise:.0%})"
