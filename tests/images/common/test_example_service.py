"""The service in /opt/app/app: what it answers, says and refuses.

A team that replaces it owes none of this: of its service the checks ask for /health on PORT and a clean stop, in
test_service.py.
"""

import http.client
import json
import re
import time

import pytest
from docker.models.containers import Container

from slipway.matrix import Image
from tests.images.helpers import timeouts
from tests.images.helpers.containers import (
    ELSEWHERE,
    WITHOUT_GPU,
    Run,
    Start,
    host_port,
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
# Debug off, and every path that the service answers.
KNOWN = """
from app.service import create_app
from app.settings import Settings
app = create_app(Settings())
print(app.debug, *(route.path for route in app.routes))
"""
TYPES = {"/metrics": "text/plain; version="}  # of all others: JSON
# The service with one more answer: the signal to end comes while it is made, and it takes longer than the service needs
# to notice that, and less than it waits.
SLOW = """
import os, signal, time
from app import __main__ as service
create_app = service.create_app

def with_slow_answer(settings):
    app = create_app(settings)

    @app.get("/slow")
    def slow():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.3)

    return app

service.create_app = with_slow_answer
service.main()
"""
AT_ONCE = 20
OF_THE_SERVICE = {"PYTHONPATH": "/opt/app"}
# What the kernel counts for the service of a container without network: memory in KiB, ticks of a processor, and the
# packets that found no way.
USED = """
import json, pathlib, re
process = pathlib.Path("/proc", pathlib.Path("/proc/1/task/1/children").read_text().split()[0])
memory = re.search(r"VmRSS:\\s+(\\d+)", (process / "status").read_text())[1]
ticks = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
names, numbers = re.findall(r"(?m)^Ip: (.*)$", pathlib.Path("/proc/net/snmp").read_text())
lost = dict(zip(names.split(), numbers.split()))["OutNoRoutes"]
print(json.dumps([int(memory), sum(map(int, ticks)), int(lost)]))
"""
MOST_MEMORY = 150_000  # KiB, three times what it takes
MOST_TICKS = 10  # hundredths of a second, in each second
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
    assert [path for path in ("/health", "/ready", "/metrics") if f"GET {path} " in log] == []


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_probes_may_ask_by_head(service: Service, path: str) -> None:
    """As load balancers and `wget --spider` do. Reports: Kludex/fastapi-health#18, eduard256/Strix#3."""
    assert request(service.port, "HEAD", path).status == http.client.OK


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


def test_service_has_no_other_answers(idle: Container) -> None:
    """A page for developers tells everybody what only they should know: no other path, no traceback."""
    told = inside(idle, "python", "-c", KNOWN, environment=OF_THE_SERVICE).split()
    assert told == ["False", *ROUTES]


def test_answers_have_their_types_on_one_connection(service: Service) -> None:
    """Prometheus refuses metrics of another type; a connection for each request is slow behind a proxy."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=timeouts.seconds())
    sockets = set()
    for path in ROUTES:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.headers["Content-Type"].startswith(TYPES.get(path, "application/json")), path
        answer.read()
        sockets.add(connection.sock)
    assert len(sockets - {None}) == len(sockets) == 1


def test_service_answers_many_at_once(service: Service) -> None:
    """A load balancer keeps many connections open, and no client is sent away."""
    connections = [http.client.HTTPConnection("127.0.0.1", service.port, timeout=60) for _ in range(AT_ONCE)]
    for connection in connections:
        connection.request("GET", "/health")
    assert [connection.getresponse().status for connection in connections] == [http.client.OK] * AT_ONCE
    for connection in connections:
        connection.close()


# --- at rest and at the end ----------------------------------------------------------------------


def read_used(container: Container) -> list[int]:
    """Return memory, ticks and lost packets of the container's service."""
    return list(json.loads(inside(container, "python", "-c", USED)))


def test_service_at_rest_takes_little(start: Start, contract: Image) -> None:
    """Memory for its libraries, hardly any time of a processor, and it asks nobody in any network."""
    container = start(*serve_command(contract), network_mode="none", environment=WITHOUT_GPU)
    wait_for_health(container, "healthy")

    def rests() -> bool:
        before = read_used(container)[1]
        time.sleep(1)
        return read_used(container)[1] - before < MOST_TICKS

    wait_until(rests, "the service rests")
    memory, _, lost = read_used(container)
    assert (memory < MOST_MEMORY, lost) == (True, 0), memory


def answers_at_its_end(start: Start) -> bool:
    """Tell whether a service answers the request during which it is ended."""
    options = {"environment": WITHOUT_GPU | OF_THE_SERVICE, "ports": {"8000/tcp": ("127.0.0.1", None)}}
    container = start("python", "-P", "-c", SLOW, **options)
    wait_until(lambda: "Uvicorn running" in container.logs().decode(), "the service runs")
    connection = http.client.HTTPConnection("127.0.0.1", host_port(container, 8000), timeout=timeouts.seconds())
    try:
        connection.request("GET", "/slow")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False


def test_request_in_progress_is_answered_at_the_end(start: Start) -> None:
    """A rolling update stops each service while it answers somebody; a busy machine may be late once."""
    assert any(answers_at_its_end(start) for _ in range(3))


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
