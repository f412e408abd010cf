"""How Syft is run."""

from pathlib import Path

import pytest

from slipway import docker, tools
from slipway.audit import syft
from slipway.errors import SlipwayError
from slipway.matrix import load_matrix


def test_syft_asks_the_engine_of_dockers_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows no contexts: on a machine with Colima or a rootless engine it would find none."""
    given: dict[str, object] = {}

    def run_checked(*_: object, **options: object) -> None:
        given.update(options)
        raise SlipwayError("seen")

    monkeypatch.setattr(tools, "provide_program", lambda _: Path("syft"))
    monkeypatch.setattr(tools, "run_checked", run_checked)
    monkeypatch.setattr(docker, "name_engine", lambda: {"DOCKER_HOST": "unix:///home/u/docker.sock"})
    with pytest.raises(SlipwayError, match="seen"):
        syft.write_sboms(load_matrix().find_image("cpu-base"), "sha256:1")
    assert given["DOCKER_HOST"] == "unix:///home/u/docker.sock"
