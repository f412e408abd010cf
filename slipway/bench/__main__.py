"""Run `python -m slipway.bench`."""

import sys

from slipway.bench.bench import main
from slipway.errors import run

if __name__ == "__main__":
    sys.exit(run(main))
