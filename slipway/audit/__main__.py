"""Run `python -m slipway.audit`."""

from slipway.audit.audit import main
from slipway.errors import run

run(main)
