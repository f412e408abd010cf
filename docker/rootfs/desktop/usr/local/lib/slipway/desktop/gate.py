"""The desktop's one door: runs the X server and Xfce, and serves the screen to browsers that know the password.

    gate.py [OPTION OF THE X SERVER]...

The X server listens on Unix sockets alone. A browser sends the password once and gets a cookie that opens the screen's
WebSocket, until its user logs out or the session ends by itself; a page of another origin opens nothing. The mode ends
with whatever part ends first.
"""

import asyncio
import contextlib
import hmac
import os
import re
import secrets
import signal
import sys
import time
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from tornado.web import Application, RequestHandler, StaticFileHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

PORT = 6080
RUNTIME = Path(os.environ["XDG_RUNTIME_DIR"])
SCREEN = RUNTIME / "screen"
GREETING = b"RFB "
NOVNC = Path("/usr/share/novnc")
START = "vnc.html?autoconnect=true&resize=remote&reconnect=true"
DISCONNECT = 'title="Disconnect">'
LOGOUT = """
            <a href="logout"><img class="noVNC_button" src="app/images/power.svg" alt="Log out" title="Log out"></a>"""
LOGIN = """<!DOCTYPE html>
<html lang="en">
<title>Desktop</title>
<meta name="viewport" content="width=device-width">
<style>body {{ font: 1rem sans-serif; margin: 20vh auto; width: 16rem }} input, button {{ font: inherit }}</style>
<form method="post" action="login">
    <p><label>Password of the desktop <input type="password" name="password" autocomplete="current-password" autofocus
        required></label></p>
    <p><button>Log in</button> {hint}</p>
</form>
"""
PATIENCE_SECONDS = 10
STOP_SECONDS = 0.5
WRONG_PASSWORD_SECONDS = 1
SESSION_SECONDS = 12 * 3600
PING_SECONDS = 30  # proxies cut a silent connection, mostly after 60
LONGEST_FORM = 4096  # bytes that a stranger can make this process keep
LOG_LINES = 20


class Sessions:
    """Who has given the password, by the cookie that it bought: until a session is ended, or ends by itself."""

    def __init__(self, password: str) -> None:
        self.password = password.encode()
        self.screens: dict[str, set[Screen]] = {}
        # A browser sends cookies to every port of a host, so another desktop's must have another name.
        self.cookie = f"slipway-desktop-{secrets.token_hex(4)}"

    def open_session(self, password: str) -> str | None:
        """Return the cookie of a new session, None for a wrong password."""
        if not hmac.compare_digest(password.encode(), self.password):
            return None
        session = secrets.token_urlsafe()
        self.screens[session] = set()
        asyncio.get_running_loop().call_later(SESSION_SECONDS, self.end_session, session)
        return session

    def end_session(self, session: str) -> None:
        """End a session, with every screen that it shows."""
        for screen in self.screens.pop(session, set()):
            screen.close()


# --- what a browser is given ---------------------------------------------------------------------


class Handler(RequestHandler):
    """An answer below any path: a proxy may leave its prefix in the address, so none here begins with `/`."""

    @property
    def sessions(self) -> Sessions:
        """The sessions of this desktop."""
        return cast("Sessions", self.settings["sessions"])

    @property
    def session(self) -> str:
        """The session that the browser claims to have."""
        return str(self.get_cookie(self.sessions.cookie, ""))

    def set_default_headers(self) -> None:
        """Keep pages of other sites from showing this one, and a browser from showing it after logging out."""
        self.set_header("X-Frame-Options", "SAMEORIGIN")
        self.set_header("Cache-Control", "no-store")

    def ask_for_password(self, hint: str = "") -> None:
        """Answer with the page that asks for the password."""
        self.set_status(401)
        self.finish(LOGIN.format(hint=hint))


class Guarded(Handler):
    """An answer for those alone who have given the password."""

    def prepare(self) -> None:
        """Ask everybody else for it."""
        if self.session not in self.sessions.screens:
            self.ask_for_password()


class Login(Handler):
    """The password buys a session. The owner never waits for a stranger: only a wrong password is answered late."""

    async def post(self) -> None:
        """Open a session; a browser sends its cookie for no other site's page."""
        session = self.sessions.open_session(self.get_body_argument("password", ""))
        if session is None:
            await asyncio.sleep(WRONG_PASSWORD_SECONDS)
            self.ask_for_password("This is not the password.")
            return
        encrypted = self.request.headers.get("X-Forwarded-Proto") == "https"
        # Without a path the cookie is for the folder of this address, whatever a proxy has before it.
        self.set_cookie(
            self.sessions.cookie,
            session,
            path=None,
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="Strict",
            secure=encrypted,
        )
        self.redirect(START, status=303)

    def get(self) -> None:
        """Ask for the password."""
        self.redirect("./")


class Logout(Handler):
    """The end of the browser's session."""

    def get(self) -> None:
        """End it and ask for the password again."""
        self.sessions.end_session(self.session)
        self.redirect("./")


class Start(Guarded):
    """The bare address leads to noVNC's page."""

    def get(self) -> None:
        """Redirect to it."""
        self.redirect(START)


class Viewer(Guarded):
    """noVNC's page, with a button to log out beside the one to disconnect."""

    def get(self) -> None:
        """Answer with it."""
        self.finish((NOVNC / "vnc.html").read_text().replace(DISCONNECT, DISCONNECT + LOGOUT))


class Page(Guarded, StaticFileHandler):
    """A file of noVNC."""

    def parse_url_path(self, url_path: str) -> str:
        """Return the file of an address, from the first of its folders that noVNC has."""
        folders = url_path.split("/")
        ends = ["/".join(folders[i:]) for i in range(len(folders))]
        return super().parse_url_path(next((end for end in ends if (NOVNC / end).is_file()), url_path))

    def set_extra_headers(self, path: str) -> None:  # noqa: ARG002 - Tornado's own
        """Let a browser keep it, and ask whether it is still the same."""
        self.set_header("Cache-Control", "no-cache")


class Screen(Guarded, WebSocketHandler):
    """The X server's VNC socket as a WebSocket."""

    def check_origin(self, origin: str) -> bool:
        """Refuse a page of another origin. A proxy that asks by a name of its own tells the one in the browser."""
        forwarded = self.request.headers.get("X-Forwarded-Host")
        return bool(super().check_origin(origin)) or urlsplit(origin).netloc == forwarded

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """Take the only one that VNC clients offer."""
        return "binary" if "binary" in subprotocols else None

    async def open(self, *_: str, **__: str) -> None:
        """Connect to the X server."""
        self.set_nodelay(True)
        self.sessions.screens[self.session].add(self)
        reader, self.x_server = await asyncio.open_unix_connection(SCREEN)
        self.picture = asyncio.create_task(self.send_picture(reader))

    async def send_picture(self, reader: asyncio.StreamReader) -> None:
        """Hand on what the X server shows, no faster than the browser takes it."""
        with contextlib.suppress(WebSocketClosedError, ConnectionError):
            while data := await reader.read(65536):
                await self.write_message(data, binary=True)
        self.close()

    async def on_message(self, message: str | bytes) -> None:
        """Hand on what the browser sends: keys, the mouse, the window's size."""
        with contextlib.suppress(ConnectionError):
            self.x_server.write(message if isinstance(message, bytes) else message.encode())
            await self.x_server.drain()

    def on_close(self) -> None:
        """Leave the X server."""
        self.sessions.screens.get(self.session, set()).discard(self)
        if hasattr(self, "picture"):
            self.picture.cancel()
            self.x_server.close()


class Health(RequestHandler):
    """Whether the X server greets; open to all, as it tells nothing else."""

    async def get(self) -> None:
        """Answer 200 or 503."""
        try:
            await asyncio.wait_for(greeting(), timeout=1)
        except (OSError, TimeoutError) as error:
            self.set_status(503)
            await self.finish(f"the X server does not answer: {error!r}\n")

    async def head(self) -> None:
        """Answer a load balancer the same, without a word."""
        await self.get()


async def greeting() -> None:
    """Hear the X server's greeting."""
    reader, writer = await asyncio.open_unix_connection(SCREEN)
    try:
        if await reader.read(len(GREETING)) != GREETING:
            raise ConnectionError("no greeting")
    finally:
        writer.close()


# --- the parts -----------------------------------------------------------------------------------


def log_of(part: str) -> Path:
    """Return the file for what a part says: X servers and Xfce are full of warnings about what a container lacks."""
    return RUNTIME / f"{part}.log"


async def start(part: str, *command: str) -> Process:
    """Start a part with a log of its own."""
    with log_of(part).open("w") as log:
        return await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)


async def start_x_server(arguments: list[str]) -> Process:
    """Start the X server and wait for its greeting, or its end."""
    options = ["-geometry", "1280x800", "-auth", os.environ["XAUTHORITY"], "-nolisten", "tcp", "-noreset"]
    # VNC on a socket of the user's own; who reaches it has given the password here.
    options += ["-rfbport=-1", f"-rfbunixpath={SCREEN}", "-rfbunixmode=0600", "-SecurityTypes=None", "-AlwaysShared"]
    # Else it turns black after 10 minutes without a key, which looks like a fault.
    options += ["-s", "0"]
    # Visits of the health check would count as failed logins, and each would be a line of the log.
    options += ["-UseBlacklist=0", "-Log=*:stderr:0"]
    server = await start("X server", "Xtigervnc", os.environ["DISPLAY"], *options, *arguments)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while server.returncode is None:
        with contextlib.suppress(OSError):
            await greeting()
            break
        if time.monotonic() > deadline:
            sys.exit(f"error: the X server does not answer within {PATIENCE_SECONDS} seconds")
        await asyncio.sleep(0.02)
    return server


def serve(password: str) -> None:
    """Open the page's port."""
    ends = {"": Start, "health": Health, "login": Login, "logout": Logout, "vnc.html": Viewer, "websockify": Screen}
    routes: list[Any] = [(f"/(?:.*/)?{re.escape(end)}", handler) for end, handler in ends.items()]
    routes.append(("/(.*)", Page, {"path": NOVNC}))
    try:
        # On every address, of both families where there are both.
        application = Application(routes, sessions=Sessions(password), websocket_ping_interval=PING_SECONDS)
        application.listen(PORT, max_body_size=LONGEST_FORM)
    except OSError as error:
        sys.exit(f"error: port {PORT} cannot be opened: {error}")


async def run(password: str, arguments: list[str]) -> str:
    """Run all parts until one ends, or SIGTERM comes; return what has ended, empty for SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    server = await start_x_server(arguments)
    # Xfce with a message bus of its own.
    session = await start("Xfce session", "dbus-run-session", "--", "xfce4-session")
    serve(password)
    x_server_ends = asyncio.create_task(server.wait(), name="X server")
    session_ends = asyncio.create_task(session.wait(), name="Xfce session")
    waits = {asyncio.create_task(stopped.wait(), name=""), x_server_ends, session_ends}
    ended, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    if session_ends in ended:
        # Xfce ends with its X server, and can be seen to end before it; "X server" sorts first.
        also_ended, _ = await asyncio.wait({x_server_ends}, timeout=STOP_SECONDS)
        ended |= also_ended
    await stop(session, server)
    return min(task.get_name() for task in ended)


async def stop(*parts: Process) -> None:
    """Ask what still runs to end; what does not hear it ends with the container."""
    for part in parts:
        with contextlib.suppress(ProcessLookupError):
            part.terminate()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_SECONDS):
            await asyncio.gather(*(part.wait() for part in parts))


def main() -> None:
    """Run the desktop; SIGTERM ends it as it ends any program."""
    # Out of the environment: each program of the desktop would inherit it.
    password = os.environ.pop("PASSWORD")
    ended = asyncio.run(run(password, sys.argv[1:]))
    if ended:
        last = log_of(ended).read_text(errors="replace").splitlines()[-LOG_LINES:]
        sys.exit("\n".join([*last, f"error: the {ended} has ended, and the desktop with it; its last words are above"]))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
