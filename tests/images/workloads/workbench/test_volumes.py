"""A volume as others have left it: another UID, another group, a full disk, a file system without modes."""

import json
from collections.abc import Iterator
from typing import Any

import docker
import pytest
from docker.models.volumes import Volume

from slipway.docker import TEST_LABEL
from tests.images.helpers.containers import STRICT, Run, Start
from tests.images.helpers.scope import applies
from tests.images.helpers.workbench import ONE_VOLUME, SECRET, TOKEN, Workbench, entrypoint_after, open_workbench

pytestmark = applies(workload="workbench")

MODES = ["workbench", "lab", "start-notebook.sh", "code"]
EDITORS = ["workbench", "code"]
CELL: dict[str, Any] = {"cell_type": "code", "metadata": {}, "source": "6 * 7", "outputs": [], "execution_count": None}
NOTEBOOK = {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [CELL]}
SAVED = json.dumps({"type": "notebook", "content": NOTEBOOK})
# What Jupyter and IPython leave when one UID works for itself alone: a key, databases and folders that are its own.
WORK = """
umask 0022; export HOME=/data
printf %s "$NOTEBOOK" >work.ipynb
jupyter trust work.ipynb; ipython -c 1; git init --quiet /data/clone
mkdir -p .jupyter && chmod g+w /data .local .local/share
"""
FILL = "mkdir -p .ipython/profile_default; dd if=/dev/zero of=big.bin bs=4k; dd if=/dev/zero of=rest.bin bs=1"
STATE_OF_CODE = "/data/.local/share/code-server"
# What a mount of CIFS, of NFS or of an object store answers.
REFUSED = ["chmod", "fchmod", "fchmodat", "fchmodat2", "link", "linkat"]
LINKS = ["symlink", "symlinkat"]
NO_LINKS = "cannot be written by UID 12345: Operation not permitted: the volume has no symbolic links"


@pytest.fixture(scope="module")
def volumes(client: docker.DockerClient) -> Iterator[list[Volume]]:
    """The volumes of this module: they are removed after the containers."""
    made: list[Volume] = []
    yield made
    for volume in made:
        volume.remove(force=True)


@pytest.fixture
def volume(client: docker.DockerClient, volumes: list[Volume]) -> Volume:
    """A new volume, which the image's user owns once a container has mounted it."""
    volumes.append(client.volumes.create(labels={TEST_LABEL: ""}))
    return volumes[-1]


@pytest.fixture(scope="module")
def used(client: docker.DockerClient, volumes: list[Volume], start_shared: Start) -> Volume:
    """A volume that UID 1000 has worked on, for itself alone."""
    volumes.append(client.volumes.create(labels={TEST_LABEL: ""}))
    mounts = [docker.types.Mount("/data", volumes[-1].name)]
    container = start_shared("sh", "-c", WORK, mounts=mounts, environment={"NOTEBOOK": json.dumps(NOTEBOOK)})
    assert container.wait()["StatusCode"] == 0, container.logs().decode()
    return volumes[-1]


def on(volume: Volume, **rights: Any) -> dict[str, Any]:
    """Return the options of a container with the narrowest rights and this volume."""
    return STRICT | {"mounts": [docker.types.Mount("/data", volume.name, no_copy=True)]} | rights


def work(running: Workbench, mode: str) -> None:
    """Save a notebook and start its kernel, as the page does; code-server has the files."""
    if mode == "code":
        assert running.inside("echo saved >/data/saved && rm /data/saved") == (0, "")
        return
    assert running.ask("PUT", "/api/contents/new.ipynb", SAVED, TOKEN).status == 201
    assert running.get("/api/contents/new.ipynb", TOKEN).status == 200
    assert running.ask("POST", "/api/kernels", "{}", TOKEN).status == 201
    assert running.ask("DELETE", "/api/contents/new.ipynb", "", TOKEN).status == 204


@pytest.mark.parametrize("mode", MODES)
def test_volume_of_another_uid_is_worked_on(start: Start, used: Volume, mode: str) -> None:
    """Clusters give each start a UID of its own, with the same group."""
    running = open_workbench(start, mode, **on(used))
    work(running, mode)
    assert running.inside("git -C /data/clone status --short") == (0, "")


def test_state_of_vs_code_is_the_groups(start: Start, volume: Volume) -> None:
    """What one UID has made, in part for itself alone as an earlier image did, the next one writes to."""
    before = entrypoint_after(
        f"umask 0077; mkdir -p {STATE_OF_CODE}/User/globalStorage; chmod g+rx /data/.local /data/.local/share"
    )
    mounts = [docker.types.Mount("/data", volume.name)]
    for user in ("1000:0", "12345:0"):
        running = open_workbench(start, "code", **on(volume, user=user, mounts=mounts), entrypoint=before)
        cookie = running.post("/login", password=SECRET).headers["set-cookie"].partition(";")[0]
        assert running.get("/?folder=/data", {"Cookie": cookie}).status == 200
        script = f"cd {STATE_OF_CODE} && for name in . Machine User User/globalStorage User/History extensions; do "
        script += 'echo {} >"$name/of-$(id -u)" || exit 1; done'
        assert running.inside(script) == (0, "")
        running.container.kill()


def test_folders_that_docker_makes_for_a_mount_are_named(start: Start) -> None:
    """Those above the mount are root's; VS Code's settings last for this start. Report: coder/code-server#1191.

    The way out that the message names is one.
    """
    mounted = {f"{STATE_OF_CODE}/extensions": "uid=1000,gid=0,mode=0770"}
    running = open_workbench(start, "code", tmpfs=mounted)
    assert running.log.count("warning: /data/.local cannot be written by UID 1000") == 1
    cookie = running.post("/login", password=SECRET).headers["set-cookie"].partition(";")[0]
    assert running.get("/?folder=/data", {"Cookie": cookie}).status == 200
    assert "EACCES" not in running.log
    assert running.inside("touch /data/.local/mine")[0] != 0
    advice = running.log.partition("docker exec --user 0:0 CONTAINER ")[2].splitlines()[0]
    assert running.inside(advice, user="0:0") == (0, "")
    assert running.inside(f"touch {STATE_OF_CODE}/mine") == (0, "")


def test_closed_settings_of_jupyter_are_named(start: Start) -> None:
    """A setting is mounted, and so the user's are lost at the end. What is mounted read-only is meant to be so."""
    owned = "uid=0,gid=0,mode=0755"
    mounted = {"/data/.jupyter/lab": owned, "/data/.config": f"{owned},ro"}
    running = open_workbench(start, "lab", tmpfs=mounted)
    assert "warning: /data/.jupyter cannot be written by UID 1000" in running.log
    assert "/data/.config cannot" not in running.log


def test_kernel_of_another_image_is_named(start: Start) -> None:
    """It comes before the image's own of that name. Report: jupyter/notebook#3481."""
    folder = "/data/.local/share/jupyter/kernels/python3"
    specification = '{"argv": ["/opt/conda/bin/python", "-m", "ipykernel_launcher"], "display_name": "Old"}'
    own = specification.replace("/opt/conda/bin/python", "{resource_dir}/start")  # which Jupyter itself replaces
    script = f"mkdir -p {folder} {folder}-own; echo '{specification}' >{folder}/kernel.json; "
    before = entrypoint_after(f"{script}echo '{own}' >{folder}-own/kernel.json")
    running = open_workbench(start, "lab", entrypoint=before)
    named = f"warning: the kernel {folder} does not start: this image has no /opt/conda/bin/python; delete the folder"
    assert [line for line in running.log.splitlines() if "does not start" in line] == [named]


@pytest.mark.parametrize(
    "case", [("0:4242", "12345:0"), ("1010:100", "1010:100")], ids=["fs-group", "folder-of-a-user"]
)
def test_volume_of_another_group_is_worked_on(start: Start, run: Run, volume: Volume, case: tuple[str, str]) -> None:
    """Kubernetes gives a volume to the group fsGroup; a folder of the host has an owner who starts the container."""
    owner, user = case
    group = owner.partition(":")[2]
    mounts = [docker.types.Mount("/data", volume.name, no_copy=True)]
    command = f"chown {owner} /data && chmod 2770 /data"
    run(command, entrypoint=["sh", "-c"], user="0", mounts=mounts).require_success()
    running = open_workbench(start, "workbench", **on(volume, user=user, group_add=[group]))
    work(running, "workbench")
    _, output = running.inside("stat -c %g /data/.slipway; id -u; id -g")
    assert output.split() == [group, *user.split(":")]


@pytest.mark.parametrize("mode", EDITORS)
def test_full_volume_lets_its_owner_in_to_delete(start: Start, mode: str) -> None:
    """All of /data is taken, Jupyter's own files are there from before, and what is deleted is free again."""
    room = {"/data": "size=4m,uid=12345,gid=0,mode=0770", "/tmp": ""}
    running = open_workbench(start, mode, **STRICT | {"tmpfs": room, "entrypoint": entrypoint_after(FILL)})
    assert "big.bin" in running.inside("ls /data")[1]
    if mode == "code":
        assert running.inside("rm /data/big.bin") == (0, "")
    else:
        assert running.ask("DELETE", "/api/contents/big.bin", "", TOKEN).status == 204
    assert running.inside("find /data -name '*big.bin*'") == (0, "")
    work(running, mode)


@pytest.mark.parametrize("mode", EDITORS)
@pytest.mark.parametrize("refused", [REFUSED, REFUSED + LINKS], ids=["modes", "modes-and-links"])
def test_file_system_without_modes_is_worked_on(start: Start, mode: str, refused: list[str]) -> None:
    """It refuses chmod and hard links; here the kernel does so for every file system of the container.

    Without symbolic links there is no room for packages of the user's own, which the log says.
    """
    rules = [{"names": refused, "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]
    profile = json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules})
    running = open_workbench(start, mode, **ONE_VOLUME | {"security_opt": ["no-new-privileges", f"seccomp={profile}"]})
    work(running, mode)
    assert (NO_LINKS in running.log) == ("symlink" in refused)


@pytest.mark.requirement("T16")
def test_volume_that_cannot_be_written_is_one_clear_message(run: Run, volume: Volume, start: Start) -> None:
    """It says what is wrong; the way out that it names is one."""
    mount = docker.types.Mount("/data", volume.name, no_copy=True)
    run("sh", "-c", "chown 1010:100 /data && chmod 750 /data", user="0", mounts=[mount]).require_success()
    refused = run("workbench", **on(volume))
    refused.require_message("error: /data cannot be written by UID 12345: mount a volume there")
    assert "(--user=1010:0)" in refused.output
    open_workbench(start, "lab", **on(volume, user="1010:0"))
    read_only = docker.types.Mount("/data", volume.name, read_only=True)
    run("workbench", **STRICT | {"mounts": [read_only]}).require_message("error: /data is mounted read-only")
