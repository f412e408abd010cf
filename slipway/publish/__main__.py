"""Run `python -m slipway.publish`."""

import sys

from slipway.errors import run
from slipway.publish.publish import main

if __name__ == "__main__":
    sys.exit(run(main))
