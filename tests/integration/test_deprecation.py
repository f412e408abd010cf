"""A deprecated variant: it still builds, and its build, its label and its containers give the notice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway import docker, matrix
from tests.helpers.built_images import make_name
from tests.helpers.checkout import Checkout, copy_repository
from tests.helpers.deprecation import SENTENCE, deprecate_cpu


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A copy of the repository in which the variant cpu is deprecated; its image is gone afterwards."""
    repository = make_name()
    copy_repository(tmp_path)
    own = f'repository = "{matrix.load_matrix().repository}"'
    (tmp_path / "images.toml").write_text(deprecate_cpu().replace(own, f'repository = "{repository}"'))
    made = Checkout(tmp_path, repository)
    yield made
    docker.call("image", "rm", "--force", made.tag, f"{made.tag}-unlabelled")


@pytest.mark.requirement("V8")
def test_build_and_start_print_the_notice(checkout: Checkout) -> None:
    """The sessions warn, the label says it, and so does a container of the real image at its start."""
    built = checkout.nox("-s", "build-cpu(base)")
    assert built.returncode == 0, built.stdout
    assert built.stdout.count(f"cpu-base is {SENTENCE}\n") == 1
    assert docker.require_image(checkout.tag)["Config"]["Labels"]["slipway.deprecated"] == SENTENCE

    container = docker.call("run", "--rm", "--network=none", checkout.tag, "echo", "started")
    assert container.stdout == "started\n"
    assert container.stderr == f"warning: this image is {SENTENCE}.\n"

    run = checkout.nox("-s", "run", "--", "cpu-base", "sh", "-c", "exit 7")
    assert f"cpu-base is {SENTENCE}\n" in run.stdout
    assert f"warning: this image is {SENTENCE}.\n" in run.stdout
