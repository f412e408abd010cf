"""The inference engine: where the toggle is on, and never without a GPU."""

import json
from collections.abc import Callable

import pytest

from slipway.matrix import Image
from tests.images.conftest import Run
from tests.images.helpers.scope import applies

pytestmark = applies(workload="compute")

WITHOUT_GPU = {"NVIDIA_VISIBLE_DEVICES": "void"}
ENGINE = """
import json
from importlib import import_module, util
there = util.find_spec("vllm") is not None
print(json.dumps(there and callable(import_module("vllm.entrypoints.openai.api_server").run_server)))
"""


def has_engine(contract: Image) -> bool:
    """Whether the image was built with VLLM=true."""
    return bool(contract.workload and contract.workload.arguments.get("VLLM") == "true")


@pytest.mark.slow
@pytest.mark.requirement("C3", "U3")
def test_engine_is_what_the_toggle_says(python: Callable[[str], str], contract: Image) -> None:
    """Where it is, the server's module imports without a GPU."""
    assert json.loads(python(ENGINE).splitlines()[-1]) == has_engine(contract)


@pytest.mark.requirement("C3", "C10")
def test_serve_llm_refuses_with_one_line(run: Run, contract: Image) -> None:
    """It names what it lacks, the engine or a GPU, and what to do about it."""
    finished = run("serve-llm", "some/model", environment=WITHOUT_GPU)
    assert finished.exit_code == 1
    lacks = "--gpus=all" if has_engine(contract) else "--build-arg VLLM=true"
    assert finished.output.startswith("error: ")
    assert lacks in finished.output
    assert finished.output.count("\n") == 1


@pytest.mark.requirement("T7")
def test_health_of_serve_llm_is_asked(run: Run) -> None:
    """A container that was started as the engine's server is not healthy while nothing answers on its port."""
    cmdline = r"printf 'tini\0--\0entrypoint\0serve-llm\0' >/tmp/cmdline && healthcheck /tmp/cmdline"
    finished = run("sh", "-c", cmdline, environment={"PORT": "8123"})
    assert (finished.exit_code, finished.output) == (1, "unhealthy: nothing listens on port 8123\n")
