"""Run `python -m slipway.audit`."""

import sys

from slipway.audit.audit import main
from slipway.errors import run

if __name__ == "__main__":
    sys.exit(run(main))
