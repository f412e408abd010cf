"""A workbench as OpenShift AI and Kubeflow start it."""

import json

import pytest

from tests.images.helpers.containers import Start
from tests.images.helpers.scope import applies
from tests.images.helpers.workbench import ONE_VOLUME, open_workbench

pytestmark = applies(workload="workbench")

PREFIX = "/notebook/project/name"
# As OpenShift AI sets them: its proxy authenticates each user.
PLATFORM = {
    "NB_PREFIX": PREFIX,
    "NOTEBOOK_ARGS": "--ServerApp.port=8889 --ServerApp.token='' --ServerApp.password='' "
    f"--ServerApp.base_url={PREFIX} --ServerApp.quit_button=False "
    '--ServerApp.tornado_settings={"user":"someone","hub_prefix":"/projects/project"}',
}


@pytest.mark.requirement("A11", "U10", "T12")
@pytest.mark.parametrize("mode", ["start-notebook.sh", "workbench"])
def test_platform_starts_the_workbench(start: Start, mode: str) -> None:
    """NOTEBOOK_ARGS decides the port and the address; the health check follows."""
    running = open_workbench(start, mode, port=8889, environment=PLATFORM, **ONE_VOLUME)
    assert running.get(f"{PREFIX}/api/contents").status == 200
    assert running.get("/api").status == 404
    assert f"the proxy before {PREFIX} authenticates" in running.log


@pytest.mark.requirement("A11")
def test_start_script_asks_for_a_token(start: Start) -> None:
    """Outside such a platform it is another name of the mode `workbench`."""
    running = open_workbench(start, "start-notebook.sh")
    assert running.get("/api/contents").status == 403


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
