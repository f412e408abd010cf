"""Run `python -m slipway.publish`."""

from slipway.errors import run
from slipway.publish.command import main

if __name__ == "__main__":
    run(main)
