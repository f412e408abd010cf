"""Builds a broken image, runs the checks on it and compares what failed with what had to fail."""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from slipway import junit, matrix
from slipway.errors import SlipwayError
from slipway.host import downloads
from tests.sabotage.cases import Case, means, not_shown

# A repository of this run's own: two runs at once leave each other's images alone.
REPOSITORY = f"slipway-sabotage/{os.getpid()}"
PATIENCE = 900  # seconds for one command
PASSED = "passed"
FAILED = "failed: "
NOT_RUN = "not run: "
SHOWN = 200  # characters of a check's message

Outcomes = dict[str, str]


def find_problem(case: Case) -> str:
    """Return what is not as the case says, empty when exactly the expected checks fail."""
    require_built(case.image)
    with broken_image(case) as reference:
        return compare(case, check(case, reference))


def is_built(name: str) -> bool:
    """Tell whether the engine has an image of the matrix."""
    return run("docker", "image", "inspect", matrix.load_matrix().find_image(name).tag).returncode == 0


def require_built(name: str) -> None:
    """Raise an error that names the build session when an image is not there."""
    image = matrix.load_matrix().find_image(name)
    if not is_built(name):
        raise SlipwayError(f"there is no {image.tag} to break. Run: nox -s build -- {image.name}")


# --- the image -----------------------------------------------------------------------------------


@contextlib.contextmanager
def broken_image(case: Case) -> Iterator[str]:
    """Build the case's image and remove it afterwards; a case without instructions takes the image as it is."""
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
    """Build from standard input, with what builds on this host are lent."""
    settings = downloads.find(matrix.load_matrix().default_distro.suite)
    options = ["--quiet", "--load", "--provenance=false", "--network=none", f"--build-arg=FOLDER={matrix.ROOT}"]
    options += [*settings.build_arguments(), f"--tag={tag}"]
    built = run("docker", "buildx", "build", *options, "-", data=dockerfile, environment=settings.environment())
    if built.returncode:
        raise SlipwayError(f"the broken image could not be built:\n{built.stderr.strip()}")


def instructions(case: Case, whole: str) -> str:
    """Return the Dockerfile. It works as root and gives the user back, unless the user is what it breaks."""
    lines = case.dockerfile
    if re.search(r"(?m)^(RUN|COPY|WORKDIR)", lines) and not re.search(r"(?m)^USER", lines):
        lines = f"USER 0:0\n{lines}\nUSER 1000:0"
    return f"FROM {whole}\n{lines}\n"


# --- the checks ----------------------------------------------------------------------------------


def check(case: Case, reference: str) -> Outcomes:
    """Run the image's checks in a process of their own and return each one's outcome."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "tests.xml"
        options = [f"--image={reference}", "--allow-not-run", f"--junit-xml={report}", "--tb=short"]
        # What needs a GPU would fail beside the others where there is one.
        options += [f"--deselect=tests/images/{name}" for name in not_shown()]
        finished = pytest(case, *options)
        if finished.returncode not in (0, 1) or not report.exists():
            raise SlipwayError(f"the checks ended with {finished.returncode}:\n{finished.stdout}{finished.stderr}")
        return read_outcomes(report)


def collect(contract: str) -> set[str]:
    """Return the names of all checks of an image of the matrix."""
    finished = pytest(Case(contract, contract, contract), "--image=none", "--collect-only")
    if finished.returncode:
        raise SlipwayError(f"the checks of {contract} cannot be collected:\n{finished.stdout}{finished.stderr}")
    return set(re.findall(r"(?m)^tests/images/(.+::.+)$", finished.stdout))


def pytest(case: Case, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on the folders of tests/images that concern a case."""
    folders = [f"tests/images/{name}" for name in case.folders]
    folders = folders or [
        str(folder.relative_to(matrix.ROOT)) for folder in matrix.load_matrix().find_image(case.contract).checks
    ]
    own = ["--quiet", "-p", "no:cacheprovider", f"--contract={case.contract}"]
    return run(sys.executable, "-m", "pytest", *own, *options, *folders)


def read_outcomes(report: Path) -> Outcomes:
    """Return each check's outcome in words from the XML that pytest wrote."""
    outcomes: Outcomes = {}
    for check in junit.read_report(report).checks:
        module, _, test = check.name.removeprefix("tests.images.").partition("::")
        name = f"{module.replace('.', '/')}.py::{test}"
        # A check that fails and then cannot clean up is there twice.
        if name not in outcomes or outcomes[name] == PASSED:
            word = {"passed": PASSED, "failed": FAILED, "not run": NOT_RUN}[check.outcome]
            outcomes[name] = word + " ".join(check.reason.split())[:SHOWN]
    return outcomes


def tested_image(report: Path) -> str:
    """Return the ID of the image that a report is about, empty when it does not say so or is damaged."""
    try:
        return junit.read_report(report).image
    except SlipwayError:
        return ""


# --- the comparison ------------------------------------------------------------------------------


def compare(case: Case, outcomes: Outcomes) -> str:
    """Return what failed although nothing said so, and what did not fail although it had to."""
    lines = []
    for name, outcome in outcomes.items():
        if outcome.startswith(FAILED) and not any(means(expected, name) for expected in case.expected):
            lines.append(f"  failed unexpectedly   {name}\n{' ' * 24}{outcome.removeprefix(FAILED)}")
    for expected in case.expected:
        found = {name: outcome for name, outcome in outcomes.items() if means(expected, name)}
        lines += [
            f"  did not fail          {name}  ({found[name]})"
            for name in found
            if may_not_be(case, expected, found[name])
        ]
        if not found:
            lines.append(f"  is no check of it     {expected}")
    return "\n".join(lines)


def may_not_be(case: Case, expected: str, outcome: str) -> bool:
    """Tell whether an outcome contradicts the case. What fails beside the breakage meant may also be not run."""
    return outcome == PASSED or (outcome.startswith(NOT_RUN) and expected in case.fails)


def run(
    *command: str, data: str = "", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in the repository's folder and return what it printed; SlipwayError when it hangs."""
    try:
        return subprocess.run(
            command,
            input=data,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
            cwd=matrix.ROOT,
            env={**os.environ, **(environment or {})},
        )
    except subprocess.TimeoutExpired:
        raise SlipwayError(f"`{' '.join(command[:3])}` was ended after {PATIENCE} s") from None
