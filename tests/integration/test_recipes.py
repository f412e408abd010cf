"""The own variant and the own workload of docs/extending.md: their tables and commands in a copy of the repository."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slipway import docker, junit, matrix, repository
from tests.helpers import checkout as copies
from tests.helpers.built_images import list_tags, make_name
from tests.helpers.programs import run_merged

pytestmark = [pytest.mark.whole, pytest.mark.timeout(3600)]

GUIDE = (repository.ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
MATRIX = matrix.load_matrix()

Follow = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture
def follow(tmp_path: Path) -> Iterator[Follow]:
    """A function that follows a chapter of the guide in a copy; the images of the copy are gone afterwards."""
    name = make_name()
    copies.copy_repository(tmp_path)
    file = tmp_path / matrix.FILE.name
    text = file.read_text(encoding="utf-8").replace(f'repository = "{MATRIX.repository}"', f'repository = "{name}"')

    def run(chapter: str) -> subprocess.CompletedProcess[str]:
        [section] = re.findall(rf"(?ms)^## {chapter}\n(.*?)^## ", GUIDE)
        [[table], [commands]] = (re.findall(rf"(?s)```{kind}\n(.*?)```", section) for kind in ("toml", "sh"))
        file.write_text(f"{text}\n{table}", encoding="utf-8")
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        return run_merged(["sh", "-e", "-c", commands], cwd=tmp_path, env=environment)

    yield run
    docker.call("image", "rm", "--force", *(f"{name}:{tag}" for tag in list_tags(name)))


@pytest.mark.parametrize(
    ("chapter", "images"),
    [
        ("An own variant", ["cuda13.2-base-py3.11", "cuda13.2-runtime-py3.11"]),
        ("An own workload", ["cuda-base-workbench-kubectl"]),
    ],
)
def test_a_recipe_gives_images_that_meet_their_contracts(
    follow: Follow, tmp_path: Path, chapter: str, images: list[str]
) -> None:
    """By the commands as they stand there, which build and check; each image has the results of a whole run."""
    ended = follow(chapter)
    assert ended.returncode == 0, ended.stdout
    assert sorted(file.parent.name for file in (tmp_path / "dist").glob(f"*/{junit.WHOLE}")) == images
