"""What a process finds, however it came into the container: home, umask, language, PATH, writable caches."""

from typing import Any

import docker
import pytest
from docker.models.containers import Container

from tests.images.helpers.containers import STRICT, VOLUMES, Run, Start, inside
from tests.images.helpers.scope import applies

pytestmark = applies()

LIMITS = "grep -E 'open files|processes|core|file size' /proc/self/limits"
SHOW = f"umask; {LIMITS}; locale charmap; env | grep -E '^(HOME|LANG|PATH|TMPDIR|USER)=|CACHE|^[A-Z_]*=/cache' | sort"
# What `docker exec` starts, beside a program: that has all but the umask, which is the engine's.
WAYS = {
    "bash": ["bash", "-c", SHOW],
    "login-bash": ["bash", "-l", "-c", SHOW],
    "login-sh": ["sh", "-l", "-c", SHOW],
    "prompt-of-bash": ["sh", "-c", f'echo "{SHOW}" | bash -i 2>/dev/null'],
    "prompt-of-sh": ["sh", "-c", f'echo "{SHOW}" | sh -i 2>/dev/null'],
}
READ_ONLY = STRICT | {"tmpfs": {"/tmp": "exec"}}
USERS: dict[str, dict[str, Any]] = {
    "default": {},
    "no name": {"user": "4321"},
    "no volume": READ_ONLY,
    "empty language": {"environment": {"LANG": ""}},
    "another host's settings": {"environment": {"LANG": "xx_XX.UTF-8", "HOME": "/home/somebody"}},
}

# Puts a program in each folder that a variable names, runs it, and prints the variable.
RUN_PROGRAM = """
for name; do
    eval "folder=\\$$name"
    mkdir -p "$folder" && cp /bin/true "$folder/true" && "$folder/true" && echo "$name"
done
"""
PLACES = {
    "volumes": STRICT | {"tmpfs": {"/tmp": ""}, "mounts": VOLUMES},
    "data alone": STRICT | {"tmpfs": {"/tmp": ""}, "mounts": VOLUMES[1:]},
    "no volume": READ_ONLY,
}
OWN_PACKAGE = "mkdir app && echo 'print(\"mine\")' >app/main.py && python -m app.main"


@pytest.fixture(scope="module", params=list(USERS.values()), ids=list(USERS))
def started(start_shared: Start, request: pytest.FixtureRequest) -> Container:
    """A container of a user, started with a plain command."""
    return start_shared("sleep", "infinity", network_mode="none", **request.param)


@pytest.fixture(scope="module")
def given(started: Container) -> list[str]:
    """What a command finds that the entry point starts."""
    return inside(started, "entrypoint", "sh", "-c", SHOW).splitlines()


@pytest.mark.requirement("U10")
@pytest.mark.parametrize("way", WAYS)
def test_process_finds_what_the_entry_point_gives(started: Container, given: list[str], way: str) -> None:
    """The same umask, limits, character set, home, PATH and caches in each shell that `docker exec` starts."""
    assert (given[0], given[5]) == ("0002", "UTF-8")
    assert {"HOME=/data", "HOME=/tmp"} & {*given}
    assert inside(started, *WAYS[way]).splitlines() == given


@pytest.mark.requirement("U10", "T12", "N12")
@pytest.mark.parametrize("place", PLACES)
def test_program_in_a_cache_runs(run: Run, environment: dict[str, str], place: str) -> None:
    """torch.compile and others load what they have compiled there: on a read-only root, with and without volumes.

    Reports: foundation-model-stack/fms-hf-tuning#367, pytorch/pytorch#91005.
    """
    caches = [name for name, value in environment.items() if value == "/cache" or value.startswith("/cache/")]
    output = run("sh", "-c", RUN_PROGRAM, "sh", *caches, "HOME", **PLACES[place]).require_success()
    assert {*caches, "HOME"} <= {*output.splitlines()}


def test_what_a_read_only_cache_holds_is_read(start: Start) -> None:
    """Models are often mounted read-only; what would be written goes elsewhere."""
    container = start("sleep", "infinity", network_mode="none")
    inside(container, "sh", "-c", "mkdir /cache/huggingface && chmod 0555 /cache")
    show = 'echo "$HF_HOME $TRITON_CACHE_DIR $XDG_CACHE_HOME"'
    assert inside(container, "bash", "-c", show) == "/cache/huggingface /data/.cache/triton /data/.cache"


def test_missing_volumes_are_one_clear_message(run: Run) -> None:
    """It says what to add; the command runs, and its exit code is the container's."""
    finished = run("sh", "-c", "exit 3", read_only=True)
    finished.require_message("warning: neither /cache nor /data can be written by UID 1000: mount volumes", exit_code=3)


@pytest.mark.parametrize("folder", ["/cache/models", "/data/models"])
def test_closed_folder_of_a_mount_is_one_clear_message(run: Run, folder: str) -> None:
    """Docker makes the folder of a volume as root; one that is mounted read-only is meant to be so.

    Reports: mikesvoboda/nemotron-v3-home-security-intelligence#1386, jamiepine/voicebox#542.
    """
    closed = docker.types.Mount(folder, source=None)
    run("true", mounts=[closed]).require_message(
        f"warning: {folder} cannot be written by UID 1000: mount the volume at {folder.removesuffix('/models')},",
        exit_code=0,
    )
    assert run("true", tmpfs={folder: "ro"}).require_success() == ""


def test_limit_of_processor_time_is_one_clear_message(run: Run) -> None:
    """PyTorch and NumPy would start too many threads. Reports: kserve/kserve#1031, OpenMathLib/OpenBLAS#6059."""
    warnings = run("true", nano_cpus=10**9 // 2).require_success().splitlines()
    assert len(warnings) == (run("nproc").require_success() != "1\n")
    assert all(line.endswith(" start a thread for each: set OMP_NUM_THREADS=1") for line in warnings)
    assert run("true", nano_cpus=10**9 // 2, environment={"OMP_NUM_THREADS": "1"}).require_success() == ""


def test_variable_of_sh_is_left_to_applications(run: Run) -> None:
    """Many have a setting of the name ENV, such as dev; the image sets it for what `docker exec` starts."""
    show = ("python", "-c", "import os; print(os.environ.get('ENV'))")
    assert run(*show).require_success() == "None\n"
    assert run(*show, environment={"ENV": "production"}).require_success() == "production\n"


@pytest.mark.requirement("N12")
def test_users_own_package_app_is_imported(run: Run) -> None:
    """Many name theirs so: the service's must not hide it. Report: cerebis/qc3C#33."""
    assert run("sh", "-c", OWN_PACKAGE).require_success() == "mine\n"
