"""The record of a build names what the provenance of its image needs."""

from argparse import Namespace
from pathlib import Path

import pytest

from slipway import docker, repository, results
from slipway.build import labels, record
from slipway.matrix import load_matrix

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


def test_the_base_image_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workload's labels name its parent alone."""
    base = {"name": "debian:trixie-slim", "id": "sha256:1", "digest": "sha256:2", "origin": "pulled"}
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    monkeypatch.setattr(record, "find_commit", lambda _: "a" * 40)
    monkeypatch.setattr(record, "list_context", lambda _: [])
    monkeypatch.setattr(record, "find_id", lambda _: "sha256:3")
    monkeypatch.setattr(record, "count_new_layers", lambda *_: "")
    monkeypatch.setattr(labels, "read_labels", lambda *_: {"slipway.python": "3.13"})
    monkeypatch.setattr(labels, "find_base", lambda _: base)
    monkeypatch.setattr(docker, "own_builder", lambda: "default")
    matrix = load_matrix()
    image = matrix.find_image("cpu-base-workbench")
    build = record.Build(matrix, image, Namespace(no_cache=False))
    assert build.label_options()
    build.finish()
    assert results.read_json(image.results / "build.json")["base"] == base
