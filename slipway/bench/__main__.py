"""Run `python -m slipway.bench`."""

from slipway.bench.bench import main
from slipway.errors import run

run(main)
