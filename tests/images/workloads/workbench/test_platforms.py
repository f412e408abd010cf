"""A workbench as platforms start it: OpenShift AI, Kubeflow, JupyterHub, and those made for the Jupyter images."""

import json

import pytest
from docker.models.containers import Container

from tests.images.helpers.containers import STRICT, Run, Start, execute, inside, wait_for_health, wait_until
from tests.images.helpers.scope import applies
from tests.images.helpers.workbench import ONE_VOLUME, SECRET, TOKEN, open_workbench

pytestmark = applies(workload="workbench")

PREFIX = "/notebook/project/name"
# As OpenShift AI sets them: its proxy authenticates each user.
PLATFORM = {
    "NB_PREFIX": PREFIX,
    "NOTEBOOK_ARGS": "--ServerApp.port=8889 --ServerApp.token='' --ServerApp.password='' "
    f"--ServerApp.base_url={PREFIX} --ServerApp.quit_button=False "
    '--ServerApp.tornado_settings={"user":"someone","hub_prefix":"/projects/project"}',
}

TOKEN_SET = {"JUPYTER_TOKEN": SECRET}
NO_VOLUME = "warning: no volume is mounted at /data: what is saved there ends with this container"
HUB_API = "http://localhost:8081/hub/api"
# A real hub that has no proxy, and whose servers are containers that a check starts.
HUB = """import json, os
from jupyterhub.proxy import Proxy
from jupyterhub.spawner import Spawner
class NoProxy(Proxy):
    should_start = False
    async def add_route(self, *words): pass
    async def delete_route(self, *words): pass
    async def get_all_routes(self): return {}
class Elsewhere(Spawner):
    async def start(self):
        with open(f"/tmp/{self.user.name}", "w") as file:
            json.dump(self.get_env(), file)
        return "http://127.0.0.1:8889"
    async def stop(self, now=False): pass
    async def poll(self): pass
c.Spawner.port = 8889
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.spawner_class = Elsewhere
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.db_url = "sqlite://"
c.JupyterHub.cookie_secret = os.urandom(32)
c.JupyterHub.services = [{"name": "check", "api_token": "%s"}]
c.JupyterHub.load_roles = [{"name": "all", "scopes": ["admin:users", "admin:servers", "tokens"], "services": ["check"]}]
""".replace("%s", SECRET)


@pytest.mark.requirement("A11", "U10", "T12")
@pytest.mark.parametrize("mode", ["start-notebook.sh", "workbench"])
def test_platform_starts_the_workbench(start: Start, mode: str) -> None:
    """NOTEBOOK_ARGS decides the port and the address; the health check follows."""
    running = open_workbench(start, mode, port=8889, environment=PLATFORM, **ONE_VOLUME)
    assert running.get(f"{PREFIX}/api/contents").status == 200
    assert running.get("/api").status == 404
    assert f"the proxy before {PREFIX} authenticates" in running.log
    assert NO_VOLUME not in running.log


@pytest.mark.parametrize(
    ("cluster", "status"), [({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, 200), ({}, 403)], ids=["in-a-cluster", "outside"]
)
def test_kubeflow_authenticates_in_a_cluster_only(start: Start, cluster: dict[str, str], status: int) -> None:
    """It sets a prefix and no token; on a single machine there is no proxy that authenticates.

    Its volume may be elsewhere than at /data: the log warns.
    """
    running = open_workbench(start, "workbench", environment={"NB_PREFIX": PREFIX} | cluster)
    assert running.get(f"{PREFIX}/api/contents").status == status
    assert NO_VOLUME in running.log


@pytest.mark.requirement("A11")
@pytest.mark.parametrize("name", ["start-notebook.sh", "start-notebook.py"])
def test_start_script_asks_for_a_token(start: Start, name: str) -> None:
    """Outside such a platform it is another name of the mode `workbench`."""
    running = open_workbench(start, name, port=8888, environment={})
    assert running.get("/api/contents").status == 403


@pytest.mark.parametrize("words", [["--IdentityProvider.token=''"], ["--NotebookApp.token", ""]])
def test_start_script_takes_an_empty_token_among_its_arguments(start: Start, words: list[str]) -> None:
    """Somebody has typed it, so it means what it means to Jupyter; the log warns."""
    running = open_workbench(start, "start-notebook.sh", *words, environment={})
    assert running.get("/api/contents").status == 200
    assert "warning: everybody who reaches port 8888 can run programs here" in running.log


@pytest.mark.parametrize(("name", "page"), [("notebook", "/tree"), ("server", "/api/status"), ("lab", "/lab")])
def test_server_of_the_jupyter_images_is_started(start: Start, name: str, page: str) -> None:
    """DOCKER_STACKS_JUPYTER_CMD chooses one of the servers."""
    environment = {"DOCKER_STACKS_JUPYTER_CMD": name, "JUPYTER_TOKEN": SECRET}
    running = open_workbench(start, "workbench", environment=environment)
    assert running.get(page, TOKEN).status == 200
    assert f"Executing: jupyter {name}" in running.log


def test_variables_of_other_images_are_named(start: Start) -> None:
    """Those of the Jupyter images and of linuxserver.io would choose the user; the log says who does."""
    running = open_workbench(start, "start-notebook.sh", environment=TOKEN_SET | {"NB_UID": "1010", "PUID": "1010"})
    assert "warning: this image ignores NB_UID, PUID: files are those of UID 1000, which --user=UID:0" in running.log


def test_variables_are_taken_away(start: Start) -> None:
    """Secrets of the start that a notebook is not to see, as in the Jupyter images."""
    named = {"ONE": "1", "TWO": "2", "THREE": "3", "JUPYTER_ENV_VARS_TO_UNSET": "ONE,TWO"}
    running = open_workbench(start, "start-notebook.sh", environment=TOKEN_SET | named)
    _, output = running.inside("tr '\\0' '\\n' </proc/$(cat /proc/1/task/1/children | cut -d' ' -f1)/environ")
    assert {"ONE=1", "TWO=2", "THREE=3"} & {*output.splitlines()} == {"THREE=3"}


def test_start_sh_runs_a_command(run: Run) -> None:
    """In the Jupyter images it is the entry point, which some give as the command as well."""
    assert run("start.sh", "echo", "two words").require_success() == "two words\n"


def test_command_of_jupyter_is_executed_as_given(run: Run) -> None:
    """What starts no server needs no volume and prints nothing else."""
    assert run("jupyter", "--paths", read_only=True).require_success().startswith("config:")
    assert "--ServerApp.port" in run("jupyter", "lab", "--help-all").require_success()


# --- JupyterHub ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hub(start_shared: Start) -> Container:
    """A JupyterHub, which starts servers by writing down their environment."""
    script = 'cd /tmp && printf %s "$CONFIG" >config.py && exec jupyterhub --config=config.py'
    container = start_shared("sh", "-c", script, network_mode="none", environment={"CONFIG": HUB})
    wait_until(lambda: execute(container, "curl", "--silent", HUB_API).exit_code == 0, "the hub answers")
    return container


def ask_hub(hub: Container, path: str) -> str:
    """Send a request to the hub and return its answer."""
    command = ["curl", "--silent", "--show-error", "--request", "POST", "--data", "{}"]
    return inside(hub, *command, "--header", f"Authorization: token {SECRET}", f"{HUB_API}/{path}")


@pytest.mark.parametrize("mode", ["jupyterhub-singleuser", "workbench"])
def test_hub_decides_who_comes_in(start: Start, hub: Container, mode: str) -> None:
    """The server listens where the hub has told it, lets the user in by the hub's answer, and others not.

    On its volume another UID has worked for itself alone.
    """
    user = f"some-{mode}@one"
    for path in (f"users/{user}", f"users/{user}/server"):
        ask_hub(hub, path)
    token = json.loads(ask_hub(hub, f"users/{user}/tokens"))["token"]
    file = f"/tmp/{user}"
    wait_until(lambda: execute(hub, "test", "-s", file).exit_code == 0, "the hub starts a server")
    environment = json.loads(inside(hub, "cat", file))
    used = start("sh", "-c", "umask 0077; mkdir -p .jupyter .ipython .local/share/jupyter", mounts=ONE_VOLUME["mounts"])
    assert used.wait()["StatusCode"] == 0
    container = start(
        mode, environment=environment, network_mode=f"container:{hub.id}", volumes_from=[used.id], **STRICT
    )
    wait_for_health(container, "healthy")
    page = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}"]
    address = f"{environment['JUPYTERHUB_SERVICE_URL']}api/contents"
    assert inside(container, *page, address) == "403"
    assert inside(container, *page, "--header", f"Authorization: token {token}", address) == "200"
    container.kill()  # its port is the next one's


# --- JupyterLab ----------------------------------------------------------------------------------


@pytest.mark.requirement("A11")
def test_jupyterlab_asks_for_no_news(start: Start) -> None:
    """No announcements, no question about them, and no extensions that could not be installed."""
    running = open_workbench(start, "lab", environment={"JUPYTER_TOKEN": "token"})
    page = running.get("/lab", {"Authorization": "token token"}).text
    settings = json.loads(
        page.partition('<script id="jupyter-config-data" type="application/json">')[2].partition("<")[0]
    )
    assert "@jupyterlab/apputils-extension:announcements" in json.dumps(settings["disabledExtensions"])
    assert settings["extensionManager"]["can_install"] is False
