"""Run `python -m slipway.scan`."""

from slipway.errors import run
from slipway.scan.scan import main

run(main)
