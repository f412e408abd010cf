"""Run `python -m slipway.audit`."""

from slipway.audit.audit import main
from slipway.errors import run

if __name__ == "__main__":
    run(main)
