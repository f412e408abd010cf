"""The peak memory of a test's own program."""

import re
from pathlib import Path


def read_peak_memory() -> int:
    """Return the peak memory of this process in MiB.

    From VmHWM of Linux: the peak that `getrusage` tells begins with that of the process that started this one, and
    pytest is large by then.
    """
    match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match
    return int(match[1]) // 1024
