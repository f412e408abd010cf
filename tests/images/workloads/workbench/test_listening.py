"""Where a Jupyter server listens: the health check follows what decided that, and others may ask Jupyter, too."""

import re
from collections.abc import Callable

import pytest
from docker.models.containers import Container

from tests.images.helpers.containers import STRICT, VOLUMES, Run, Start, inside, wait_for_health
from tests.images.helpers.scope import applies
from tests.images.helpers.workbench import SECRET, Workbench, entrypoint_after

pytestmark = applies(workload="workbench")

ENVIRONMENT = {"JUPYTER_TOKEN": SECRET}
SETTINGS = "c.ServerApp.base_url = '/own/'\nc.ServerApp.port = 9997\n"
WITH_SETTINGS = 'mkdir -p /data/.jupyter; printf "$SETTINGS" >/data/.jupyter/jupyter_server_config.py'
# As a platform that sends everything through its proxy sets them.
PROXIES = dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"), "http://proxy.example:3128")
# Name: command, environment, the address where it must listen.
SERVERS: dict[str, tuple[list[str], dict[str, str], str]] = {
    "usual": (["workbench"], {}, "http://localhost:8888/"),
    "port": (["lab", "--port=9999"], {"JUPYTER_RUNTIME_DIR": "/data/elsewhere"}, "http://localhost:9999/"),
    "port-in-two-words": (["workbench", "--ServerApp.port", "9999"], PROXIES, "http://localhost:9999/"),
    "port-of-the-environment": (["start-notebook.py"], {"JUPYTER_PORT": "09998"}, "http://localhost:9998/"),
    "prefix-of-kubeflow": (["workbench"], {"NB_PREFIX": "/team/mine"}, "http://localhost:8888/team/mine/"),
    "certificate": (
        ["jupyter", "lab", "/data"],
        {"GEN_CERT": "yes", "JUPYTER_PORT": "8443"},
        "https://localhost:8443/",
    ),
    "one-address": (["jupyter", "notebook", "--ServerApp.ip=::1"], {}, "http://[::1]:8888/"),
    # A Service of the name jupyter sets the variable.
    "base-url": (
        ["start-notebook.sh", "--ServerApp.base_url=/deep/er/"],
        {"JUPYTER_PORT": "tcp://10.43.73.21:80"},
        "http://localhost:8888/deep/er/",
    ),
}
IPV6_OFF = {"net.ipv6.conf.all.disable_ipv6": "1"}


@pytest.fixture(scope="module")
def servers(start_shared: Start) -> Callable[[str], Workbench]:
    """Start a server of SERVERS when it is first asked for, and wait for its health."""
    started: dict[str, Workbench] = {}

    def server(name: str) -> Workbench:
        if name not in started:
            words, environment, _ = SERVERS[name]
            container = start_shared(*words, environment=ENVIRONMENT | environment)
            started[name] = Workbench(container, 0)
            wait_for_health(container, "healthy")
        return started[name]

    return server


def last_words(container: Container) -> str:
    """Return what the health check has printed last."""
    container.reload()
    return str(container.attrs["State"]["Health"]["Log"][-1]["Output"]).strip()


@pytest.mark.parametrize("name", SERVERS)
def test_health_check_asks_where_the_server_listens(servers: Callable[[str], Workbench], name: str) -> None:
    """Its last answer names the address; there Jupyter answers, and docker exec finds it there."""
    server, address = servers(name), SERVERS[name][2]
    assert last_words(server.container) == f"healthy: {address}api answered 200"
    _, listed = server.inside("jupyter server list")
    assert f"{address}?token={SECRET} :: /data" in listed


def test_health_check_asks_what_a_file_on_the_volume_sets(start: Start) -> None:
    """The user's own settings file decides the port and the address."""
    environment = ENVIRONMENT | {"SETTINGS": SETTINGS}
    container = start("workbench", entrypoint=entrypoint_after(WITH_SETTINGS), environment=environment)
    wait_for_health(container, "healthy")
    assert last_words(container) == "healthy: http://localhost:9997/own/api answered 200"


def test_health_check_works_without_tmp(start: Start) -> None:
    """With a read-only root Jupyter's files are elsewhere, and not on the volume; a variable may name another host."""
    container = start("lab", environment=ENVIRONMENT | {"HOSTNAME": "pod"}, **STRICT | {"mounts": VOLUMES})
    wait_for_health(container, "healthy")
    assert inside(container, "find", "/data", "-name", "jpserver-*") == ""


@pytest.mark.parametrize("name", ["usual", "port"])
def test_server_listens_on_ipv4_and_ipv6(servers: Callable[[str], Workbench], name: str) -> None:
    """A cluster may have one of them alone."""
    port = SERVERS[name][2].split(":")[2].strip("/")
    for address in ("127.0.0.1", "[::1]"):
        script = f"curl --silent --fail --noproxy '*' --output /dev/null http://{address}:{port}/api"
        assert servers(name).inside(script) == (0, "")


@pytest.mark.parametrize("mode", ["workbench", "lab"])
def test_server_works_without_ipv6(start: Start, mode: str) -> None:
    """The kernel of a host may have none."""
    container = start(mode, environment=ENVIRONMENT, sysctls=IPV6_OFF)
    wait_for_health(container, "healthy")
    assert inside(container, "curl", "--silent", "--noproxy", "*", "http://127.0.0.1:8888/api")


def test_certificate_is_for_this_server(servers: Callable[[str], Workbench]) -> None:
    """GEN_CERT makes one that a client may check."""
    file = "/tmp/slipway/certificate.pem"
    script = f"curl --silent --output /dev/null --cacert {file} https://localhost:8443/api"
    assert servers("certificate").inside(script) == (0, "")


@pytest.mark.requirement("T16")
@pytest.mark.parametrize(
    ("words", "environment", "message"),
    [
        ([], {"JUPYTER_PORT": "eight"}, "JUPYTER_PORT: 'eight' is no port: set a number from 1 to 65535"),
        ([], {"JUPYTER_PORT": "70000"}, "JUPYTER_PORT: '70000' is no port"),
        (["--port=eight"], {}, "--port: 'eight' is no port"),
        (["--ServerApp.port", "0"], {}, "--ServerApp.port: '0' is no port"),
        (["--port"], {}, "--port has no value"),
        ([], {"NB_PREFIX": "team/mine"}, "NB_PREFIX: 'team/mine' does not begin with a slash: set /team/mine"),
        ([], {"NB_PREFIX": "/team mine"}, "NB_PREFIX: '/team mine' has a character that no path has"),
        ([], {"NOTEBOOK_ARGS": "--certfile=/etc"}, "--certfile: '/etc' is no file that UID 1000 can read"),
        ([], {"JUPYTER_TOKEN_FILE": "/data"}, "JUPYTER_TOKEN_FILE: '/data' is no file that UID 1000 can read"),
        ([], {"JUPYTER_RUNTIME_DIR": "/etc/passwd"}, "JUPYTER_RUNTIME_DIR: '/etc/passwd' is no folder that UID 1000"),
        ([], {"DOCKER_STACKS_JUPYTER_CMD": "nbclassic"}, "DOCKER_STACKS_JUPYTER_CMD: 'nbclassic' is not in this image"),
        (
            [],
            {"JUPYTERHUB_API_TOKEN": "t", "JUPYTERHUB_SERVICE_PREFIX": "user"},
            "JUPYTERHUB_SERVICE_PREFIX: 'user' does",
        ),
    ],
    ids=lambda value: re.sub(r"\W+", "-", str(value))[:40] if isinstance(value, str) else None,
)
def test_wrong_value_is_one_clear_message(
    run: Run, words: list[str], environment: dict[str, str], message: str
) -> None:
    """Each setting names what is wrong and what to do, and nothing is started."""
    run("workbench", *words, environment=environment).require_message(f"error: {message}")


def test_hub_server_without_a_hub_is_one_clear_message(run: Run) -> None:
    """Only a JupyterHub can start it."""
    run("jupyterhub-singleuser").require_message(
        "error: JUPYTERHUB_API_TOKEN is not set: only a JupyterHub starts this"
    )


@pytest.mark.parametrize(("ip", "address"), [("::", "[::1]"), ("0.0.0.0", "127.0.0.1")])  # noqa: S104
def test_health_check_asks_every_address_of_a_family(start: Start, ip: str, address: str) -> None:
    """Jupyter then writes down the machine's name, which leads to the other family, or nowhere."""
    container = start("lab", f"--ip={ip}", environment=ENVIRONMENT, network_mode="none")
    wait_for_health(container, "healthy")
    assert last_words(container) == f"healthy: http://{address}:8888/api answered 200"
