"""Run `python -m slipway.bench`."""

from slipway.bench.bench import main
from slipway.errors import run

if __name__ == "__main__":
    run(main)
