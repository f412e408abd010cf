"""The workflows keep the rules that no run of them shows; tests/workflows/ runs them."""

import re

from slipway import matrix, repository
from tests.sabotage import cases
from tests.workflows.machine import NAMED

FOLDER = repository.ROOT / ".github/workflows"
PUBLISH = (FOLDER / "publish.yml").read_text()
JOBS = {
    f"{file.stem} {text.partition(':')[0]}": text
    for file in sorted(FOLDER.glob("*.yml"))
    for text in re.split(r"(?m)^  (?=[\w-]+:$)", file.read_text().partition("\njobs:\n")[2])[1:]
}


def find_jobs(text: str) -> list[str]:
    """Return the jobs that contain a text."""
    return [name for name, job in JOBS.items() if text in job]


def test_a_published_image_is_an_output_of_its_job() -> None:
    """The list is static, as GitHub wants it: a name that lacks there would not be published."""
    names = [image.name for image in matrix.load_matrix().published]
    outputs = re.findall(r"(?m)^      (\S+): \$\{\{ steps\.stage\.outputs(?:\.(\S+)|\['(\S+)'\]) \}\}$", PUBLISH)
    assert outputs == [(name.replace(".", "_"), *(("", name) if "." in name else (name, ""))) for name in names]


def test_only_the_job_that_signs_can_sign() -> None:
    """It runs no build and no test, and people approve it; packages are written by few jobs, the rest by none."""
    assert find_jobs("id-token:") == find_jobs("environment: release") == ["publish publish"]
    assert re.findall(r"noxw -s ([\w ]+) --", JOBS["publish publish"]) == ["publish"]
    assert find_jobs("packages: write") == ["ci image", "publish image", "publish publish"]
    assert all(file.read_text().count("\npermissions: {}\n") == 1 for file in FOLDER.glob("*.yml"))
    assert [name for name, job in JOBS.items() if not re.search(r"\n    timeout-minutes: \d+\n", job)] == []


def test_no_release_reads_a_cache_and_no_pull_request_gets_a_login() -> None:
    """What a pull request can write reaches no release; what it runs sees no credentials."""
    assert "--cache-" not in PUBLISH
    assert "setup-buildx" not in PUBLISH
    steps = [step for name, job in JOBS.items() if name.startswith("ci") for step in re.split(r"(?m)^      - ", job)]
    secret = [step for step in steps if "github.token" in step or "secrets." in step]
    assert secret
    assert [step for step in secret if "if: github.event_name != 'pull_request'\n" not in step] == []
    assert "WRITE: ${{ github.event_name != 'pull_request' && 'yes' || '' }}" in JOBS["ci image"]


def test_the_only_action_is_a_pinned_checkout() -> None:
    """A commit, and no credentials left for later steps; jobs that label or publish images have the history."""
    uses = [line for job in JOBS.values() for line in re.findall(r"uses: (\S+)", job)]
    assert {use.partition("@")[0] for use in uses} == {"actions/checkout"}
    assert all(re.fullmatch(r"[0-9a-f]{40}", use.partition("@")[2]) for use in uses)
    assert all(job.count("uses: ") == job.count("persist-credentials: false") for job in JOBS.values())
    assert find_jobs("fetch-depth: 0") == ["publish image", "publish publish"]


def test_the_broken_images_of_a_run_fail_in_its_part() -> None:
    """A run of the workflows takes the tests with these names: the checks that a broken image fails are among them."""

    def is_named(name: str) -> bool:
        return any(word in name for word in NAMED)

    parts = [case for case in cases.broken() if is_named(case.name)]
    assert parts
    assert [check for case in parts for check in case.breaks if not is_named(check)] == []
