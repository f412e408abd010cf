"""Run `python -m slipway.publish`."""

from slipway.errors import run
from slipway.publish.command import main

run(main)
