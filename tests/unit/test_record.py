"""The record of a build names what the provenance of its image needs."""

import pytest

from slipway.build import record

GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "team/slipway",
    "GITHUB_WORKFLOW_REF": "team/slipway/.github/workflows/publish.yml@refs/tags/v1.0.0",
    "GITHUB_RUN_ID": "12",
}
GITLAB = {
    "GITLAB_CI": "true",
    "CI_PROJECT_URL": "https://gitlab.com/team/slipway",
    "CI_RUNNER_ID": "3",
    "CI_JOB_URL": "https://gitlab.com/team/slipway/-/jobs/12",
}


@pytest.fixture(autouse=True)
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine be no runner of CI."""
    for name in ("GITHUB_ACTIONS", "GITLAB_CI"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variables", "builder", "run"),
    [
        (
            GITHUB,
            "https://github.com/team/slipway/.github/workflows/publish.yml@refs/tags/v1.0.0",
            "https://github.com/team/slipway/actions/runs/12",
        ),
        (GITLAB, "https://gitlab.com/team/slipway/-/runners/3", "https://gitlab.com/team/slipway/-/jobs/12"),
    ],
    ids=["GitHub", "GitLab"],
)
def test_the_builder_is_the_one_of_ci(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], builder: str, run: str
) -> None:
    assert record.find_builder() == {}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert record.find_builder() == {"builder": builder, "run": run}


def test_a_part_of_cis_variables_is_no_builder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that a job starts gets those that somebody passes on."""
    for name in (*GITHUB, *GITLAB):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITLAB_CI", "true")
    assert record.find_builder() == {}
