"""Run a module and print its peak memory in KiB.

    python -m slipway.bench.peak_memory MODULE [ARGUMENT ...]

A separate process, because a child's peak starts with that of the process that it was forked from, and bench, which
reads images, is large. The exit code is the module's.
"""

import resource
import subprocess
import sys

if __name__ == "__main__":
    code = subprocess.run([sys.executable, "-m", *sys.argv[1:]], stdout=subprocess.DEVNULL, check=False).returncode
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
    sys.exit(code)
