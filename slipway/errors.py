"""The one kind of error that a user sees: a message that says what is wrong, where, and what to do."""

import sys
from collections.abc import Callable


class SlipwayError(Exception):
    """Something that the user can mend; its text is the whole message."""


def run(main: Callable[[], int]) -> int:
    """Call a module's `main` and turn an error or Ctrl-C into a message and an exit code.

    Returns `main`'s own exit code, 1 after a SlipwayError, 130 after Ctrl-C.
    """
    try:
        return main()
    except SlipwayError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
