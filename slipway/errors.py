"""The error that users see: a message with the problem, its place and the remedy."""

import sys
from collections.abc import Callable
from typing import NoReturn


class SlipwayError(Exception):
    """An error that the user can fix; its text is the whole message."""


def run(main: Callable[[], int]) -> NoReturn:
    """Run a module's `main` and end the process: with its exit code, 1 after a SlipwayError, 130 after Ctrl-C."""
    try:
        sys.exit(main())
    except SlipwayError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
