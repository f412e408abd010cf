"""What every test of Slipway itself needs."""

import signal

from tests.slipway.try_images import try_image as try_image


def pytest_configure() -> None:
    """Take Ctrl-C again: a run that a shell started in the background ignores it, and so would what the tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
