"""Run `python -m slipway.scan`."""

import sys

from slipway.errors import run
from slipway.scan.scan import main

if __name__ == "__main__":
    sys.exit(run(main))
