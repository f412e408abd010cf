"""Run `python -m slipway.host`."""

from slipway.errors import run
from slipway.host.setup import main

run(main)
