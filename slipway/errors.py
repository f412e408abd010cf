"""The error that users see: a message with the problem, its place and the remedy."""

import contextlib
import difflib
import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

ENDING = (signal.SIGTERM, signal.SIGHUP)


class SlipwayError(Exception):
    """An error that the user can fix; its text is the whole message."""


def suggest(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean a, b?` with the words close to this one, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=3)
    return f"; did you mean {', '.join(close)}?" if close else ""


def catch_signals() -> None:
    """Let SIGTERM and SIGHUP end this process as Ctrl-C does, so that it removes what it has made meanwhile.

    `timeout`, CI and a terminal that is closed send them. Those that are ignored, as below nohup, stay so.
    """
    for number in ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, interrupt)


def interrupt(number: int, _: object) -> NoReturn:
    """Raise KeyboardInterrupt, once, and send the signal on: a terminal's Ctrl-C reaches what was started, too.

    `timeout` sends its signal to all of them, so that they get it twice; Ctrl-C ends them at once.
    """
    for each in ENDING:
        signal.signal(each, lambda *_: None)
    for file in Path("/proc/self/task").glob("*/children"):  # of each thread, on Linux
        with contextlib.suppress(OSError):  # a child has ended meanwhile, or is root's
            for child in file.read_text(encoding="utf-8").split():
                os.kill(int(child), number)
    raise KeyboardInterrupt


def run(main: Callable[[], int]) -> NoReturn:
    """Run a module's `main` and end the process: with its exit code, 1 after a SlipwayError, 130 after Ctrl-C.

    A module that is ended by another signal ends as after Ctrl-C. 141, a shell's code for SIGPIPE, where the reader of
    the output has ended before, such as `head`.
    """
    catch_signals()
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - None: closed
    try:
        code = main()
        sys.stdout.flush()
        sys.exit(code)
    except SlipwayError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python fails again as it ends
        sys.exit(141)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
