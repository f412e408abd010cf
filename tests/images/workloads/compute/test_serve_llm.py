"""The inference engine: installed with its toggle, and never started without a GPU."""

import json

import pytest
from docker.models.containers import Container

from slipway.matrix import Image
from tests.images.helpers.containers import WITHOUT_GPU, Run, Start, inside, wait_for_answer, wait_for_health
from tests.images.helpers.scope import applies
from tests.images.helpers.workbench import is_on

pytestmark = applies(workload="compute")

ENGINE = """
import json
from importlib import import_module, util
there = util.find_spec("vllm") is not None
print(json.dumps(there and callable(import_module("vllm.entrypoints.openai.api_server").run_server)))
"""

# Listens where its last argument says, in the place of the engine.
SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
http.server.HTTPServer(("", int(sys.argv[-1].partition("=")[2])), Handler).serve_forever()
"""


@pytest.mark.slow
@pytest.mark.requirement("C3")
def test_engine_is_what_the_toggle_says(idle: Container, contract: Image) -> None:
    """With the toggle the server's module imports, without a GPU, too. The entry point gives PyTorch a cache."""
    printed = inside(idle, "entrypoint", "python", "-c", ENGINE)
    assert json.loads(printed.splitlines()[-1]) == is_on(contract, "VLLM")


@pytest.mark.requirement("C3", "C10")
def test_serve_llm_refuses_with_one_line(run: Run, contract: Image) -> None:
    """The line names what is missing, the engine or a GPU, and what to do."""
    finished = run("serve-llm", "some/model", environment=WITHOUT_GPU)
    assert finished.exit_code == 1
    lacks = "--gpus=all" if is_on(contract, "VLLM") else "--build-arg VLLM=true"
    assert finished.output.startswith("error: ")
    assert lacks in finished.output
    assert finished.output.count("\n") == 1


def test_serve_llm_refuses_a_bad_port(run: Run) -> None:
    """Kubernetes sets PORT to an address where a service has that name."""
    finished = run("serve-llm", "some/model", environment={"PORT": "tcp://10.0.0.1:80"})
    assert (finished.exit_code, finished.output) == (
        1,
        "error: PORT is 'tcp://10.0.0.1:80': set it to a number from 1 to 65535\n",
    )


@pytest.mark.requirement("T7")
@pytest.mark.parametrize("init", [False, True], ids=["own-init", "another-init"])
def test_health_of_serve_llm_is_asked(start: Start, init: bool) -> None:  # noqa: FBT001
    """A container of the engine's server is unhealthy while nothing answers where the server listens."""
    place = ["tini", "--", "python", "-c", SERVER, "entrypoint", "serve-llm", "some/model", "--port=9000"]
    container = start(entrypoint=place, environment={"PORT": "8123"}, network_mode="none", init=init)
    wait_for_health(container, "healthy")
    wait_for_answer(container, "healthy: http://127.0.0.1:9000/health answered 200")
    cmdline = r"printf 'tini\0--\0entrypoint\0serve-llm\0' >/tmp/cmdline && healthcheck /tmp/cmdline"
    asked = start("sh", "-c", cmdline, network_mode="none", init=init)
    assert asked.wait()["StatusCode"] == 1
    assert asked.logs().splitlines()[-1] == b"unhealthy: vLLM does not listen"
