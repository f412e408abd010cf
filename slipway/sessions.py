"""Functions for the sessions of noxfile.py: selection of images, errors, exit codes."""

import contextlib
import logging
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator

import nox

from slipway import command_line, matrix, results
from slipway.build import images
from slipway.errors import SlipwayError
from slipway.host import ports
from slipway.matrix import Image, Matrix

NOT_SCANNED = 3  # the exit code of slipway.scan, and of nox

# Modules that provide what the tests need, with their options; where nobody can answer a question, it is a yes.
PROGRAMS = ("slipway.host", "--compose", "--browser", "--registry", *([] if os.isatty(0) else ["--yes"]))
TOOLS = [("slipway.tools", name) for name in ("buildkitd", "syft", "trivy")]

Work = Callable[[Image, Namespace], None]


class NotScannedError(SlipwayError):
    """A scan ended without a verdict about the image."""


def load_matrix() -> Matrix:
    """Return the matrix; end nox with one line when images.toml is wrong. From here on old sessions are explained."""
    try:
        loaded = matrix.load_matrix()
    except SlipwayError as error:
        sys.exit(f"error: {error}")
    logging.getLogger("nox").addFilter(command_line.OldSessions(loaded))
    return loaded


@contextlib.contextmanager
def clear_errors(session: nox.Session) -> Iterator[None]:
    """End the session with the message of a SlipwayError."""
    try:
        yield
    except SlipwayError as error:
        session.error(str(error).rstrip("."))


def read_options(session: nox.Session) -> Namespace:
    """Return the options after `--`."""
    with clear_errors(session):
        return command_line.read_options(session.posargs)


def read_images(session: nox.Session, matrix: Matrix, default: list[Image] | None = None) -> list[Image]:
    """Return the images named after `--`, or the default; without a default, those that are built."""
    with clear_errors(session):
        return command_line.choose_images(matrix, read_options(session), lambda: default or images.list_built(matrix))


def read_run(session: nox.Session, matrix: Matrix) -> tuple[Image, list[str], list[str]]:
    """Return the image to start, the command that follows its name, and the options that publish its ports."""
    with clear_errors(session):
        image, options = command_line.read_run(matrix, session.posargs)
        return image, options.command, ports.publish_options(image.ports, options.address)


def warn_deprecated(session: nox.Session, image: Image) -> None:
    """Print the deprecation notice of an image."""
    if image.variant.deprecated:
        session.warn(f"{image.name} is {image.variant.deprecated}")


def run_for_flavor(session: nox.Session, matrix: Matrix, image: Image, work: Work) -> None:
    """Do the work for the image of a parametrized session, which takes no names."""
    options = read_options(session)
    with clear_errors(session):
        command_line.refuse_names(session.name, options)
        [chosen] = command_line.choose_images(matrix, options, lambda: [image])
        work(chosen, options)


def run_for_each(session: nox.Session, chosen: list[Image], work: Work) -> None:
    """Do the work for each image, also after a failure; at the end, fail with all failures."""
    options = read_options(session)
    failed: dict[str, Exception] = {}
    for image in chosen:
        try:
            work(image, options)
        except (SlipwayError, nox.command.CommandFailed) as error:
            failed[image.name] = error
    if failed:
        fail_session(session, failed)


def fail_session(session: nox.Session, failed: dict[str, Exception]) -> None:
    """Fail the session; end nox with exit code 3 where images were not scanned and nothing else has failed."""
    # nox itself has one exit code for failures. A session before this one may have failed, too.
    before = [each.result for each, _ in session._runner.manifest.list_all_sessions()]  # noqa: SLF001
    is_scan = all(isinstance(error, NotScannedError) for error in failed.values())
    if is_scan and all(result is None or result for result in before):
        print(f"not scanned: {', '.join(failed)}", file=sys.stderr)
        sys.exit(NOT_SCANNED)
    session.error("; ".join(f"{name}: {error}" for name, error in failed.items()))


def require_scanned(image: Image) -> None:
    """Raise NotScannedError after a scan that could not be done, unless that was allowed."""
    result = results.read_json(image.results / "scan.json")
    if result.get("verdict") == "not scanned" and not result["allow_not_scanned"]:
        raise NotScannedError("not scanned")
