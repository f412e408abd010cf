"""The container as it runs: start, health, stop, commands, and the narrowest rights that it needs."""

from collections.abc import Callable
from typing import Any

import pytest
from docker.models.containers import Container

from slipway.matrix import Image
from tests.images.helpers.containers import (
    LISTENING,
    PREFERRED,
    QUICK_HEALTH,
    RIGHTS,
    SIGTERM_EXIT,
    STOP_SECONDS,
    WITHOUT_GPU,
    Run,
    Start,
    execute,
    healthy_seconds,
    inside,
    measure_usual,
    seconds_to_health,
    seconds_to_stop,
    wait_for_answer,
    wait_for_health,
    wait_until,
)
from tests.images.helpers.scope import applies
from tests.images.helpers.service import Service, serve_command

pytestmark = applies()

NOT_FOUND_EXIT = 127
FOLDERS = ("/cache", "/data", "/tmp")
WRITE = """
for folder; do
    file=$(mktemp --tmpdir="$folder") && echo "$folder" >"$file" && cat "$file" && rm "$file"
done
true
"""

COMPILER = """
import os, sys, sysconfig
program = sysconfig.get_config_var(sys.argv[1]).split()[0]
os.execvp(program, [program, "--version"])
"""
AS_ROOT = "by docker exec --user 0, or in an image FROM this one"
# A service that answers, and not that all is well.
REFUSING = """
import http.server, pathlib, subprocess, threading
class Refusing(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(503)
    def log_message(self, *words):
        pass
server = http.server.HTTPServer(("127.0.0.1", 8000), Refusing)
server.handle_error = lambda *words: None  # the health check reads no more than the first line
threading.Thread(target=server.serve_forever, daemon=True).start()
line = pathlib.Path("/tmp/line")
line.write_text("entrypoint\\0serve")
print(subprocess.run(["healthcheck", line], capture_output=True, text=True).stdout)
"""
# The only child of the init is the container's command.
SIGNAL = "kill -{} $(cat /proc/1/task/1/children)"
FIRST_TWO = "cat /proc/1/comm; for child in $(cat /proc/1/task/1/children); do cat /proc/$child/comm; done"
# An orphan's parent is PID 1, which must read its exit status.
ORPHAN = """
import os, time
reader, writer = os.pipe()
if not os.fork():
    if orphan := os.fork():
        os.write(writer, str(orphan).encode())
    os._exit(0)
os.wait()
path = f"/proc/{os.read(reader, 20).decode()}"
deadline = time.monotonic() + 5
while os.path.exists(path) and time.monotonic() < deadline:
    time.sleep(0.01)
raise SystemExit(os.path.exists(path))
"""


@pytest.fixture(scope="module")
def written(service: Service) -> list[str]:
    """The folders in which the service's user has written a file and read it again."""
    return inside(service.container, "sh", "-c", WRITE, "sh", *FOLDERS).splitlines()


@pytest.fixture(scope="module")
def plain(start_shared: Start) -> Container:
    """A plain command, started through the image's own entry point."""
    return start_shared("sleep", "infinity", network_mode="none", healthcheck=QUICK_HEALTH)


# --- the service ---------------------------------------------------------------------------------


@pytest.mark.exact
@pytest.mark.requirement("A6", "U1", "U10", "T12")
@pytest.mark.usefixtures("real_time")
@pytest.mark.parametrize("rights", RIGHTS)
def test_service_is_healthy_soon(
    start: Start, contract: Image, rights: dict[str, Any], record_property: Callable[[str, object], None]
) -> None:
    """By the image's own health check, at most of its starts; the seconds are kept in the evidence."""
    options = {"network_mode": "none", "environment": WITHOUT_GPU, **PREFERRED, **rights}
    budget = healthy_seconds(contract)
    seconds = measure_usual(lambda: seconds_to_health(start(*serve_command(contract), **options)), budget)
    record_property("seconds_to_health", round(seconds, 2))
    assert seconds < budget


@pytest.mark.requirement("A10", "T7", "T12", "U10")
def test_docker_shows_the_service_as_healthy(service: Service) -> None:
    """By the image's own health check, as it is."""
    wait_for_health(service.container, "healthy")


@pytest.mark.requirement("U10", "T6", "T12")
@pytest.mark.parametrize("folder", FOLDERS)
def test_service_can_write(written: list[str], folder: str) -> None:
    """To volumes and the temporary folder, as any user."""
    assert folder in written


@pytest.mark.requirement("U10", "T12")
def test_service_runs_without_rights(service: Service) -> None:
    """It keeps no capability, whatever docker's defaults would allow."""
    effective = inside(service.container, "grep", "CapEff", "/proc/1/status")
    assert int(effective.split()[1], 16) == 0


@pytest.mark.requirement("U1")
def test_service_listens_on_port_alone(start: Start) -> None:
    """On the number in PORT, which the health check asks, and on no other."""
    container = start("serve", network_mode="none", environment={"PORT": "9000"}, healthcheck=QUICK_HEALTH)
    wait_for_health(container, "healthy")
    assert inside(container, "python", "-c", LISTENING).split() == ["9000"]


@pytest.mark.requirement("T7")
def test_health_follows_a_service_that_hangs(start: Start, contract: Image) -> None:
    """A stopped process still accepts connections: only a health check that waits for the answer notices."""
    container = start(*serve_command(contract), network_mode="none", healthcheck=QUICK_HEALTH)
    wait_for_health(container, "healthy")
    inside(container, "sh", "-c", SIGNAL.format("STOP"))
    wait_for_health(container, "unhealthy")
    inside(container, "sh", "-c", SIGNAL.format("CONT"))
    wait_for_health(container, "healthy")


@pytest.mark.requirement("U1", "A10")
@pytest.mark.usefixtures("real_time")
def test_serve_stops_by_sigterm(start: Start) -> None:
    """The exit code names the signal, and docker need not kill it."""

    def stop() -> float:
        container = start("serve", network_mode="none", **PREFERRED)
        wait_for_health(container, "healthy")
        seconds = seconds_to_stop(container)
        assert container.wait()["StatusCode"] == SIGTERM_EXIT
        return seconds

    assert measure_usual(stop, STOP_SECONDS) < STOP_SECONDS


@pytest.mark.requirement("T7")
def test_health_check_asks_its_own_container(start: Start, plain: Container) -> None:
    """Where processes are shared, as within a Pod, PID 1 is another container's."""
    container = start("serve", network_mode="none", pid_mode=f"container:{plain.id}")
    wait_for_health(container, "healthy")
    wait_for_answer(container, "healthy: /health on port 8000 answered 200")
    assert inside(plain, "healthcheck") == "healthy: a plain command is running"


def test_health_check_refuses_an_error(run: Run) -> None:
    """A service that answers, but with an error, is not healthy."""
    assert run("python", "-c", REFUSING).output.strip() == "unhealthy: /health on port 8000 answered 503"


def test_health_check_asks_behind_a_program_of_ones_own(service: Service) -> None:
    """An image FROM this one may prepare something, and then call the entry point."""
    script = "printf 'tini\\0-s\\0--\\0/start\\0serve\\0' >/tmp/words && healthcheck /tmp/words"
    assert inside(service.container, "sh", "-c", script) == "healthy: /health on port 8000 answered 200"


# --- commands ------------------------------------------------------------------------------------


@pytest.mark.requirement("U1", "U13")
def test_command_is_executed_as_given(run: Run) -> None:
    """Arguments arrive as they are, empty ones and spaces included, and the exit code comes back."""
    finished = run("sh", "-c", 'printf "<%s>" "$@"; exit 37', "sh", "two words", "", "*", "$HOME")
    assert (finished.exit_code, finished.output) == (37, "<two words><><*><$HOME>")


@pytest.mark.requirement("U1")
def test_unknown_command_is_one_clear_message(run: Run) -> None:
    """A mistyped mode exits with 127, as in a shell, and not as a program that failed."""
    finished = run("serv")
    assert finished.exit_code == NOT_FOUND_EXIT
    assert finished.output.count("\n") == 1
    assert "'serv'" in finished.output


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("nvidia-smi", "NVIDIA's driver on the host brings it: add --gpus=all."),
        ("conda", "Python's packages come by uv pip install, in a workbench also by pip install."),
        ("strace", f"Debian has it: apt-get update && apt-get install -y strace, {AS_ROOT}."),
        ("sudo", f"Nobody becomes root in this container: do it {AS_ROOT}."),
    ],
)
def test_command_of_other_images_is_one_clear_message(idle: Container, command: str, words: str) -> None:
    """What to do instead, as the entry point's command and in bash; a script that looks for it finds none."""
    for way in (["entrypoint", command], ["bash", "-c", f"{command} --help"], ["bash", "-lc", f"{command} --help"]):
        finished = execute(idle, *way, environment={"SLIPWAY_DEPRECATED": ""})
        assert (finished.exit_code, finished.output.count("\n")) == (NOT_FOUND_EXIT, 1)
        assert finished.output.endswith(f". {words}\n")
    assert execute(idle, "bash", "-c", f"command -v {command}").output == ""


def test_uvx_runs_a_tool(run: Run) -> None:
    """It is uv's, by the name that its documentation uses."""
    assert run("uvx", "--version").require_success().startswith("uv ")
    assert "Usage: uv tool run" in run("uvx", "--help").require_success()


@pytest.mark.parametrize("name", ["CC", "CXX"])
def test_pythons_compiler_is_named_where_it_is_missing(run: Run, contract: Image, name: str) -> None:
    """pip and uv compile extensions by it; base and runtime say which flavor has it."""
    finished = run("python", "-c", COMPILER, name)
    if contract.flavor == "devel":
        finished.require_success()
    else:
        finished.require_message("error: ", NOT_FOUND_EXIT)
        assert "this image has no compiler: take the flavor devel" in finished.output


def test_missing_pip_is_one_clear_message(run: Run, contract: Image) -> None:
    """Many type it first; a workbench has it."""
    finished = run("pip", "--version")
    if contract.workload:
        finished.require_success()
    else:
        finished.require_message("error: ", NOT_FOUND_EXIT)
        assert "this image has uv: uv pip install" in finished.output.replace("This", "this")


def test_plain_command_is_healthy(plain: Container) -> None:
    """A container without the service must not be restarted for its health."""
    wait_for_health(plain, "healthy")


@pytest.mark.requirement("A10", "U1")
def test_init_is_the_first_process(plain: Container) -> None:
    """PID 1 is the init, and the command is its child, without a shell in between."""
    wait_until(lambda: inside(plain, "sh", "-c", FIRST_TWO).split() == ["tini", "sleep"], "the init runs the command")


def test_another_init_causes_no_warning(run: Run) -> None:
    """`docker run --init`: the image's own still collects orphans, so it need not say that it cannot."""
    assert run("true", init=True).require_success() == ""


def test_start_leaves_no_file(start: Start) -> None:
    """Outside the volume, where a workbench makes the user's environment: what is in the variables stays in memory."""
    container = start("true", network_mode="none")
    container.wait()
    changed = [change["Path"] for change in container.diff() or []]
    assert [path for path in changed if path != "/data" and not path.startswith("/data/.slipway")] == []


@pytest.mark.requirement("U1")
def test_zombies_are_reaped(plain: Container) -> None:
    """Without an init each orphan would stay in the process table."""
    inside(plain, "python", "-c", ORPHAN)


@pytest.mark.requirement("U10")
def test_files_of_a_command_belong_to_the_group(run: Run) -> None:
    """On a shared volume another container under another UID can change them: all have GID 0."""
    finished = run("sh", "-c", "touch /data/file && stat -c '%g %A' /data/file", user="12345:0")
    assert finished.output == "0 -rw-rw-r--\n"
