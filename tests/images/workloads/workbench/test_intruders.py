"""The doors of a workbench, tried from outside: by strangers, and by a page of another site in the owner's browser."""

import hashlib
import json
import uuid
from urllib.parse import urlencode

import pytest
from docker.models.containers import Container

from slipway import repository
from tests.images.helpers.containers import ELSEWHERE, UPGRADE, Start, inside, request
from tests.images.helpers.scope import applies
from tests.images.helpers.workbench import SECRET, TOKEN, Workbench, open_workbench

pytestmark = applies(workload="workbench")

API = ["config/x", "contents", "kernels", "kernelspecs", "me", "sessions", "status", "terminals"]
PAGES = ["/files/x", "/lab", "/lab?token=", "/proxy/8888/", "/tree"]
# Writes that would run a program or change a file.
WRITES = [("POST", "kernels"), ("POST", "terminals"), ("PUT", "contents/x"), ("DELETE", "contents/x")]
COOKIE = "code-server-session"
SOCKET = "/api/events/subscribe"
# WebSockets that Jupyter itself opens, and those that it hands on to other servers of the container.
SOCKETS = [SOCKET, f"/api/kernels/{uuid.UUID(int=0)}/channels", "/terminals/websocket/1", "/code/", "/proxy/8888/x"]
STRANGERS: dict[str, dict[str, str]] = {
    "nothing": {},
    "empty token": {"Authorization": "token "},
    "guess": {"Authorization": "token guess"},
    "bearer": {"Authorization": "Bearer "},
    "cookie": {"Cookie": "username-127-0-0-1=x; username-localhost-8888=x"},
    "other host": {"Host": "elsewhere.example"},
    "local host": {"Host": "localhost:8888", "X-Forwarded-For": "127.0.0.1"},
    "other origin": ELSEWHERE,
}
# Settings of Jupyter and of IPython that a program of the image reads, by the SHA-256 of each; and those that an
# installed distribution has in its RECORD, with that digest.
SETTINGS = """
import base64, hashlib, json, pathlib
from importlib import metadata
from IPython import paths as ipython
from IPython.core.application import ENV_CONFIG_DIRS, SYSTEM_CONFIG_DIRS
from jupyter_core import paths
folders = {*paths.jupyter_config_path(), *ENV_CONFIG_DIRS, *SYSTEM_CONFIG_DIRS, ipython.get_ipython_dir()}
files = {path for folder in folders for path in pathlib.Path(folder).rglob("*") if path.is_file()}
files |= {path for name in ("jupyter", "ipython") for path in pathlib.Path("/etc", name).rglob("*") if path.is_file()}
found = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
for distribution in metadata.distributions():
    for file in distribution.files or ():
        path = str(file.locate().resolve())
        if path in found and file.hash and base64.urlsafe_b64decode(file.hash.value + "==").hex() == found[path]:
            del found[path]
print(json.dumps(found))
"""
# All that the image sets of JupyterLab's server: a time after which kernels end, for instance, is nobody's wish.
OF_THE_SERVER = {
    *(f"ServerApp.{name}" for name in ("allow_root", "ip", "open_browser", "port", "port_retries", "root_dir")),
    *(f"FileContentsManager.{name}" for name in ("always_delete_dir", "delete_to_trash")),
    *("ContentsManager.allow_hidden", "LabApp.extension_manager", "PluginManager.level", "ServerProxy.servers"),
    "ZMQChannelsWebsocketConnection.iopub_data_rate_limit",
}
SERVER = "/usr/local/etc/jupyter/jupyter_server_config.json"
CODE_SERVER = {"auth: password", "disable-telemetry: true", "disable-update-check: true"}
KERNEL = """
import pathlib, sys
from jupyter_client import BlockingKernelClient
client = BlockingKernelClient()
client.load_connection_file(str(next(pathlib.Path(sys.argv[1]).glob(f"kernel-{sys.argv[2]}.json"))))
client.start_channels(hb=False)
client.wait_for_ready(timeout=30)
client.execute_interactive("import os, sys; print(sys.prefix, os.getppid() > 1)", timeout=30)
"""


@pytest.fixture(scope="module", params=["workbench", "lab"])
def jupyter(start_shared: Start, request: pytest.FixtureRequest) -> Workbench:
    """Each mode that starts JupyterLab."""
    return open_workbench(start_shared, request.param)


@pytest.fixture(scope="module")
def owner(jupyter: Workbench) -> dict[str, str]:
    """The cookies that the owner's browser has after its first page."""
    answer = request(jupyter.port, "GET", f"/lab?token={SECRET}")
    return {"Cookie": "; ".join(cookie.partition(";")[0] for cookie in answer.headers.get_all("Set-Cookie", []))}


@pytest.fixture(scope="module")
def code(start_shared: Start) -> Workbench:
    """Code-server alone."""
    return open_workbench(start_shared, "code")


# --- JupyterLab ----------------------------------------------------------------------------------


@pytest.mark.requirement("A11")
@pytest.mark.parametrize("stranger", STRANGERS)
def test_stranger_reads_and_writes_nothing(jupyter: Workbench, stranger: str) -> None:
    """No file, no kernel, no terminal, no page but the login's, and nothing that is sent as it happens."""
    headers = STRANGERS[stranger]
    for path in API:
        assert jupyter.get(f"/api/{path}", headers).status in (403, 404), path
    for method, path in WRITES:
        assert jupyter.ask(method, f"/api/{path}", "{}", headers).status in (403, 404), path
    for path in PAGES:
        found = jupyter.get(path, headers)
        assert (found.status, found.headers["location"].partition("?")[0]) == (302, "/login"), path
    answers = {path: request(jupyter.port, "GET", path, **UPGRADE, **headers).status for path in SOCKETS}
    assert (answers[SOCKET], [path for path in SOCKETS if answers[path] == 101]) == (403, [])
    assert jupyter.get("/api/contents/x", TOKEN).status == 404


@pytest.mark.requirement("A11")
def test_login_takes_the_token_alone(jupyter: Workbench) -> None:
    """The form of the page, sent as the page sends it: an empty or another password gives no cookie."""
    cookie = jupyter.get("/login").headers["set-cookie"].partition(";")[0]
    headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
    found = {}
    for word in ("", "guess", SECRET):
        form = urlencode({"_xsrf": cookie.partition("=")[2], "password": word})
        answer = request(jupyter.port, "POST", "/login", form, **headers)
        found[word] = (answer.status, "username-" in str(answer.headers.get_all("Set-Cookie")))
    assert found == {"": (401, False), "guess": (401, False), SECRET: (302, True)}


@pytest.mark.requirement("A11")
def test_page_of_another_site_reaches_nothing(jupyter: Workbench, owner: dict[str, str]) -> None:
    """The browser sends the owner's cookie along: the origin and the missing XSRF token tell who has made the page."""
    assert jupyter.get("/api/contents", owner).status == 200
    assert request(jupyter.port, "GET", SOCKET, **UPGRADE, **owner).status == 101
    answers = {path: request(jupyter.port, "GET", path, **UPGRADE, **owner, **ELSEWHERE).status for path in SOCKETS}
    assert (answers[SOCKET], [path for path in SOCKETS if answers[path] == 101]) == (403, [])
    for path in API:
        answer = jupyter.get(f"/api/{path}", owner | ELSEWHERE)
        assert (answer.status, answer.headers.get("access-control-allow-origin", "")) == (404, ""), path
    for headers in (owner, owner | ELSEWHERE):
        for method, path in WRITES:
            assert jupyter.ask(method, f"/api/{path}", "{}", headers).status in (403, 404), path
    allowed = jupyter.ask("OPTIONS", "/api/contents", headers=ELSEWHERE).headers
    assert allowed.get("access-control-allow-origin", "") == ""


@pytest.mark.requirement("A11")
def test_kernel_of_the_notebook_runs(jupyter: Workbench, owner: dict[str, str]) -> None:
    """The image's own one, in the user's environment on the volume, and there is no other."""
    listed = json.loads(jupyter.get("/api/kernelspecs", TOKEN).body)
    assert (listed["default"], [*listed["kernelspecs"]]) == ("python3", ["python3"])
    assert listed["kernelspecs"]["python3"]["spec"]["env"] == {}
    kernel = json.loads(jupyter.ask("POST", "/api/kernels", "{}", TOKEN).body)["id"]
    _, runtime = jupyter.inside("tr '\\0' '\\n' </proc/$(cat /proc/1/task/1/children | cut -d' ' -f1)/environ")
    folder = dict(line.split("=", 1) for line in runtime.splitlines() if "=" in line)["JUPYTER_RUNTIME_DIR"]
    assert inside(jupyter.container, "python", "-c", KERNEL, folder, kernel) == "/data/.slipway/python True"


@pytest.mark.exact
def test_settings_are_the_images(idle: Container) -> None:
    """A file beside ours, in any folder that Jupyter or IPython reads, could open the server or run a program."""
    folder = repository.ROOT / "docker" / "rootfs" / "workbench"
    own = {f"/{file.relative_to(folder)}": file for file in (folder / "usr/local/etc").rglob("*.*")}
    expected = {path: hashlib.sha256(file.read_bytes()).hexdigest() for path, file in own.items()}
    assert expected
    assert json.loads(inside(idle, "python", "-c", SETTINGS)) == expected


def test_settings_are_those_meant(idle: Container) -> None:
    """They open no door, take nothing away, and send nothing to anybody; what a user sets comes after them."""
    classes = json.loads(inside(idle, "cat", SERVER))
    assert {f"{name}.{setting}" for name, settings in classes.items() for setting in settings} == OF_THE_SERVER
    assert classes["LabApp"] == {"extension_manager": "readonly"}
    lines = inside(idle, "cat", "/usr/local/lib/slipway/code-server.yaml").splitlines()
    assert {line for line in lines if not line.startswith("#")} == CODE_SERVER


# --- code-server ---------------------------------------------------------------------------------


@pytest.mark.requirement("A11")
@pytest.mark.parametrize("password", ["", "guess", SECRET[:-1]])
def test_code_refuses_other_passwords(code: Workbench, password: str) -> None:
    """Empty, wrong or nearly right: no cookie."""
    assert "set-cookie" not in code.post("/login", password=password).headers
    assert code.post("/login", password=SECRET).headers["set-cookie"].startswith(f"{COOKIE}=")


@pytest.mark.requirement("A11")
@pytest.mark.parametrize("value", [None, "", "x"], ids=["no cookie", "empty", "made up"])
def test_code_refuses_strangers(code: Workbench, value: str | None) -> None:
    """No page but the login's, no file, no port of the container, no WebSocket."""
    for host in ({}, {"Host": "elsewhere.example"}):
        headers = host | ({} if value is None else {"Cookie": f"{COOKIE}={value}"})
        for path in ("/?folder=/data", "/proxy/8080/", "/absproxy/8080/"):
            found = code.get(path, headers)
            assert (found.status, "login" in found.headers.get("location", "")) == (302, True), path
        assert code.get("/vscode-remote-resource?path=/etc/passwd", headers).status == 401
        assert request(code.port, "GET", "/", **UPGRADE, **headers).status == 401


@pytest.mark.requirement("A11")
def test_page_of_another_site_reaches_no_editor(code: Workbench) -> None:
    """With the owner's cookie: a WebSocket, by which everything is done, opens for code-server's own page alone."""
    cookie = {"Cookie": code.post("/login", password=SECRET).headers["set-cookie"].partition(";")[0]}
    for origin, status in ((f"http://127.0.0.1:{code.port}", 101), (ELSEWHERE["Origin"], 403), ("null", 403)):
        assert request(code.port, "GET", "/", **UPGRADE, **cookie, Origin=origin).status == status
