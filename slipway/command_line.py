"""The words after `--` in a session's command: names of images and options, with the same meaning in each session."""

import argparse
import logging
import re
from collections.abc import Callable, Sequence
from typing import NoReturn

from slipway.errors import SlipwayError, suggest
from slipway.matrix import Image, Matrix

# The verbs of the old sessions and of the new ones.
VERBS = {"build": "build", "test": "test", "run": "run", "sbom": "audit", "audit": "audit", "scan": "scan"}
OLD_NAMES = {"test-slipway": "nox -s unit integration"}
NOT_FOUND = "Sessions not found: "  # nox's own message


class Parser(argparse.ArgumentParser):
    """A parser whose errors are SlipwayErrors."""

    def error(self, message: str) -> NoReturn:
        """Raise the message as a SlipwayError."""
        raise SlipwayError(message)


def make_parser() -> Parser:
    """Return the parser for every session about images."""
    parser = Parser(prog="nox -s SESSION --", allow_abbrev=False)
    parser.add_argument("images", metavar="IMAGE", nargs="*", help="an image of images.toml, such as cuda13.2-devel")
    parser.add_argument("--all", action="store_true", help="every image of images.toml")
    parser.add_argument("--platform", metavar="NAME", help="take the image of another platform: linux/arm64")
    build = parser.add_argument_group("build")
    build.add_argument("--print", action="store_true", help="print a definition for docker buildx bake; build nothing")
    build.add_argument("--no-cache", action="store_true", help="build every layer anew")
    build.add_argument("--pull", action="store_true", help="refresh the base image first")
    build.add_argument("--builder", metavar="NAME", help="build by this builder of docker buildx")
    build.add_argument("--cache-from", metavar="HOST/NAME", help="read the layer cache of each image there")
    build.add_argument("--cache-to", metavar="HOST/NAME", help="write it there; takes another builder than the engine")
    build.add_argument("--push", metavar="HOST/NAME", help="push the image there, without its results")
    test = parser.add_argument_group("test; pytest's own options follow a second --")
    test.add_argument("--image", metavar="REF", help="test this image instead of the one built here")
    test.add_argument(
        "--derived", action="store_true", help="--image is built FROM it: leave out what only it can pass"
    )
    test.add_argument("--require-gpu", action="store_true", help="GPU checks fail on a machine without a GPU")
    test.add_argument("--allow-not-run", action="store_true", help="succeed although checks were not run")
    test.add_argument("--skip-passed", action="store_true", help="leave out what passed today: same image, same checks")
    parser.set_defaults(is_beside=False)  # whether sessions.run_for_each does the work for another image meanwhile
    scan = parser.add_argument_group("scan")
    scan.add_argument("--db-repository", metavar="REF", help="a mirror of Trivy's vulnerability database")
    scan.add_argument("--database", metavar="FOLDER", help="a cache folder of Trivy's with its database")
    scan.add_argument("--vex", metavar="FILE", action="append", default=[], help="a VEX document; may be repeated")
    scan.add_argument("--allow-not-scanned", action="store_true", help="succeed although an image was not scanned")
    return parser


def read_options(words: Sequence[str]) -> argparse.Namespace:
    """Return the names and options; `pytest` has the words after a second `--`.

    SlipwayError suggests close options to an unknown one, and refuses --derived without --image.
    """
    own = list(words[: words.index("--")]) if "--" in words else list(words)
    parser = make_parser()
    options, unknown = parser.parse_known_intermixed_args(own)
    if unknown:
        known = [option for action in parser._actions for option in action.option_strings]  # noqa: SLF001
        close = suggest(unknown[0], known)
        where = "--help lists all, and a session of tests takes pytest's after a second --"
        raise SlipwayError(f"there is no option {unknown[0]}{close}; {where}")
    if options.derived and not options.image:
        raise SlipwayError("--derived is about another image: NAME --image REF --derived")
    options.pytest = list(words[len(own) + 1 :])
    return options


def choose_images(matrix: Matrix, options: argparse.Namespace, default: Callable[[], list[Image]]) -> list[Image]:
    """Return the images named in the options, in the matrix's order; the default images without any name.

    SlipwayError when a name is unknown, or when --image comes with several images.
    """
    wanted = {matrix.find_image(name).name for name in options.images}
    named = [image for image in matrix.images if image.name in wanted or options.all]
    images = named or default()
    if options.image and len(images) != 1:
        raise SlipwayError(f"--image takes one contract: NAME --image {options.image}")
    return [matrix.find_for_platform(image, options.platform) for image in images] if options.platform else images


def read_run(matrix: Matrix, words: Sequence[str]) -> tuple[Image, argparse.Namespace]:
    """Return the image to start; and `address` to publish its ports on, before its name, and `command`, after it."""
    parser = Parser(prog="nox -s run --", usage="%(prog)s [--address IP] IMAGE [COMMAND...]", allow_abbrev=False)
    parser.add_argument("--address", metavar="IP", default="127.0.0.1", help="of this machine; 0.0.0.0: every one")
    parser.add_argument("image", metavar="IMAGE", help="an image of images.toml, such as cpu-base")
    parser.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER, help="what to run in it")
    try:
        options = parser.parse_args(words)
    except SlipwayError as error:
        raise SlipwayError(f"{error}; name an image to start, options before it: nox -s run -- cpu-base") from None
    if options.command and options.command[0].startswith("--address"):
        raise SlipwayError(f"--address comes before the image: nox -s run -- --address IP {options.image}")
    return matrix.find_image(options.image), options


def refuse_names(session: str, options: argparse.Namespace) -> None:
    """Raise SlipwayError when images are named for a session that has its own."""
    if options.images or options.all:
        verb, _, variant = session.partition("(")[0].partition("-")
        # A flavor alone is meant to be one of the session's variant.
        names = [name if "-" in name else f"{variant}-{name}" for name in options.images]
        raise SlipwayError(f"{session} takes no names of images: nox -s {verb} -- {' '.join(names) or '--all'}")


def make_build_options(image: Image, options: argparse.Namespace) -> list[str]:
    """Return the options of `docker buildx build`; the cache of an image is a tag of its own."""
    words = ["--no-cache"] if options.no_cache else []
    if options.builder:
        words.append(f"--builder={options.builder}")
    if options.cache_from:
        words.append(f"--cache-from=type=registry,ref={options.cache_from}:{image.name}")
    if options.cache_to:
        words.append(f"--cache-to=type=registry,ref={options.cache_to}:{image.name},mode=max")
    return words


def make_test_options(options: argparse.Namespace) -> list[str]:
    """Return the options of pytest for the checks of an image."""
    flags = {
        "--derived": options.derived,
        "--require-gpu": options.require_gpu,
        "--allow-not-run": options.allow_not_run,
    }
    return [*(flag for flag, is_given in flags.items() if is_given), *options.pytest]


def make_audit_options(image: Image, options: argparse.Namespace) -> list[str]:
    """Return the options of `python -m slipway.audit`."""
    return [image.name, *([f"--image={options.image}"] if options.image else [])]


def make_scan_options(options: argparse.Namespace) -> list[str]:
    """Return the options of `python -m slipway.scan`; SlipwayError for --image, whose scan would be another image's."""
    if options.image:
        raise SlipwayError("scan takes no --image: give the image a name of the matrix by docker tag, and name that")
    words = {"--db-repository": options.db_repository, "--database": options.database}
    given = [f"{name}={value}" for name, value in words.items() if value]
    given += [f"--vex={file}" for file in options.vex]
    return [*given, *(["--allow-not-scanned"] if options.allow_not_scanned else [])]


# --- names of earlier sessions -------------------------------------------------------------------


def replace_session(matrix: Matrix, name: str) -> str:
    """Return what to use in place of an old session, such as `build-cuda13.2(devel)`, or of an image's name.

    Empty for an unknown name.
    """
    if name in OLD_NAMES:
        return OLD_NAMES[name]
    known = {image.name for image in matrix.images}
    if name in known:
        return f"-- before names of images, as in nox -s build -- {name}"
    parts = re.fullmatch(r"(\w+)-([^()]+)(?:\((.+)\))?", name)
    if not parts or parts[1] not in VERBS:
        return ""
    verb, group, one = VERBS[parts[1]], parts[2], parts[3]
    if group == "workloads":
        images = [image.name for image in matrix.workloads if one in (None, image.name)]
    elif group in matrix.variants:
        images = [image.name for flavor, image in matrix.variants[group].images.items() if one in (None, flavor)]
    elif group in known:
        images = [group]
    else:
        return ""
    names = f"NAME, NAME being {' or '.join(images)}" if verb == "run" and len(images) > 1 else " ".join(images)
    return f"nox -s {verb} -- {names}" if images else ""


def explain_old_sessions(matrix: Matrix, record: logging.LogRecord) -> bool:
    """Add the new commands to nox's message about sessions that do not exist, as a filter that keeps every record."""
    message = str(record.msg)
    if message.startswith(NOT_FOUND):
        commands = {name: replace_session(matrix, name) for name in message.removeprefix(NOT_FOUND).split(", ")}
        lines = [f"{name}: use {command}" for name, command in commands.items() if command]
        record.msg = "\n".join([message, *lines])
    return True
