"""The user's own Python environment: on the volume, above the image's packages, for pip and uv, wherever they run."""

import json
from typing import Any

import pytest
from docker.models.containers import Container

from slipway.matrix import Image
from tests.images.helpers.containers import (
    STRICT,
    WITHOUT_GPU,
    Finished,
    Run,
    Start,
    execute,
    wait_for_health,
    wait_until,
)
from tests.images.helpers.scope import applies
from tests.images.helpers.wheels import FOLDER, put_wheel
from tests.images.helpers.workbench import CREDENTIALS, ONE_VOLUME, SECRET

pytestmark = applies(workload="workbench")

ENVIRONMENT = "/data/.slipway/python"
OFFLINE = f"--no-index --find-links={FOLDER}"
# Runs a cell in a new kernel, as a notebook does, and prints what it prints.
NOTEBOOK = """
import sys
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name="python3")
show = lambda message: print(message["content"].get("text", message["content"].get("traceback", "")))
try:
    client.execute_interactive(sys.argv[1], timeout=60, output_hook=show)
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
"""
# Types a line into a terminal of JupyterLab and prints what it shows.
TERMINAL = f"""
import json, sys, urllib.request, websocket
token = {{"Authorization": "token {SECRET}"}}
new = urllib.request.Request("http://127.0.0.1:8888/api/terminals", method="POST", headers=token)
name = json.load(urllib.request.urlopen(new))["name"]
terminal = websocket.create_connection(f"ws://127.0.0.1:8888/terminals/websocket/{{name}}", header=token, timeout=60)
terminal.send(json.dumps(["stdin", sys.argv[1] + "; echo this is the en''d\\r"]))
shown = ""
while "is the end" not in shown:
    kind, *rest = json.loads(terminal.recv())
    shown += rest[0] if kind == "stdout" else ""
print(shown)
"""
SSH = "ssh -q -p 2222 -i /data/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null app@127.0.0.1"


def run_in(container: Container, *command: str, **options: Any) -> Finished:
    """Run a command in a running container, with the volume as home."""
    home = {"HOME": "/data", "TMPDIR": "/data", "XDG_CACHE_HOME": "/data/.cache"}
    return execute(container, *command, environment=home, **options)


def share(container: Container, uid: str = "12345") -> dict[str, Any]:
    """Return options for a container with the volume of another one, in the narrowest rights."""
    return STRICT | {"user": f"{uid}:0", "volumes_from": [container.id], "network_mode": "none"}


@pytest.fixture
def lab(start: Start) -> Container:
    """JupyterLab with one volume, a read-only root and no network."""
    container = start("lab", environment=CREDENTIALS["lab"] | WITHOUT_GPU, network_mode="none", **ONE_VOLUME)
    wait_for_health(container, "healthy")
    return container


@pytest.fixture
def volume(start: Start) -> Container:
    """An idle container with one volume, which the entry point has made the environment on."""
    container = start("sleep", "infinity", network_mode="none", **ONE_VOLUME)
    made = ["test", "-e", f"{ENVIRONMENT}/bin/python"]
    wait_until(lambda: run_in(container, *made).exit_code == 0, "there is an environment")
    return container


def install(container: Container, place: str, tool: str, name: str) -> str:
    """Install a wheel by pip or uv in a notebook, a terminal or an ssh login, and return what was shown."""
    command = {"pip": f"pip install {OFFLINE} {name}", "uv": f"uv pip install --offline {OFFLINE} {name}"}[tool]
    if place == "ssh":
        return run_in(container, "sh", "-c", f"{SSH} '{command} && {name}'", user="0").output
    if place == "terminal":
        return run_in(container, "python", "-c", TERMINAL, f"{command} && {name}").output
    cell = f"{'%' if tool == 'pip' else '!'}{command}\nimport {name}\n{name}.main()"
    return run_in(container, "python", "-c", NOTEBOOK, cell).output


@pytest.mark.requirement("V9")
@pytest.mark.timeout(300)
def test_pip_and_uv_install_onto_the_volume(lab: Container, start: Start, contract: Image) -> None:
    """Each wheel asks for packages of the image and no index has them: it is installed as they are seen.

    Another container under another UID has all of them; without the folder it is the image again.
    """
    has_torch = contract.flavor != "base" and "torch" in contract.variant.versions
    requires = ["numpy>=2", "pandas", *(["torch>=1"] if has_torch else [])]
    # ssh has a client's user in the password database: root.
    run_in(lab, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/data/key", user="0").require_success()
    public = run_in(lab, "cat", "/data/key.pub").output
    ssh = start("ssh", environment={"AUTHORIZED_KEYS": public}, **share(lab))
    wait_for_health(ssh, "healthy")
    names = []
    for place, container in (("notebook", lab), ("terminal", lab), ("ssh", ssh)):
        for tool in ("pip", "uv"):
            names.append(f"{place}_{tool}")
            put_wheel(lab, names[-1], "1.25", requires)
            shown = install(container, place, tool, names[-1])
            assert "1.25" in shown.split(), shown
    own = f"{ENVIRONMENT}/lib/python{contract.variant.versions['python']}/site-packages"
    listed = run_in(lab, "sh", "-c", f"cd {own} && ls -d */").require_success().split()
    assert sorted(name.strip("/") for name in listed if not name.endswith(".dist-info/")) == sorted(names)

    other = start("sleep", "infinity", **share(lab, "54321"))
    program = f"import {', '.join(names)}, numpy; print(numpy.__file__)"
    assert run_in(other, "entrypoint", "python", "-c", program).require_success().startswith("/opt/venv/")
    for number, command in enumerate(["pip", "python -m pip", "uv pip"]):
        put_wheel(lab, f"later{number}", "1.25", requires)
        run_in(other, *f"entrypoint {command} install {OFFLINE} later{number}".split()).require_success()
        assert run_in(other, "entrypoint", f"later{number}").require_success() == "1.25\n"
    # A file of the user's that has the name of a module.
    script = "mkdir /data/types && cd /data/types && echo A=1 >types.py && entrypoint pip --version"
    run_in(other, "sh", "-c", script).require_success()
    run_in(lab, "rm", "-r", ENVIRONMENT).require_success()
    again = start("sleep", "infinity", **share(lab))
    found = "import importlib.util, sys, numpy; print([n for n in sys.argv[1:] if importlib.util.find_spec(n)])"
    assert run_in(again, "python", "-c", found, *names).require_success() == "[]\n"


@pytest.mark.parametrize("tool", ["pip", "uv pip"])
def test_newer_version_wins(volume: Container, run: Run, tool: str) -> None:
    """It replaces what the image shows; uninstalled, the image's is back, which cannot be uninstalled itself."""
    version = ["python", "-c", "import numpy; print(numpy.__version__)"]
    before = run_in(volume, *version).require_success()
    put_wheel(volume, "numpy", "99.0")
    run_in(volume, *f"{tool} install {OFFLINE} --upgrade numpy".split()).require_success()
    assert run_in(volume, *version).require_success() == "99.0\n"
    metadata = ["python", "-c", "from importlib import metadata; print(metadata.version('numpy'))"]
    assert run("python", *metadata[1:], volumes_from=[volume.id]).require_success() == "99.0\n"
    run_in(volume, *tool.split(), "uninstall", *(["-y"] if tool == "pip" else []), "numpy").require_success()
    assert run_in(volume, *version).require_success() == before
    assert run(*metadata, volumes_from=[volume.id]).require_success() == before


def test_environment_is_made_within_a_second(volume: Container, real_time: None) -> None:
    """Of a processor, so that other checks may run beside it. Four processes at once leave one that is whole."""
    make = "/opt/venv/bin/python -IS /usr/local/lib/slipway/environment/make.py --records"
    timed = run_in(volume, "bash", "-c", f"rm -r {ENVIRONMENT}; TIMEFORMAT='%U %S'; time {make}").require_success()
    assert sum(float(seconds) for seconds in timed.split()) < 1
    listing = f"ls -A {ENVIRONMENT}/lib/python3*/site-packages"
    begun = f"mkdir -p {ENVIRONMENT}/lib/$(cd /opt/venv/lib && echo python3*)"  # what another process has made so far
    together = f"rm -r {ENVIRONMENT}; {begun}; for i in 1 2 3 4; do {make} & done; wait; {listing}"
    listed = run_in(volume, "sh", "-c", together).require_success().split()
    assert [name for name in listed if not name.endswith(".dist-info")] == ["slipway.pth"]
    run_in(volume, "uv", "pip", "check").require_success()


def test_environment_of_another_python_is_kept(volume: Container, run: Run) -> None:
    """After an update of the image there is a new one, and one line about the old."""
    move = f"cd {ENVIRONMENT}/lib && mv python3* python3.1"
    run_in(volume, "sh", "-c", move).require_success()
    program = ("python", "-c", "import numpy, sys; print(sys.prefix)")
    first, second = (run(*program, volumes_from=[volume.id]) for _ in range(2))
    note = first.output.replace(first.stdout, "")
    assert note.startswith("note: this image has Python 3.1"), first
    assert f"kept in {ENVIRONMENT}-3.1; install it again" in note
    assert (note.count("\n"), first.stdout, second.output) == (1, f"{ENVIRONMENT}\n", f"{ENVIRONMENT}\n")


@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_volume_that_cannot_be_written_is_one_line(run: Run, volume: Container, kind: str) -> None:
    """The image's packages are there all the same."""
    narrow = STRICT | {"tmpfs": {"/tmp": ""}}
    if kind == "full":
        narrow |= {"tmpfs": {"/tmp": "", "/data": "size=4k,mode=1777"}}
    else:
        run_in(volume, "rm", "-r", ENVIRONMENT).require_success()
        narrow |= {"volumes_from": [f"{volume.id}:ro"]}
    finished = run("python", "-c", "import numpy; print('computed')", **narrow)
    warning = finished.require_success().replace(finished.stdout, "")
    what = f"{ENVIRONMENT}, for packages of your own," if kind == "full" else "neither /cache nor /data"
    assert warning.startswith(f"warning: {what} can"), finished
    assert (warning.count("\n"), finished.stdout) == (1, "computed\n"), finished


@pytest.mark.parametrize(("variable", "option"), [("1", ""), ("", "--user")])
def test_pip_for_the_user_is_what_it_always_does(volume: Container, variable: str, option: str) -> None:
    """Other images ask for it, and pip itself refuses it in an environment."""
    put_wheel(volume, "wanted")
    script = f"PIP_USER={variable} pip install {option} {OFFLINE} wanted >&2; "
    script += "python -c 'import wanted; print(wanted.__file__)'"
    finished = run_in(volume, "bash", "-c", script)
    finished.require_success()
    assert finished.stdout.startswith(f"{ENVIRONMENT}/lib/"), finished


def test_environments_that_users_make_are_left_alone(volume: Container) -> None:
    """Activated, they are what pip and uv install into; they do not see the image's packages."""
    put_wheel(volume, "mine")
    put_wheel(volume, "numpy", "99.0")
    for make, tool in (("python -m venv", "pip"), ("uv venv -q", "uv pip")):
        script = f"set -e; cd; rm -rf own; {make} own; . own/bin/activate; {tool} install {OFFLINE} mine numpy >&2; "
        script += (
            "python -c 'import mine, numpy, sys; print(sys.prefix, numpy.__version__)'; bash -lc 'command -v mine'"
        )
        finished = run_in(volume, "bash", "-c", script)
        finished.require_success()
        assert finished.stdout == "/data/own 99.0\n/data/own/bin/mine\n", finished
    refused = run_in(volume, "bash", "-c", ". ~/own/bin/activate; pip install mine")
    refused.require_message("error: /data/own has no pip: install by uv pip install")


def test_programs_of_the_image_see_what_the_user_installed(volume: Container) -> None:
    """A service of the user's own that uvicorn starts, ipython: by `docker exec` and below the entry point.

    In an environment that the user has activated they are the image's alone.
    """
    put_wheel(volume, "mine")
    run_in(volume, *f"pip install {OFFLINE} mine".split()).require_success()
    ask = ["ipython", "--no-banner", "-c", "import mine, numpy, sys; print(sys.prefix)"]
    for command in (ask, ["entrypoint", *ask]):
        assert run_in(volume, *command).require_success() == f"{ENVIRONMENT}\n"
    loaded = run_in(volume, "uvicorn", "mine:nothing")
    assert 'Attribute "nothing" not found in module "mine"' in loaded.output, loaded
    own = run_in(volume, "bash", "-c", "cd; uv venv -q own; . own/bin/activate; ipython -c 'import mine'")
    assert "ModuleNotFoundError" in own.output, own


def test_pip_and_uv_install_below_another_entry_point(start: Start) -> None:
    """The environment, which the image's entry point would have made, is made by them; without a volume pip says so."""
    container = start(entrypoint=["sleep", "infinity"], network_mode="none", **ONE_VOLUME)
    for tool in ("pip", "uv pip"):
        put_wheel(container, "mine")
        run_in(container, *f"{tool} install {OFFLINE} mine".split()).require_success()
        assert run_in(container, "mine").require_success()
        run_in(container, "rm", "-r", ENVIRONMENT).require_success()
    closed = start(entrypoint=["sleep", "infinity"], network_mode="none", user="12345:12345", read_only=True)
    run_in(closed, "pip", "install", "mine").require_message("error: pip installs into /data, which UID 12345")


@pytest.mark.parametrize("tool", ["pip", "uv pip"])
def test_build_on_the_image_installs_into_it(start: Start, tool: str) -> None:
    """A RUN of a Dockerfile, as root: what it wrote to /data would be hidden by the volume. Its group may not write."""
    container = start(entrypoint=["sleep", "infinity"], network_mode="none", user="0")
    put_wheel(container, "mine")
    execute(container, *f"{tool} install {OFFLINE} mine".split()).require_success()
    program = "import mine, os; print(mine.__file__, oct(os.stat(mine.__file__).st_mode))"
    place, mode = execute(container, "python", "-c", program).require_success().split()
    assert (place.startswith("/opt/venv/lib/"), mode) == (True, "0o100644")
    execute(container, "rmdir", "/data/.slipway").require_message("rmdir: failed to remove '/data/.slipway': No such")


# --- widgets and formats -------------------------------------------------------------------------


def test_progress_bar_is_a_widget(lab: Container) -> None:
    """tqdm.notebook needs ipywidgets, and `%matplotlib widget` ipympl: what they show is for their extensions."""
    cells = ["from tqdm.notebook import tqdm\nlist(tqdm(range(2)))"]
    cells += ["%matplotlib widget\nfrom matplotlib import pyplot\npyplot.plot([1, 2])\npyplot.show()"]
    new = "import nbformat.v4 as v4, json, sys; "
    new += "nb = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in json.loads(sys.argv[1])]); "
    new += "open('/data/bar.ipynb', 'w').write(v4.writes(nb))"
    run_in(lab, "python", "-c", new, json.dumps(cells)).require_success()
    run_in(lab, "jupyter", "nbconvert", "--execute", "--to=notebook", "--inplace", "bar.ipynb").require_success()
    notebook = json.loads(run_in(lab, "cat", "/data/bar.ipynb").output)
    for cell in notebook["cells"]:
        shown = [kind for output in cell["outputs"] for kind in output.get("data", {})]
        assert "application/vnd.jupyter.widget-view+json" in shown, cell["outputs"]


def test_format_that_needs_pandoc_is_one_clear_message(volume: Container) -> None:
    """The image has no pandoc, for which a user's own is taken, and no browser."""
    notebook = json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": []})
    run_in(volume, "sh", "-c", 'printf %s "$1" >/data/empty.ipynb', "sh", notebook).require_success()
    convert = ["jupyter", "nbconvert", "--to=rst", "/data/empty.ipynb"]
    run_in(volume, *convert).require_message("error: --to rst needs pandoc")
    browser = run_in(volume, "jupyter", "nbconvert", "--to", "webpdf", "/data/empty.ipynb")
    browser.require_message("error: --to webpdf needs a browser, which the image leaves out: --to pdf needs none")
    own = f"cd {ENVIRONMENT}/lib/python3*/site-packages && mkdir -p pypandoc/files && cd pypandoc/files && "
    own += "printf '#!/bin/sh\\necho pandoc 3.0\\n' >pandoc && chmod +x pandoc"
    run_in(volume, "sh", "-c", own).require_success()
    run_in(volume, *convert).require_success()
