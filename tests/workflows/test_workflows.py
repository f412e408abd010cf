"""The workflows of .github/ do what they say: each step of each job, run by act on this machine.

The jobs are those for cpu-base. Sessions that test Slipway itself, which have run whole before, run a few tests.
"""

import json
import os
import shutil
import subprocess
import urllib.request
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from slipway import docker, matrix, tools
from slipway.scan import pending_updates
from slipway.scan.pending_updates import NotRunError
from tests.helpers import reasons
from tests.helpers.buildkit import certificates as certificates
from tests.helpers.buildkit import create_builder, running_buildkitd
from tests.helpers.built_images import require_built
from tests.helpers.checkout import Checkout, copy_repository
from tests.integration import trivy_database
from tests.integration.registries import running_registry
from tests.workflows.machine import (
    IMAGE,
    MAIN,
    RELEASE,
    REQUEST,
    TAG,
    Machine,
    count_steps,
    git,
    make_home,
    select_part,
)

MATRIX = matrix.load_matrix()
CARGO = {
    "package": "time",
    "identifier": "CVE-2026-0003",
    "severity": "HIGH",
    "vulnerable": ["<0.1.1"],
    "patched": ["0.1.1"],
}
ADVISORIES = (*trivy_database.WELL_KNOWN, {"bucket": "cargo::a test", **CARGO})

pytestmark = pytest.mark.timeout(3600)


def edit_checkout(made: Checkout, *, whole: bool) -> None:
    """Make the copy that of a team; its image is the one that the engine has, or built anew with today's packages."""
    made.edit("images.toml", f'repository = "{MATRIX.repository}"', f'repository = "{made.repository}"')
    made.edit("images.toml", MATRIX.source, "https://git.example.org/team/slipway")
    made.edit("images.toml", "published = [", f'published = ["{IMAGE}"]\nleft_out = [')
    text = (made.folder / "images.toml").read_text()
    start = text.index("left_out = [")
    text = text[:start] + text[text.index("]\n", start) + 2 :]
    if whole:
        text = text.replace(f'apt_date = "{MATRIX.apt_date}"', f'apt_date = "{datetime.now(UTC).date()}"')
    (made.folder / "images.toml").write_text(text)


def require_no_updates() -> None:
    """Skip the test when a scan of the image that is there would fail by what has changed in Debian since."""
    image_id = docker.require_image(MATRIX.find_image(IMAGE).tag)["Id"]
    try:
        updates = pending_updates.pending_updates(image_id, MATRIX.default_distro.suite)
    except NotRunError:
        pytest.skip(reasons.NO_DEBIAN_LISTS)
    if updates:
        pytest.skip(reasons.UPDATES)


@pytest.fixture(scope="module")
def machine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificates: Path
) -> Iterator[Machine]:
    """The machine, with a depth-1 clone as actions/checkout makes it."""
    whole = request.config.getoption("--whole")
    if not whole:
        require_built(MATRIX.find_image(IMAGE))
        require_no_updates()
    folder = tmp_path_factory.mktemp("machine")
    made = Checkout(folder / "source", f"slipway-test-{uuid.uuid4().hex[:8]}")
    copy_repository(made.folder)
    git(made.folder, "init", "--quiet", "--initial-branch=main")
    for message in ("Slipway", "Ours"):
        git(made.folder, "add", ".")
        git(made.folder, "commit", "--quiet", f"--message={message}")
        if message == "Slipway":
            edit_checkout(made, whole=whole)
    git(made.folder, "tag", RELEASE)
    git(folder, "clone", "--quiet", "--depth=1", f"file://{made.folder}", str(folder / "clone"))
    variables = make_home(folder / "home")
    if not whole:  # once for all jobs
        subprocess.run([folder / "clone/noxw", "--version"], capture_output=True, check=True)
    keys = [str(tools.provide_program(tools.read_tool("cosign"))), "generate-key-pair"]
    subprocess.run(keys, cwd=folder / "home", env={"COSIGN_PASSWORD": ""}, capture_output=True, check=True)
    for name in ("registry", "buildkitd"):
        (folder / name).mkdir()
    with (
        running_registry(folder / "registry") as host,
        running_buildkitd(folder / "buildkitd", certificates) as address,
    ):
        archive = trivy_database.pack(trivy_database.make(folder / "db", ADVISORIES), folder / "db.tar.gz")
        variables["TRIVY_DB_REPOSITORY"] = trivy_database.push(host, archive)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            create_builder("slipway", certificates, address)
        yield Machine(folder / "clone", folder / "home", host, variables)
    docker.call("image", "rm", "--force", f"{made.repository}:{IMAGE}")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.requirement("N10")
def test_every_step_of_ci_succeeds(machine: Machine, request: pytest.FixtureRequest) -> None:
    """A pull request gets what the engine's builder has; after a push to main the layer cache is in the registry."""
    ref = MAIN if request.config.getoption("--whole") else REQUEST
    with select_part(machine.clone):
        run = machine.run("ci.yml", ref, "--env=PREK_SKIP=mypy,mypy-build")
    assert run.code == 0, run.failed or run.log
    assert run.steps == count_steps(machine.clone / ".github/workflows/ci.yml", ref), run.log
    if ref == MAIN:
        with urllib.request.urlopen(f"http://{machine.registry}/v2/team/cache/tags/list") as answer:
            assert json.load(answer)["tags"] == [IMAGE]


@pytest.mark.requirement("N10", "T9")
def test_every_step_of_a_release_succeeds(machine: Machine) -> None:
    """The image is staged by one job, and published with its evidence and signatures by another; they verify."""
    run = machine.run("publish.yml", TAG)
    assert run.code == 0, run.failed or run.log
    assert run.steps == count_steps(machine.clone / ".github/workflows/publish.yml", TAG), run.log
    words = [f"--registry={machine.registry}/team", f"--key={machine.home}/cosign.pub", "--verify"]
    command = [str(machine.clone / "noxw"), "-s", "publish", "--", *words, f"{MATRIX.release}-{IMAGE}"]
    environment = os.environ | machine.variables
    verified = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_tag_of_another_release_publishes_nothing(machine: Machine) -> None:
    """The first job says which release it is."""
    run = machine.run("publish.yml", "refs/tags/v99.0.0", "--job=image")
    assert run.code != 0
    assert "the tag v99.0.0 is not " + RELEASE in run.log
    assert run.steps == {"matrix": 1}


@pytest.mark.parametrize(("workflow", "ref"), [("ci.yml", MAIN), ("publish.yml", TAG)])
def test_a_broken_step_is_noticed(machine: Machine, workflow: str, ref: str) -> None:
    """By its exit code, although a pipe or an assignment is around it."""
    file = machine.clone / ".github/workflows" / f"broken-{workflow}"
    text = file.with_name(workflow).read_text()
    file.write_text(text.replace("$(./noxw -s matrix ", "$(./noxw -s matrices "))
    run = machine.run(file.name, ref, "--job=matrix")
    assert run.code != 0
    assert "Sessions not found: matrices" in run.failed
    assert run.steps == {"matrix": 1}
