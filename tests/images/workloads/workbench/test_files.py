"""What JupyterLab does with files and output: hidden files open, folders go, large output comes."""

import json

import pytest

from tests.images.helpers.containers import VOLUMES, Run, Start, inside
from tests.images.helpers.scope import applies
from tests.images.helpers.workbench import SECRET, TOKEN, Workbench, open_workbench

pytestmark = applies(workload="workbench")

# Runs a cell by the server, as the page does, and prints its output.
CELL = f"""
import json, sys, urllib.request, websocket
token = {{"Authorization": "token {SECRET}"}}
new = urllib.request.Request("http://127.0.0.1:8888/api/kernels", b"{{}}", token)
kernel = json.load(urllib.request.urlopen(new))["id"]
channels = websocket.create_connection(
    f"ws://127.0.0.1:8888/api/kernels/{{kernel}}/channels", header=token, timeout=60
)
header = {{"msg_id": "1", "msg_type": "execute_request", "username": "", "session": "", "version": "5.3"}}
content = {{"code": sys.argv[1], "silent": False}}
channels.send(json.dumps(dict(header=header, parent_header={{}}, metadata={{}}, content=content, channel="shell")))
while True:
    message = json.loads(channels.recv())
    if message["msg_type"] == "stream":
        print(message["content"]["text"])
    if message["parent_header"].get("msg_id") == "1" and message["content"].get("execution_state") == "idle":
        break  # the reply has a channel of its own, and may come before the output
"""
LARGE = 6_000_000  # of characters; Jupyter's own limit is a million bytes a second, over three seconds


# Starts a kernel in a folder, and prints what it imports there.
BESIDE = """
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name="python3", cwd="/data/own")
def show(message):
    if message["msg_type"] == "stream":
        print(message["content"]["text"], end="")
code = "import importlib.util as u; s = u.spec_from_file_location('own', 'types.py'); m = u.module_from_spec(s); "
client.execute_interactive(code + "s.loader.exec_module(m); print(m.ours)", output_hook=show)
manager.shutdown_kernel(now=True)
"""


@pytest.fixture(scope="module")
def lab(start_shared: Start) -> Workbench:
    """JupyterLab."""
    return open_workbench(start_shared, "lab")


def test_hidden_file_opens(lab: Workbench) -> None:
    """Git's menu has `Open .gitignore`; the list of files hides it all the same. Report: jupyterlab-git#1168."""
    assert lab.inside("mkdir -p /data/clone && echo '*.pyc' >/data/clone/.gitignore") == (0, "")
    answer = lab.get("/api/contents/clone/.gitignore", TOKEN)
    assert (answer.status, json.loads(answer.body)["content"]) == (200, "*.pyc\n")


def test_folder_with_files_is_deleted(lab: Workbench) -> None:
    """There is no trash that it could go to, and Jupyter itself then deletes empty folders alone."""
    assert lab.inside("mkdir -p /data/full/below && touch /data/full/below/file") == (0, "")
    assert lab.ask("DELETE", "/api/contents/full", headers=TOKEN).status == 204
    assert lab.inside("ls /data/full")[0] != 0


def test_large_output_is_shown(lab: Workbench) -> None:
    """Jupyter's own limit cuts off what a long training prints at once. Report: jupyter/notebook#2287."""
    assert inside(lab.container, "python", "-c", CELL, f"print('x' * {LARGE})").count("x") == LARGE


def test_git_does_not_wait_in_a_notebook(lab: Workbench) -> None:
    """A cell has a terminal, but nobody types into it."""
    ask = "!printf 'protocol=https\\nhost=example.com\\n\\n' | git credential fill"
    assert "terminal prompts disabled" in inside(lab.container, "python", "-c", CELL, ask)


def test_kernel_runs_beside_files_of_any_name(lab: Workbench) -> None:
    """A folder's types.py is imported by the notebook in it, not by Python's own modules. Report: jupyter#125."""
    assert lab.inside("mkdir -p /data/own && echo 'ours = 1' >/data/own/types.py") == (0, "")
    assert inside(lab.container, "python", "-c", BESIDE) == "1"


def test_extension_is_switched_off(lab: Workbench) -> None:
    """By the Plugin Manager, in the user's settings. Report: jupyterlab/jupyterlab#15486."""
    asked = json.dumps({"cmd": "disable", "plugin_name": "@jupyterlab/help-extension:about"})
    assert lab.ask("POST", "/lab/api/plugins", asked, TOKEN).status == 201


def test_history_of_ipython_is_shared(start: Start) -> None:
    """The next UID of the group writes it, too. Report: ipython/ipython#4753."""
    command = ["ipython", "--no-banner", "-c", "print('computed')"]
    first = start(*command, user="1000:0", mounts=VOLUMES, network_mode="none")
    assert first.wait()["StatusCode"] == 0
    second = start(*command, user="12345:0", volumes_from=[first.id], network_mode="none")
    assert second.wait()["StatusCode"] == 0
    assert second.logs().decode() == "computed\n"


def test_port_in_use_is_an_error(run: Run) -> None:
    """Beside another server, as in a Pod: Jupyter itself would listen elsewhere than its log says."""
    script = "python -m http.server 8888 >/dev/null 2>&1 & "
    script += "until curl --silent --output /dev/null http://127.0.0.1:8888; do sleep 0.1; done; exec entrypoint lab"
    finished = run("sh", "-c", script)
    assert finished.exit_code == 1, finished
    assert "port 8888 is not available" in finished.output, finished
