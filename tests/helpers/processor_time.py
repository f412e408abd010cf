"""The processor time of a command, which other programs on a busy machine do not change."""

import resource
import subprocess
from pathlib import Path


def run_timed(command: list[str | Path], folder: Path | None = None) -> tuple[str, float]:
    """Run a command that must succeed; return what it printed and the seconds that it and its children computed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return output, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
