"""The desktop as it runs: start, authentication, open ports, health and end."""

import base64
import http.client
import json
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median
from typing import Any

import docker
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
    UPGRADE,
    VOLUMES,
    Run,
    Start,
    execute,
    has_ended,
    healthy_seconds,
    inside,
    measure_usual,
    request,
    seconds_to_health,
    seconds_to_stop,
    wait_for_health,
    wait_until,
)
from tests.images.helpers.desktop import (
    PASSWORD,
    PORT,
    PROCESSES,
    WITH_PASSWORD,
    Desktop,
    start_desktop,
    wait_for_program,
)
from tests.images.helpers.scope import applies

pytestmark = applies(workload="desktop")

SETTINGS = ".config/xfce4/xfconf/xfce-perchannel-xml"
# What Xfce leaves that works for one UID alone.
CLOSED = f"umask 0077; mkdir -p {SETTINGS}; touch .ICEauthority"
FILL = "dd if=/dev/zero of=big.bin bs=4k; dd if=/dev/zero of=rest.bin bs=1"
GUARDED = ["/", "/vnc.html", "/core/rfb.js", "/websockify"]
GREETING = b"RFB 003.008\n"
CLOSING = b"\x88"  # the first byte of a frame that closes a WebSocket
BASIC = base64.b64encode(f"app:{PASSWORD}".encode()).decode()
STRANGERS = 50
GRAPHICS = {"graphics", "display", "video"}

# Whether a session is open at its begin, and after its life.
SHORT_SESSION = """
import asyncio, sys
sys.path.append("/usr/local/lib/slipway/desktop")
import gate
async def main():
    gate.SESSION_SECONDS = 0.1
    sessions = gate.Sessions("password")
    session = sessions.open_session("password")
    opened = session in sessions.screens
    await asyncio.sleep(0.5)
    print(opened, session in sessions.screens)
asyncio.run(main())
"""
# What an idle screen sends after the greeting, from a second page, whose interval is short.
IDLE_SCREEN = """
import asyncio, sys
sys.path.append("/usr/local/lib/slipway/desktop")
import gate
gate.PORT, gate.PING_SECONDS = 6081, 2
gate.Guarded.prepare = lambda self: self.sessions.screens.update({"": set()})
async def main():
    gate.serve("password")
    reader, writer = await asyncio.open_connection("127.0.0.1", 6081)
    writer.write(("GET /websockify HTTP/1.1\\r\\n" + sys.argv[1] + "\\r\\n\\r\\n").encode())
    await reader.readuntil(b"RFB 003.008\\n")
    print((await reader.read(1)).hex())
asyncio.run(asyncio.wait_for(main(), 30))
"""
PING = "89"  # the first byte of its frame
# The number of command lines, and those that have the password, or whose environment has it, except the environments
# of the init and of the mode itself. What the engine starts beside them, such as the health check, has no parent here.
TELLTALES = r"""
import contextlib, json, pathlib, re, sys
def is_ours(number):
    while number > 1:
        number = int(re.search(r"PPid:\s+(\d+)", pathlib.Path(f"/proc/{number}/status").read_text())[1])
    return number == 1
seen, telling = 0, []
for process in pathlib.Path("/proc").glob("[0-9]*"):
    # Some programs, such as ssh-agent, let nobody read theirs; others have ended meanwhile.
    with contextlib.suppress(OSError):
        command = (process / "cmdline").read_bytes()
        if not is_ours(int(process.name)):
            continue
        seen += 1
        if process.name != "1" and b"gate.py" not in command:
            command += (process / "environ").read_bytes()
        if sys.argv[1].encode() in command:
            telling.append(f"{process.name} {command}")
print(json.dumps([seen, telling]))
"""
FEWEST_PROCESSES = 5  # init, mode, X server, and of Xfce the session and the panel


@pytest.fixture(scope="module", params=RIGHTS)
def desktop(start_shared: Start, request: pytest.FixtureRequest) -> Desktop:
    """The desktop as `docker run IMAGE` starts it, with the rights that docker gives and with the narrowest."""
    return start_desktop(start_shared, **request.param)


# --- start ---------------------------------------------------------------------------------------


@pytest.mark.requirement("C2", "U1", "U10", "T7", "T12")
@pytest.mark.usefixtures("real_time")
@pytest.mark.parametrize("rights", RIGHTS)
def test_desktop_is_healthy_soon(
    start: Start, contract: Image, rights: dict[str, Any], record_property: Callable[[str, object], None]
) -> None:
    """No argument starts the desktop, soon at most of its starts; the seconds are kept in the evidence."""
    options = {"environment": WITH_PASSWORD, "network_mode": "none", **PREFERRED, **rights}
    budget = healthy_seconds(contract)
    seconds = measure_usual(lambda: seconds_to_health(start(**options)), budget)
    record_property("seconds_to_health", round(seconds, 2))
    assert seconds < budget


@pytest.mark.requirement("C2", "U10", "T12")
def test_xfce_runs(desktop: Desktop) -> None:
    """Window manager, panel, background and settings: a desktop needs all of them."""
    for part in ("xfwm4", "xfce4-panel", "xfdesktop", "xfsettingsd"):
        wait_for_program(desktop.container, part)


def test_x_server_listens_on_no_port(desktop: Desktop) -> None:
    """The page has the only port: VNC and X are for the container's user alone."""
    assert inside(desktop.container, "python", "-c", LISTENING).split() == [str(PORT)]


def test_desktop_listens_on_both_families(desktop: Desktop) -> None:
    """A cluster may have IPv6 alone."""
    for address in ("127.0.0.1", "[::1]"):
        inside(desktop.container, "curl", "--silent", "--fail", f"http://{address}:{PORT}/health")


def test_password_is_told_to_no_program(desktop: Desktop) -> None:
    """Everybody can read command lines, and every program of the desktop inherits the session's environment."""
    wait_for_program(desktop.container, "xfce4-panel")
    seen, telling = json.loads(inside(desktop.container, "python", "-c", TELLTALES, PASSWORD))
    assert seen >= FEWEST_PROCESSES
    assert telling == []


def test_tmp_that_cannot_be_written_is_one_clear_message(run: Run) -> None:
    """On a read-only root it must be mounted, and the message says how."""
    finished = run(environment=WITH_PASSWORD, read_only=True, mounts=[docker.types.Mount("/data", source=None)])
    assert finished.exit_code == 1
    assert finished.output.count("\n") == 1
    assert "--tmpfs=/tmp" in finished.output


# --- authentication -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"Cookie": "{name}=x"},
        {"Cookie": "{name}="},
        {"Authorization": f"Basic {BASIC}"},
        {"Host": "elsewhere.example"},
        {"Origin": "http://127.0.0.1", "X-Forwarded-Host": "127.0.0.1"},
    ],
    ids=["nothing", "made-up-cookie", "empty-cookie", "basic", "other-host", "forwarded"],
)
def test_stranger_is_refused(desktop: Desktop, path: str, given: dict[str, str]) -> None:
    """Neither the page nor the screen opens without the password."""
    name = desktop.cookie().partition("=")[0]
    answer = desktop.ask(path, **UPGRADE, **{key: value.format(name=name) for key, value in given.items()})
    assert answer.status == http.client.UNAUTHORIZED
    assert "Set-Cookie" not in answer.headers


def test_wrong_password_opens_no_session(desktop: Desktop) -> None:
    """The form is shown again."""
    for word in ("sesame", "", PASSWORD[:-1]):
        answer = desktop.log_in(word)
        assert (answer.status, "Set-Cookie" in answer.headers) == (http.client.UNAUTHORIZED, False)
        assert b'type="password"' in answer.read()


@pytest.mark.requirement("C2")
@pytest.mark.parametrize("below", ["", "/some/proxy's", "/app/core"])
def test_password_opens_the_page(desktop: Desktop, below: str) -> None:
    """The form leads to noVNC, which connects by itself; below any path that a proxy leaves in the address, too."""
    form = desktop.ask(f"{below}/").read()
    assert b'action="login"' in form
    answer = desktop.log_in(below=below)
    assert (answer.status, answer.headers["Location"].partition("?")[0]) == (http.client.SEE_OTHER, "vnc.html")
    cookie = answer.headers["Set-Cookie"].partition(";")[0]
    page = desktop.ask(f"{below}/{answer.headers['Location']}", Cookie=cookie).read()
    assert b"noVNC" in page
    assert b'href="logout"' in page
    assert b"class RFB" in desktop.ask(f"{below}/core/rfb.js", Cookie=cookie).read()
    assert desktop.ask(f"{below}/websockify", Cookie=cookie, **UPGRADE).status == http.client.SWITCHING_PROTOCOLS


@pytest.mark.requirement("C2")
def test_cookie_opens_the_screen(desktop: Desktop) -> None:
    """The X server answers through it."""
    answer = desktop.ask("/websockify", Cookie=desktop.cookie(), **UPGRADE)
    assert answer.status == http.client.SWITCHING_PROTOCOLS
    # A frame of binary data: its kind, its length, and what it holds.
    assert answer.fp.read(2 + len(GREETING)) == bytes([0x82, len(GREETING)]) + GREETING


def test_page_of_another_site_opens_nothing(desktop: Desktop) -> None:
    """A browser may send the cookie for a page of any origin; the Origin header tells which."""
    cookie = {"Cookie": desktop.cookie()}
    for origin in ("http://elsewhere.example", "null"):
        assert desktop.ask("/websockify", **UPGRADE, **cookie, Origin=origin).status == http.client.FORBIDDEN
    proxy = {"Origin": "https://desk.example", "X-Forwarded-Host": "desk.example"}
    assert desktop.ask("/websockify", **UPGRADE, **cookie, **proxy).status == http.client.SWITCHING_PROTOCOLS
    flags = set(desktop.log_in(**{"X-Forwarded-Proto": "https"}).headers["Set-Cookie"].split("; "))
    assert {"HttpOnly", "SameSite=Strict", "Secure"} <= flags
    assert not any(flag.startswith("Path=") for flag in flags), "the folder of the address, below a proxy's path"


def test_stranger_does_not_delay_the_owner(desktop: Desktop) -> None:
    """Wrong passwords are answered late, at any number of them; the right one is let in meanwhile, at once."""

    def log_in() -> float:
        begun = time.monotonic()
        assert desktop.log_in().status == http.client.SEE_OTHER
        return time.monotonic() - begun

    with ThreadPoolExecutor(STRANGERS) as pool:
        started = time.monotonic()
        strangers = [pool.submit(desktop.log_in, f"guess {number}") for number in range(STRANGERS)]
        assert median(log_in() for _ in range(3)) < 0.3  # a busy machine may be late once
        assert [answer.result().status for answer in strangers] == [http.client.UNAUTHORIZED] * STRANGERS
        assert time.monotonic() - started > 1


def test_log_out_ends_the_session(desktop: Desktop) -> None:
    """The page asks for the password again, the screens of this session close, and another session stays."""
    cookie, other = desktop.cookie(), desktop.cookie()
    screen, others = (desktop.ask("/websockify", Cookie=session, **UPGRADE) for session in (cookie, other))
    for opened in (screen, others):
        assert opened.fp.read(2 + len(GREETING)).endswith(GREETING)
    assert desktop.ask("/logout", Cookie=cookie).headers["Location"] == "./"
    assert desktop.ask("/vnc.html", Cookie=cookie).status == http.client.UNAUTHORIZED
    assert desktop.ask("/vnc.html", Cookie=other).status == http.client.OK
    assert screen.fp.read(1) == CLOSING
    assert desktop.ask("/logout", Cookie=other).status == http.client.FOUND
    assert others.fp.read(1) == CLOSING


def test_session_ends_by_itself(desktop: Desktop) -> None:
    """After its hours, whether anybody looks at it or not; here they are seconds."""
    environment = {"XDG_RUNTIME_DIR": "/tmp/desktop"}
    assert inside(desktop.container, "python", "-c", SHORT_SESSION, environment=environment) == "True False"


def test_screen_does_not_turn_black(desktop: Desktop) -> None:
    """An X server does so after 10 minutes, unless told otherwise. Report: TigerVNC/tigervnc#1472."""
    environment = {"DISPLAY": ":1", "XAUTHORITY": "/tmp/desktop/xauthority"}
    assert re.search(r"timeout: +0 ", inside(desktop.container, "xset", "q", environment=environment))


def test_idle_screen_is_kept(desktop: Desktop) -> None:
    """Proxies cut a connection that is silent for a minute. Report: TigerVNC/tigervnc#1775."""
    headers = "\r\n".join(f"{name}: {value}" for name, value in ({"Host": "localhost"} | UPGRADE).items())
    environment = {"XDG_RUNTIME_DIR": "/tmp/desktop"}
    assert inside(desktop.container, "python", "-c", IDLE_SCREEN, headers, environment=environment) == PING


def printed_password(container: Container) -> str:
    """Return the password that a desktop has made; it is printed once."""
    found = re.findall(r"(?m)^desktop: .* password (\w+)", container.logs().decode())
    assert len(found) == 1
    return str(found[0])


def test_password_is_made_where_none_is_given(start: Start) -> None:
    """It opens a session, and each container has another."""
    desktops = [start_desktop(start, environment={}) for _ in range(2)]
    first, second = (printed_password(desktop.container) for desktop in desktops)
    assert first != second
    assert [desktops[0].log_in(word).status for word in (first, second)] == [
        http.client.SEE_OTHER,
        http.client.UNAUTHORIZED,
    ]


@pytest.mark.parametrize(
    ("password", "message"),
    [("", "error: the password is empty"), ("sesame!", "error: PASSWORD has 7 characters, which is guessed too soon")],
)
def test_weak_password_is_refused(run: Run, password: str, message: str) -> None:
    """An empty password does not open the desktop to everybody, and a short one to nobody who guesses it."""
    run(environment={"PASSWORD": password}).require_message(message)


# --- health and end ------------------------------------------------------------------------------


def send_signal(container: Container, name: str, signal: str) -> None:
    """Send a signal to a program of the container."""
    inside(container, "sh", "-c", f"kill -{signal} $({PROCESSES})", name)


@pytest.mark.requirement("T7")
def test_health_follows_an_x_server_that_hangs(start: Start) -> None:
    """The page alone would still be served, with a frozen screen."""
    container = start_desktop(start, healthcheck=QUICK_HEALTH).container
    send_signal(container, "Xtigervnc", "STOP")
    wait_for_health(container, "unhealthy")
    send_signal(container, "Xtigervnc", "CONT")
    wait_for_health(container, "healthy")


@pytest.mark.requirement("U1", "T7")
@pytest.mark.parametrize(("program", "part"), [("Xtigervnc", "X server"), ("xfce4-session", "Xfce session")])
def test_mode_ends_with_each_of_its_parts(start: Start, program: str, part: str) -> None:
    """A restart policy then takes effect; the message names the part."""
    container = start_desktop(start).container
    wait_for_program(container, program)
    send_signal(container, program, "KILL")
    wait_until(partial(has_ended, container), "the mode ends")
    assert container.wait()["StatusCode"] == 1
    assert f"error: the {part} has ended" in container.logs().decode()


@pytest.mark.requirement("U1")
@pytest.mark.usefixtures("real_time")
def test_desktop_stops_by_sigterm(start: Start) -> None:
    """At once, with all its parts."""

    def stop() -> float:
        container = start_desktop(start, **PREFERRED).container
        seconds = seconds_to_stop(container)
        assert container.wait()["StatusCode"] == SIGTERM_EXIT
        return seconds

    assert measure_usual(stop, STOP_SECONDS) < STOP_SECONDS


@pytest.mark.requirement("U10")
@pytest.mark.parametrize("before", [None, CLOSED], ids=["used", "closed"])
def test_desktop_works_on_the_volume_of_another_uid(start: Start, before: str | None) -> None:
    """Its settings are there for each UID of the group; where one has closed them, new ones last for a start."""
    options = {"environment": WITH_PASSWORD, "network_mode": "none"}
    used = start(*(["sh", "-c", before] if before else []), mounts=VOLUMES, **options)
    if before:
        assert used.wait()["StatusCode"] == 0
    else:
        wait_for_program(used, "xfdesktop")
        used.kill()
    running = start(user="12345:0", volumes_from=[used.id], **options)
    wait_for_program(running, "xfdesktop")
    wait_for_health(running, "healthy")
    assert execute(running, "test", "-w", f"/data/{SETTINGS}").exit_code == bool(before)


@pytest.mark.requirement("U10")
def test_desktop_starts_on_a_full_volume(start: Start) -> None:
    """Its owner gets in to delete something."""
    room = {"/data": "size=4m,uid=1000,gid=0,mode=0770"}
    fill = ["tini", "--", "sh", "-c", f'({FILL}) >/dev/null 2>&1; exec "$@"', "sh", "entrypoint"]
    running = start("desktop", environment=WITH_PASSWORD, network_mode="none", tmpfs=room, entrypoint=fill)
    wait_for_program(running, "xfdesktop")
    wait_for_health(running, "healthy")
    inside(running, "rm", "/data/big.bin")


def test_each_desktop_has_a_number_of_its_own(desktop: Desktop, idle: Container) -> None:
    """Programs tell machines apart by it; one that the image has is the same in all containers."""
    assert re.fullmatch("[0-9a-f]{32}", inside(desktop.container, "dbus-uuidgen", "--get"))
    assert execute(idle, "test", "-e", "/var/lib/dbus/machine-id").exit_code == 1


def test_socket_of_another_x_server_stays(start: Start) -> None:
    """The host's folder of such sockets may be mounted. Report: x11vnc/x11vnc-desktop#37."""
    volume = docker.types.Mount("/tmp/.X11-unix", source=None)
    before = start("sh", "-c", "touch /tmp/.X11-unix/X0 && chmod 1777 /tmp/.X11-unix", user="0", mounts=[volume])
    assert before.wait()["StatusCode"] == 0
    running = start(volumes_from=[before.id], environment=WITH_PASSWORD, network_mode="none")
    wait_for_health(running, "healthy")
    inside(running, "test", "-e", "/tmp/.X11-unix/X0")


def test_load_balancer_may_ask_for_the_head(desktop: Desktop) -> None:
    """Some ask so. Report: eduard256/Strix#3."""
    assert request(desktop.port, "HEAD", "/health").status == 200


def test_python_opens_windows(run: Run) -> None:
    """matplotlib's plt.show() does, by Tk. Report: SyneRBI/SIRF-SuperBuild#764."""
    program = "import matplotlib.backends.backend_tkagg, tkinter; print(tkinter.TkVersion)"
    assert float(run("python", "-c", program).require_success()) >= 8


@pytest.mark.requirement("U1")
def test_killed_desktop_starts_again(start: Start) -> None:
    """The lock that a killed X server leaves does not stop the next one."""
    container = start_desktop(start).container
    container.kill()
    wait_until(partial(has_ended, container), "the container is killed")
    container.start()
    wait_for_health(container, "healthy")


# --- the driver -------------------------------------------------------------------------


@pytest.mark.requirement("U5", "C1")
def test_driver_lends_what_draws(environment: dict[str, str], contract: Image) -> None:
    """A CUDA image needs three more capabilities of the driver; other images need none."""
    asked = set(filter(None, environment.get("NVIDIA_DRIVER_CAPABILITIES", "").split(",")))
    is_cuda = contract.variant.accelerator == "cuda"
    assert asked == ({"compute", "utility"} | GRAPHICS if is_cuda else set())
