"""The runs of `bench`, a line of JSON for each in dist/bench/history.jsonl, and what has become slower since."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from slipway import repository, results
from slipway.bench.figures import Figure, format_number
from slipway.errors import SlipwayError

FILE = Path("dist", "bench", "history.jsonl")
SAME = ("cores", "memory_gb", "engine", "storage_driver")  # what two runs must share for their figures to be compared


class Compared(BaseModel):
    """What is compared of a figure."""

    what: str
    ratio: float | None = None
    noise: float | None = None


class Run(BaseModel):
    """An earlier run, with the keys that are read."""

    machine: dict[str, Any]
    figures: list[Compared]


def read_runs() -> list[Run]:
    """Return the earlier runs, the oldest first; SlipwayError names a line that is none."""
    runs = []
    for number, line in enumerate(read_lines(), 1):
        try:
            runs.append(Run.model_validate_json(line))
        except ValidationError:
            raise SlipwayError(f"{FILE}, line {number}, is no run of bench; delete the line, or the file") from None
    return runs


def add_run(run: Mapping[str, Any]) -> None:
    """Append a run."""
    results.write(repository.ROOT / FILE, "".join(f"{line}\n" for line in [*read_lines(), json.dumps(run)]))


def read_lines() -> list[str]:
    """Return the lines of the history, also of a damaged one."""
    file = repository.ROOT / FILE
    return file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []


def list_worse(runs: Iterable[Run], machine: Mapping[str, Any], figures: Iterable[Figure]) -> Iterator[str]:
    """Yield a line for each ratio that has grown by more than its noise since the last run on such a machine."""
    before: dict[str, tuple[float, float]] = {}
    for run in runs:
        if all(run.machine.get(name) == machine.get(name) for name in SAME):
            before |= {
                each.what: (each.ratio, each.noise)
                for each in run.figures
                if each.ratio is not None and each.noise is not None
            }
    for figure in figures:
        last, last_noise = before.get(figure.what, (0, 0))
        if not last or not figure.ratio or figure.noise is None:
            continue
        noise = figure.noise + last_noise
        growth = figure.ratio / last - 1
        if growth > noise:
            ratios = f"{format_number(last)} to {format_number(figure.ratio)}"
            yield f"{figure.what}: its ratio has grown from {ratios} ({growth:.0%}; noise {noise:.0%})"
