"""Builds a broken image, runs the checks on it and compares the failed checks with the expected ones."""

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway import junit, matrix, repository
from slipway.docker import TEST_LABEL
from slipway.errors import SlipwayError
from slipway.host import downloads
from tests.sabotage import processes, selection
from tests.sabotage.cases import Case, any_change, is_named

# A repository of this run's own: two runs at once leave each other's images alone.
REPOSITORY = f"slipway-sabotage/{os.getpid()}"
LIMIT = 900  # seconds for one command
PASSED = "passed"
FAILED = "failed: "
NOT_RUN = "not run: "
SHOWN = 200  # characters of a check's message

Outcomes = dict[str, str]


@dataclass(frozen=True)
class Result:
    """The problem of a case, empty when exactly the expected checks fail; the counts of the other checks."""

    problem: str
    others: int
    others_run: int


def run_case(case: Case, *, whole: bool) -> Result:
    """Build the broken image, run its checks and compare; SlipwayError when that fails."""
    with broken_image(case) as reference:
        found = check(case, reference, whole=whole)
    return Result(compare(case, found.outcomes, whole=whole), found.others, found.others_run)


def is_built(name: str) -> bool:
    """Tell whether the engine has an image of the matrix."""
    return run("docker", "image", "inspect", matrix.load_matrix().find_image(name).tag).returncode == 0


def require_built(name: str) -> None:
    """Raise SlipwayError with the build command when an image is missing."""
    image = matrix.load_matrix().find_image(name)
    if not is_built(name):
        raise SlipwayError(f"there is no {image.tag} to break. Run: nox -s build -- {image.name}")


# --- the image -----------------------------------------------------------------------------------


@contextlib.contextmanager
def broken_image(case: Case) -> Iterator[str]:
    """Build the case's image and remove it afterwards; without instructions use the image unchanged."""
    whole = matrix.load_matrix().find_image(case.image).tag
    if not case.dockerfile:
        yield whole
        return
    tag = f"{REPOSITORY}:{case.tag}"
    try:
        build(tag, instructions(case, whole))
        yield tag
    finally:
        run("docker", "image", "rm", "--force", tag)


def build(tag: str, dockerfile: str) -> None:
    """Build with this host's settings for builds; of a Dockerfile on standard input, buildx would leave a copy."""
    settings = downloads.find(matrix.load_matrix().default_distro.suite)
    options = ["--quiet", "--load", "--provenance=false", "--network=none", f"--build-arg=FOLDER={repository.ROOT}"]
    options += [*settings.build_arguments(), f"--tag={tag}", f"--label={TEST_LABEL}="]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "Dockerfile").write_text(dockerfile, encoding="utf-8")
        built = run("docker", "buildx", "build", *options, folder, environment=settings.environment())
    if built.returncode:
        raise SlipwayError(f"the broken image could not be built:\n{built.stderr.strip()}")


def instructions(case: Case, whole: str) -> str:
    """Return the Dockerfile. It runs as root and restores the user, unless the fault is in the user."""
    lines = case.dockerfile
    if re.search(r"(?m)^(RUN|COPY|WORKDIR)", lines) and not re.search(r"(?m)^USER", lines):
        lines = f"USER 0:0\n{lines}\nUSER 1000:0"
    return f"FROM {whole}\n{lines}\n"


# --- the checks ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """The outcome of each check that ran, and the numbers of all and of run checks that the case does not break."""

    outcomes: Outcomes
    others: int
    others_run: int


def check(case: Case, reference: str, *, whole: bool) -> Run:
    """Run the checks that a case breaks, and all others or a sample of them, in a separate process."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "tests.xml"
        options = [f"--image={reference}", "--allow-not-run", f"--junit-xml={report}", "--tb=short"]
        options += ["-p", "tests.sabotage.selection", *(["--all-checks"] if whole else [])]
        options += [f"--case={case.name}"] if case.breaks else []
        finished = pytest(case, *options)
        if finished.returncode not in (0, 1) or not report.exists():
            raise SlipwayError(f"the checks ended with {finished.returncode}:\n{finished.stdout}{finished.stderr}")
        counts = [int(read_property(report, name)) for name in (selection.OTHERS, selection.RUN)]
        return Run(read_outcomes(report), *counts)


def collect(contract: str) -> set[str]:
    """Return the names of all checks of an image of the matrix."""
    finished = pytest(Case(contract, contract, contract), "--image=none", "--collect-only")
    if finished.returncode:
        raise SlipwayError(f"the checks of {contract} cannot be collected:\n{finished.stdout}{finished.stderr}")
    return set(re.findall(r"(?m)^tests/images/(.+::.+)$", finished.stdout))


def pytest(case: Case, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on tests/images, or on the part of it for a case."""
    paths = [f"tests/images/{name}" for name in case.paths] or ["tests/images"]
    # No check is a hypothesis test, and the import takes a third of the time of a collection.
    own = ["--quiet", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", f"--contract={case.contract}"]
    return processes.run_pytest(*own, *options, *paths, limit=LIMIT)


def read_outcomes(report: Path) -> Outcomes:
    """Return each check's outcome in words from pytest's JUnit file."""
    outcomes: Outcomes = {}
    for check in junit.read_report(report).checks:
        module, _, test = check.name.removeprefix("tests.images.").partition("::")
        name = f"{module.replace('.', '/')}.py::{test}"
        # A check that fails and then cannot clean up is there twice.
        if name not in outcomes or outcomes[name] == PASSED:
            word = {"passed": PASSED, "failed": FAILED, "not run": NOT_RUN}[check.outcome]
            outcomes[name] = word + " ".join(check.reason.split())[:SHOWN]
    return outcomes


def read_property(report: Path, name: str) -> str:
    """Return a property of a whole run, empty when it is missing or the report is damaged."""
    try:
        return junit.read_report(report).properties.get(name, "")
    except SlipwayError:
        return ""


# --- the comparison ------------------------------------------------------------------------------


def compare(case: Case, outcomes: Outcomes, *, whole: bool = True) -> str:
    """Return the checks that failed unexpectedly, and those that should have failed and did not."""
    lines = []
    may_fail = (*case.expected, *any_change()) if case.dockerfile else case.expected
    for name, outcome in outcomes.items():
        if outcome.startswith(FAILED) and not any(is_named(name, expected) for expected in may_fail):
            lines.append(f"  failed unexpectedly   {name}\n{' ' * 24}{outcome.removeprefix(FAILED)}")
    for expected in case.expected if whole else case.breaks:
        found = {name: outcome for name, outcome in outcomes.items() if is_named(name, expected)}
        lines += [
            f"  did not fail          {name}  ({found[name]})"
            for name in found
            if is_wrong(case, expected, found[name])
        ]
        if not found:
            lines.append(f"  is no check of it     {expected}")
    return "\n".join(lines)


def is_wrong(case: Case, expected: str, outcome: str) -> bool:
    """Tell whether an outcome contradicts the case. A check under `also` may fail or not be run."""
    return outcome == PASSED or (outcome.startswith(NOT_RUN) and expected in case.breaks)


def run(*command: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in the repository's folder and return its output; SlipwayError when it hangs."""
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LIMIT,
            check=False,
            cwd=repository.ROOT,
            env={**os.environ, **(environment or {})},
        )
    except subprocess.TimeoutExpired:
        raise SlipwayError(f"`{' '.join(command[:3])}` was ended after {LIMIT} s") from None
