"""Which images the engine has, and which are built or tested because of it."""

import json
import subprocess
from collections.abc import Callable

import pytest

from slipway import docker, matrix
from slipway.build import images
from slipway.errors import SlipwayError

MATRIX = matrix.load_matrix()
Have = Callable[..., None]


@pytest.fixture
def have(monkeypatch: pytest.MonkeyPatch) -> Have:
    """Give the engine images by their references, each with its labels."""

    def run(**labels: dict[str, str] | None) -> None:
        tags = {
            name if ":" in name else MATRIX.find_image(name.replace("_", "-")).tag: of for name, of in labels.items()
        }

        def call(*words: str, **_: object) -> subprocess.CompletedProcess[str]:
            if words[1] == "ls":
                return subprocess.CompletedProcess(words, 0, "\n".join([*tags, "debian:trixie-slim"]), "")
            if words[-1] in tags:
                return subprocess.CompletedProcess(words, 0, json.dumps([{"Config": {"Labels": tags[words[-1]]}}]), "")
            return subprocess.CompletedProcess(words, 1, "", f"Error: No such image: {words[-1]}")

        monkeypatch.setattr(docker, "call", call)

    return run


def names(chosen: list[matrix.Image]) -> list[str]:
    return [image.name for image in chosen]


def test_the_images_that_the_engine_has(have: Have) -> None:
    """In the order of the matrix; without any, the way to the first one."""
    have(cuda_base={}, cpu_base={})
    assert names(images.list_built(MATRIX)) == ["cpu-base", "cuda-base"]
    have()
    with pytest.raises(SlipwayError, match="no image is built; start with nox -s build-cpu"):
        images.list_built(MATRIX)


def test_a_workload_is_built_after_its_variant() -> None:
    """Once, also where the engine has the variant, which may be an older one."""
    workload = MATRIX.find_image("cpu-base-workbench")
    variant = MATRIX.find_image("cpu-base")
    assert names(images.add_parents(MATRIX, [workload])) == ["cpu-base", "cpu-base-workbench"]
    assert names(images.add_parents(MATRIX, [variant, workload])) == ["cpu-base", "cpu-base-workbench"]
    assert names(images.add_parents(MATRIX, [variant])) == ["cpu-base"]


def test_an_engine_that_is_not_there_is_no_missing_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for question in (lambda: images.list_built(MATRIX), lambda: images.require_built(MATRIX.find_image("cpu-base"))):
        with pytest.raises(SlipwayError, match="there is no docker command; `nox -s setup` installs it"):
            question()
    silent = subprocess.CompletedProcess((), 1, "", "Cannot connect to the Docker daemon")
    with monkeypatch.context() as patch:
        patch.setattr(docker, "call", lambda *_: silent)
        with pytest.raises(SlipwayError, match="Cannot connect to the Docker daemon"):
            images.require_built(MATRIX.find_image("cpu-base"))


OWN = {"slipway.flavor": "base", "slipway.accelerator": "cuda"}


@pytest.mark.parametrize(
    ("labels", "is_named", "found"),
    [
        (OWN, False, "other:1"),
        ({**OWN, "slipway.flavor": "devel"}, False, None),
        ({**OWN, "slipway.workload": "tools"}, False, None),
        ({**OWN, "slipway.flavor": "devel"}, True, "other:1"),
        ({}, True, "other:1"),
    ],
)
def test_another_image_is_tested_where_its_labels_or_the_user_say_so(
    have: Have,
    labels: dict[str, str],
    is_named: bool,  # noqa: FBT001
    found: str | None,
) -> None:
    have(**{"other:1": labels})
    assert images.find_tested(MATRIX.find_image("cuda-base"), "other:1", is_named=is_named) == found


def test_without_labels_and_name_there_is_no_contract(have: Have) -> None:
    have(**{"other:1": {}})
    with pytest.raises(SlipwayError, match=r"no label .* name its contract, nox -s test -- cuda-base --image other:1"):
        images.find_tested(MATRIX.find_image("cuda-base"), "other:1", is_named=False)
    with pytest.raises(SlipwayError, match="docker pull other:2"):
        images.find_tested(MATRIX.find_image("cuda-base"), "other:2", is_named=True)
    with pytest.raises(SlipwayError, match=r"its last build failed\. Run: nox -s build -- cuda-base"):
        images.find_tested(MATRIX.find_image("cuda-base"), None, is_named=False)
