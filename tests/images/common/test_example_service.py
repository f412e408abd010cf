"""The service in /opt/app/app: what it answers, says and refuses.

A team that replaces it owes none of this: of its service the checks ask for /health on PORT and a clean stop, in
test_service.py.
"""

import http.client
import json
import re

import pytest

from slipway.matrix import Image
from tests.images.helpers.containers import (
    ELSEWHERE,
    WITHOUT_GPU,
    Run,
    Start,
    inside,
    request,
    wait_for_health,
    wait_until,
)
from tests.images.helpers.scope import applies
from tests.images.helpers.service import Service, ask_ready, serve_command

pytestmark = [applies(), pytest.mark.exact]

# Why /ready computes on the CPU, in the words of the accelerator.
REASONS = {
    "cpu": "no GPU is used",
    "cuda": "NVIDIA",
    "rocm": "no AMD GPU is in this container: start it with --device /dev/kfd --device /dev/dri",
}
# The provider of ONNX Runtime that computes without a GPU; the images for ROCm have no ONNX Runtime.
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CPUExecutionProvider", "rocm": None}

ROUTES = ["/health", "/ready", "/info", "/metrics"]
ASK = "import sys, urllib.request; print(urllib.request.urlopen(f'http://{sys.argv[1]}:8000/health').status)"
# A kernel without IPv6 refuses its sockets.
NO_IPV6 = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [
        {
            "names": ["socket"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": 97,
            "args": [{"index": 0, "value": 10, "op": "SCMP_CMP_EQ"}],
        }
    ],
}


def read_log(service: Service) -> str:
    """Return what the service has logged so far."""
    return str(service.container.logs().decode(errors="replace"))


@pytest.mark.requirement("C10", "T12", "U10")
def test_ready_computes_on_the_cpu_and_says_why(service: Service, contract: Image) -> None:
    """Without a GPU a real computation runs on the CPU, and the reason says what is missing."""
    status, body = service.get("/ready")
    verdict = json.loads(body)
    assert (status, verdict["ready"], verdict["device"]) == (200, True, "cpu")
    assert REASONS["cpu"] in verdict["reason"]
    assert REASONS[contract.variant.accelerator] in verdict["reason"]
    assert verdict["seconds"] > 0
    assert verdict["provider"] == PROVIDERS[contract.variant.accelerator]


@pytest.mark.requirement("C10")
def test_log_says_that_a_gpu_image_computes_on_the_cpu(service: Service, contract: Image) -> None:
    """One line tells it at once, and none of ONNX Runtime's own follows; an image for the CPU has nothing to say."""
    service.get("/ready")
    log = service.container.logs().decode(errors="replace")
    assert log.count("computing on the CPU: ") == (contract.variant.accelerator != "cpu")
    assert "onnxruntime" not in log


def test_info_tells_versions_and_memory(service: Service, contract: Image) -> None:
    """/info tells what the service runs on."""
    status, body = service.get("/info")
    information = json.loads(body)
    versions = contract.variant.versions
    assert status == http.client.OK
    assert information["python"].startswith(versions["python"] + ".")
    distributions = information["distributions"]
    installed = distributions.get("onnxruntime-gpu", distributions.get("onnxruntime"))
    assert installed == versions.get("onnxruntime")
    assert information["onnxruntime_provider"] == PROVIDERS[contract.variant.accelerator]
    assert information["cuda_runtime"] == versions.get("cuda")
    assert information["hip_runtime"] == versions.get("hip")
    assert information["devices"] == []
    assert information["memory_bytes"]["total"] > 0


def test_service_tells_no_more_than_it_is_asked(service: Service) -> None:
    """Not the environment, in which secrets are, neither in answers nor in its log; no page to those of other sites."""
    answers = {path: request(service.port, "GET", path, **ELSEWHERE) for path in (*ROUTES, "/other", "/docs")}
    told = [answer.read().decode() for answer in answers.values()]
    wait_until(lambda: "GET /docs " in read_log(service), "the log has the last request")
    log = read_log(service)
    assert [answer.status for answer in answers.values()] == [200] * len(ROUTES) + [404, 404]
    assert [path for path, answer in answers.items() if answer.headers.get("Access-Control-Allow-Origin")] == []
    assert [text for text in (*told, log) if "/cache/torch_extensions" in text] == []
    assert "GET /health " not in log


def test_metrics_count_requests(service: Service) -> None:
    """Prometheus reads a counter that a request has moved."""
    service.get("/health")
    status, body = service.get("/metrics")
    counted = re.search(r'(?m)^http_requests_total{path="/health",status="200"} (\S+)$', body)
    assert status == http.client.OK
    assert counted
    assert float(counted[1]) >= 1


@pytest.mark.requirement("T6", "C10")
def test_ready_refuses_without_a_required_gpu(start: Start, contract: Image) -> None:
    """With REQUIRE_GPU=1 a service on the CPU is alive but not ready, and gets no requests."""
    environment = WITHOUT_GPU | {"REQUIRE_GPU": "1"}
    container = start(*serve_command(contract), network_mode="none", environment=environment)
    wait_for_health(container, "healthy")
    status, verdict = ask_ready(container)
    assert (status, verdict["ready"]) == (503, False)
    assert verdict["reason"].startswith("REQUIRE_GPU=1, but ")


def test_bad_port_is_one_clear_message(run: Run, contract: Image) -> None:
    """The message names the variable, the value and what is allowed."""
    finished = run(*serve_command(contract), environment={"PORT": "65536"})
    assert finished.exit_code == 1
    assert finished.output == "error: PORT is '65536': set it to a number from 1 to 65535\n"


# --- IPv4 and IPv6 -------------------------------------------------------------------------------


def test_service_answers_on_both_families(start: Start) -> None:
    """Some clusters have IPv6 alone."""
    container = start("serve", network_mode="none", sysctls={"net.ipv6.conf.all.disable_ipv6": "0"})
    wait_for_health(container, "healthy")
    assert [inside(container, "python", "-c", ASK, address) for address in ("127.0.0.1", "[::1]")] == ["200", "200"]


def test_service_starts_without_ipv6(start: Start) -> None:
    """And some machines have it switched off in the kernel."""
    container = start("serve", network_mode="none", security_opt=[f"seccomp={json.dumps(NO_IPV6)}"])
    wait_for_health(container, "healthy")
