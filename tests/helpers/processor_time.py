"""The processor time of a command, which does not depend on other programs of a busy machine."""

import resource
import subprocess
from pathlib import Path


def run_timed(command: list[str | Path], folder: Path | None = None) -> tuple[str, float]:
    """Run a command that must succeed; return its output and the processor seconds of it and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return output, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
