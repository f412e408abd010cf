"""Functions for the sessions of noxfile.py: selection of images, errors, exit codes."""

import atexit
import contextlib
import io
import logging
import os
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import nox

from slipway import command_line, docker, junit, matrix, repository, results, tables
from slipway.build import images, record, rounds
from slipway.errors import SlipwayError, catch_signals
from slipway.host import ports
from slipway.matrix import Image, Matrix
from slipway.report import earlier_checks

INTERRUPT_SECONDS = 20  # for what nox starts to remove what it has made after Ctrl-C
NOT_SCANNED = 3  # the exit code of slipway.scan, and of nox

# Modules that provide what the tests need, with their options; where nobody can answer a question, it is a yes.
PROGRAMS = ("slipway.host", "--compose", "--browser", "--registry", *([] if os.isatty(0) else ["--yes"]))
TOOLS = ("slipway.tools", "buildkitd", "cosign", "crane", "syft", "trivy")
CI_TOOLS = (*TOOLS, "act")

# What `lock` renews besides the locks of packages.
AFTER_LOCKS = ("slipway.build.base_digests", "slipway.audit.wheel_records", "slipway.audit.npm_files")

# Tests that run in processes beside each other, those of a file in one: most wait for the engine, a registry or Go.
SPREAD = dict.fromkeys(("unit", "integration"), ("--numprocesses=2", "--dist=loadfile"))
# Options of pytest that need a terminal, which these processes have not.
INTERACTIVE = {"--pdb", "-s", "--capture=no"}

# What `tests -- --all` asks of pytest beyond `tests`, by session.
WHOLE = {"sabotage": "--all-checks", "integration": "--whole", "workflows": "--whole"}

# What a machine may set for Python and pytest: it would change what the sessions import and which checks run. noxw
# starts nox without. ROS, Spark and environment modules set the first.
INTRUDING = (
    *("PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "PYTHONOPTIMIZE", "PYTHONWARNINGS", "PYTHONINSPECT"),
    *("PYTHONIOENCODING", "PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD"),
)

Work = Callable[[Image, Namespace], None]

# nox logs to stderr: what sessions print keeps its place between those lines, also in a file or a log of CI.
if isinstance(sys.stdout, io.TextIOWrapper):
    sys.stdout.reconfigure(line_buffering=True)


class NotScannedError(SlipwayError):
    """A scan ended without a verdict about the image."""


def load_matrix() -> Matrix:
    """Return the matrix; end nox with one line when images.toml is wrong.

    From here on old sessions are explained, nox ends cleanly by other signals than Ctrl-C, too, and what it starts gets
    no variable that would change what it does.
    """
    catch_signals()
    for variable in (*INTRUDING, *docker.IGNORED):
        os.environ.pop(variable, None)
    try:
        loaded = matrix.load_matrix()
    except SlipwayError as error:
        sys.exit(f"error: {error}")
    logging.getLogger("nox").addFilter(partial(command_line.explain_old_sessions, loaded))
    return loaded


@contextlib.contextmanager
def clear_errors(session: nox.Session) -> Iterator[None]:
    """End the session with the message of a SlipwayError."""
    try:
        yield
    except SlipwayError as error:
        session.error(str(error).rstrip("."))


@contextlib.contextmanager
def explain(what: str) -> Iterator[None]:
    """Raise SlipwayError with this text where a command has failed, which has said why itself."""
    try:
        yield
    except nox.command.CommandFailed:
        raise SlipwayError(what) from None


def run_module(session: nox.Session, module: str, *words: str, codes: tuple[int, ...] = (0,)) -> None:
    """Run a module of Slipway in nox's own environment."""
    command = (sys.executable, "-m", module, *words)
    session.run(*command, external=True, success_codes=list(codes), interrupt_timeout=INTERRUPT_SECONDS)


def run_module_unlogged(session: nox.Session, module: str, python: str) -> None:
    """Run a module with the words after `--` by a Python: of its output nothing changes, and nothing is added."""
    command = (python, "-m", module, *session.posargs)
    is_nox = python == sys.executable
    session.run(*command, external=is_nox, log=False, stderr=None, interrupt_timeout=INTERRUPT_SECONDS)


def install(session: nox.Session, *locks: str) -> None:
    """Install what locks list into the session's environment, compiled.

    Where PYTHONDONTWRITEBYTECODE is set, each process of the session would compile all that it imports.
    """
    words = ("--quiet", "--require-hashes", *(f"--requirement=requirements/{lock}.txt" for lock in locks))
    session.install(*words, env={"UV_COMPILE_BYTECODE": "1"})


def prepare_tests(session: nox.Session) -> None:
    """Provide what the test sessions need; the tools are built while images are, after which they are needed."""
    run_module(session, *PROGRAMS)
    with (repository.ROOT / "dist" / "tools.log").open("w") as log:
        building = subprocess.Popen(["nice", sys.executable, "-m", *CI_TOOLS], stdout=log, stderr=log)
    atexit.register(building.wait)
    atexit.register(building.send_signal, signal.SIGINT)  # it then removes its caches


def read_options(session: nox.Session) -> Namespace:
    """Return the options after `--`."""
    with clear_errors(session):
        return command_line.read_options(session.posargs)


def read_images(session: nox.Session, matrix: Matrix, default: list[Image] | None = None) -> list[Image]:
    """Return the images named after `--`, or the default; without a default, those that are built."""
    with clear_errors(session):
        return command_line.choose_images(matrix, read_options(session), lambda: default or images.list_built(matrix))


def read_unchecked(session: nox.Session, matrix: Matrix) -> list[Image]:
    """Return the images to check: with --skip-passed without those whose checks need not run again, which it lists.

    Other results of these images are removed, so that nothing but this run's and what it takes over is left. A run of
    another image, of a part of the checks or with a GPU takes nothing over.
    """
    chosen, options = read_images(session, matrix), read_options(session)
    if not options.skip_passed or options.image or options.pytest or options.require_gpu:
        return chosen
    with clear_errors(session):
        passed = {image.name: finished for image in chosen if (finished := earlier_checks.find_passed(image))}
    for name, finished in passed.items():
        session.log(f"{name}: the same image passed the same checks on {finished:%Y-%m-%d at %H:%M} UTC")
    unchecked = [image for image in chosen if image.name not in passed]
    with clear_errors(session):
        for image in unchecked:
            results.remove(image.results / junit.WHOLE)
    return unchecked


def read_run(session: nox.Session, matrix: Matrix) -> tuple[Image, list[str], list[str]]:
    """Return the image to start, the command after its name, and the options that publish ports and make a terminal.

    A terminal's lines end in a carriage return, which has no place in a file or a pipe.
    """
    with clear_errors(session):
        image, options = command_line.read_run(matrix, session.posargs)
        warn_deprecated(session, image)
        published = ports.publish_options(image.ports, options.address)
    is_terminal = all(stream and stream.isatty() for stream in (sys.stdin, sys.stdout)) and session.interactive
    return image, options.command, [*published, *(["--tty"] if is_terminal else [])]


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


def make_tests_command(session: nox.Session, matrix: Matrix, name: str) -> list[str]:
    """Return the pytest command for a folder of tests, with the images named after `--`."""
    options = read_options(session)
    chosen = read_images(session, matrix) if options.images else []
    command = ["pytest", f"tests/{name}", "--quiet", f"--junit-xml=dist/{name}/tests.xml"]
    command += SPREAD.get(name, ()) if INTERACTIVE.isdisjoint(options.pytest) else ()
    return [*command, *(f"--on={image.name}" for image in chosen), *command_line.make_test_options(options)]


def run_for_each(session: nox.Session, chosen: list[Image], work: Work, *, at_a_time: int = 1) -> None:
    """Do the work for each image, also after a failure; at the end, fail with all failures.

    At a time for several images, the option `is_beside` is true: their output must not mix.
    """
    options = read_options(session)
    options.is_beside = at_a_time > 1 and len(chosen) > 1
    attempt = partial(attempt_work, work, options)
    if options.is_beside:
        # A workload has the most checks: as the last one it would run alone. The last flavor has the layers of the
        # others, which then need not be read again.
        workloads = [image for image in chosen if image.workload]
        chosen = workloads + [image for image in reversed(chosen) if not image.workload]
        with tables.waiting("") as show, ThreadPoolExecutor(at_a_time) as pool:
            errors = list(pool.map(tell_running(attempt, len(chosen), show), chosen))
    else:
        errors = [attempt(image) for image in chosen]
    if failed := {image.name: error for image, error in zip(chosen, errors, strict=True) if error}:
        fail_session(session, failed)


def attempt_work(work: Work, options: Namespace, image: Image) -> Exception | None:
    """Do the work for an image; return its error, if it fails."""
    try:
        work(image, options)
    except (SlipwayError, nox.command.CommandFailed) as error:
        return error
    return None


def tell_running(
    attempt: Callable[[Image], Exception | None], number: int, show: Callable[[str], None]
) -> Callable[[Image], Exception | None]:
    """Return an attempt that shows the images that are in work, and how many are done."""
    running: list[str] = []
    done: list[str] = []

    def update() -> None:
        show(f"{', '.join(running)}; {len(done)} of {number} done")

    def attempt_aloud(image: Image) -> Exception | None:
        running.append(image.name)
        update()
        try:
            return attempt(image)
        finally:
            running.remove(image.name)
            done.append(image.name)
            update()

    return attempt_aloud


def show_output(output: object) -> None:
    """Print what a command has written that ran beside others; nothing for one that was seen as it ran."""
    if isinstance(output, str):
        print(output, flush=True)


def fail_session(session: nox.Session, failed: Mapping[str, Exception]) -> None:
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


def add_whole(session: nox.Session, name: str) -> list[str]:
    """Return the options of a session of tests that `tests` is followed by: with --all it leaves nothing out."""
    return ["--", WHOLE[name]] if name in WHOLE and read_options(session).all else []


def list_staying(session: nox.Session, chosen: list[Image]) -> list[Image]:
    """Return the images that `tests` builds and checks in the sessions that follow it; with --all not all of them."""
    return rounds.list_staying(chosen) if read_options(session).all else chosen


def run_rounds(session: nox.Session, matrix: Matrix, chosen: list[Image]) -> None:
    """With --all, build and check the images that do not stay, a round at a time; fail where a round has failed.

    Without --all, say how many images are left out.
    """
    if not read_options(session).all:
        if left_out := len(matrix.images) - len(chosen):
            session.warn(f"{left_out} images are left out: nox -s tests -- --all")
        return
    failed: dict[str, Exception] = {}
    for each in rounds.plan_rounds(chosen):
        failed |= run_round(session, matrix, each)
    if failed:
        fail_session(session, failed)


def run_round(session: nox.Session, matrix: Matrix, chosen: list[Image]) -> dict[str, Exception]:
    """Build and check images, and remove those that were not there before; return the errors by command.

    Their results stay: the build cache gives a removed image again, with the same ID.
    """
    new = [image.tag for image in chosen if not images.is_built(image)]
    commands = (["build", "--"], rounds.add_below(matrix, chosen)), (["test", "--", "--skip-passed"], chosen)
    failed: dict[str, Exception] = {}
    try:
        for words, named in commands:
            command = [*words, *(image.name for image in named)]
            nox_again = (sys.executable, "-m", "nox", "-s", *command)
            try:
                session.run(*nox_again, external=True, interrupt_timeout=INTERRUPT_SECONDS)
            except nox.command.CommandFailed as error:
                failed[" ".join(command)] = error
    finally:
        if new:
            record.remove_tags(*new)
    return failed
