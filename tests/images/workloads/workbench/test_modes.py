"""The modes of a workbench: each starts soon, with any rights, reports its health and ends by SIGTERM."""

from collections.abc import Callable
from typing import Any

import pytest

from slipway.matrix import Image
from tests.images.helpers.containers import (
    DEFAULT_RIGHTS,
    LISTENING,
    PREFERRED,
    QUICK_HEALTH,
    Run,
    Start,
    healthy_seconds,
    inside,
    measure_usual,
    seconds_to_health,
    seconds_to_stop,
    wait_for_health,
)
from tests.images.helpers.scope import applies
from tests.images.helpers.workbench import CREDENTIALS, ONE_VOLUME, SECRET, Workbench, open_workbench

pytestmark = applies(workload="workbench")

STOP_SECONDS = 5  # JupyterLab ends its kernels first
# The child of the init and, for modes that start others, its children.
# A child of the mode's, such as a program that it asks for its version, may have ended meanwhile.
SIGNAL = (
    "for child in $(cat /proc/1/task/1/children); do kill -{} $child $(cat /proc/$child/task/*/children); done || true"
)
RIGHTS = [pytest.param(DEFAULT_RIGHTS, id="default"), pytest.param(ONE_VOLUME, id="one-volume")]
MODES = ["workbench", "lab", "code", "ssh"]


@pytest.fixture(scope="module", params=RIGHTS)
def rights(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The rights that docker gives, and the narrowest."""
    return dict(request.param)


@pytest.fixture(scope="module", params=MODES)
def running(start_shared: Start, rights: dict[str, Any], request: pytest.FixtureRequest) -> Workbench:
    """Each mode with each set of rights."""
    return open_workbench(start_shared, request.param, **rights)


@pytest.mark.requirement("A11", "U1", "U10", "T12", "A6")
@pytest.mark.usefixtures("real_time")
@pytest.mark.parametrize("mode", MODES)
def test_mode_is_healthy_soon(
    start: Start, contract: Image, rights: dict[str, Any], mode: str, record_property: Callable[[str, object], None]
) -> None:
    """By the image's own health check, at most of its starts; the seconds are kept in the evidence."""
    options = {"environment": CREDENTIALS[mode], "network_mode": "none", **PREFERRED, **rights}
    budget = healthy_seconds(contract)
    seconds = measure_usual(lambda: seconds_to_health(start(mode, **options)), budget)
    record_property("seconds_to_health", round(seconds, 2))
    assert seconds < budget


@pytest.mark.requirement("T7")
@pytest.mark.parametrize("mode", [*MODES, "serve"])
def test_mode_is_healthy_below_another_init(start: Start, mode: str) -> None:
    """`docker run --init`, compose's `init: true` and a setting of the engine put one before the image's own."""
    wait_for_health(start(mode, environment=CREDENTIALS.get(mode), network_mode="none", init=True), "healthy")


@pytest.mark.requirement("U1")
def test_no_command_starts_the_mode_of_the_image(start: Start, contract: Image) -> None:
    """`docker run IMAGE` alone; it listens on that mode's port and on no other."""
    container = start(environment={"JUPYTER_TOKEN": SECRET, "PASSWORD": SECRET})
    wait_for_health(container, "healthy")
    assert inside(container, "python", "-c", LISTENING).split() == [str(contract.ports[0])]


@pytest.mark.requirement("U10", "T12")
def test_mode_runs_without_rights(running: Workbench) -> None:
    """None of its processes has a capability, and none is root's."""
    code, output = running.inside("cat /proc/[0-9]*/status | grep -E '^(CapEff|Uid)'")
    assert code == 0, output
    lines = [line.split() for line in output.splitlines()]
    assert {int(words[1], 16) for words in lines if words[0] == "CapEff:"} == {0}
    assert "0" not in {words[1] for words in lines if words[0] == "Uid:"}


@pytest.mark.requirement("U10", "T12")
@pytest.mark.parametrize("mode", ["workbench", "lab", "code"])
def test_home_is_the_volume(start: Start, mode: str) -> None:
    """Settings are on the volume; the user has a name and can write caches and temporary files."""
    running = open_workbench(start, mode, **ONE_VOLUME)
    _, output = running.inside("tr '\\0' '\\n' </proc/$(cat /proc/1/task/1/children | cut -d' ' -f1)/environ")
    variables = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    assert variables["HOME"] == "/data"
    for name in ("TMPDIR", "XDG_CACHE_HOME", "HF_HOME", "MPLCONFIGDIR"):
        assert variables[name].startswith("/data/"), name
    code, output = running.inside("id -un", environment=variables)
    assert (code, output) == (0, "app\n")


@pytest.mark.requirement("T7")
@pytest.mark.parametrize("mode", MODES)
def test_health_follows_a_mode_that_hangs(start: Start, mode: str) -> None:
    """A stopped server still accepts connections: only a check that waits for the answer notices."""
    container = start(mode, environment=CREDENTIALS[mode], network_mode="none", healthcheck=QUICK_HEALTH)
    wait_for_health(container, "healthy")
    inside(container, "sh", "-c", SIGNAL.format("STOP"))
    wait_for_health(container, "unhealthy")
    inside(container, "sh", "-c", SIGNAL.format("CONT"))
    wait_for_health(container, "healthy")


@pytest.mark.requirement("U1")
@pytest.mark.usefixtures("real_time")
@pytest.mark.parametrize("mode", MODES)
def test_mode_stops_by_sigterm(start: Start, mode: str) -> None:
    """Docker need not kill it, and the exit code is that of a server that ends in order."""
    container = start(mode, environment=CREDENTIALS[mode], network_mode="none", **PREFERRED)
    wait_for_health(container, "healthy")
    assert seconds_to_stop(container) < STOP_SECONDS
    assert container.wait()["StatusCode"] == 0


@pytest.mark.requirement("T12", "T16")
@pytest.mark.parametrize("mode", MODES)
def test_without_a_volume_is_one_clear_message(run: Run, mode: str) -> None:
    """A read-only root leaves nowhere to write: the message names the folder, the user and what to do."""
    narrow = {key: value for key, value in ONE_VOLUME.items() if key != "mounts"}
    run(mode, environment=CREDENTIALS[mode], **narrow).require_message(
        "error: /data cannot be written by UID 12345: mount a volume there"
    )
