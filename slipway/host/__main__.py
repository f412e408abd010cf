"""Run `python -m slipway.host`."""

import sys

from slipway.errors import run
from slipway.host.setup import main

if __name__ == "__main__":
    sys.exit(run(main))
