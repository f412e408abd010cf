"""The desktop's one door: runs the X server and Xfce, and serves the screen to browsers that know the password.

    gate.py [OPTION OF THE X SERVER]...

The X server listens on Unix sockets alone. A browser sends the password once, by HTTP's own login, and gets a cookie
that opens the screen's WebSocket; a page of another origin opens nothing. The mode ends with whatever part ends first.
"""

import asyncio
import contextlib
import hmac
import os
import secrets
import signal
import sys
import time
from asyncio.subprocess import Process
from base64 import b64decode
from pathlib import Path

from tornado.web import Application, RedirectHandler, RequestHandler, StaticFileHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

PORT = 6080
RUNTIME = Path(os.environ["XDG_RUNTIME_DIR"])
SCREEN = RUNTIME / "screen"
GREETING = b"RFB "
NOVNC = "/usr/share/novnc"
START = "/vnc.html?autoconnect=true&resize=remote&reconnect=true"
COOKIE = "slipway-desktop"
PATIENCE_SECONDS = 10
STOP_SECONDS = 0.5
WRONG_PASSWORD_SECONDS = 1
LOG_LINES = 20


class Gate:
    """Knows who may come in: by the password, or by the cookie that it bought."""

    def __init__(self, password: str) -> None:
        self.password = password.encode()
        self.cookie = secrets.token_urlsafe()
        self.guess = asyncio.Lock()

    async def admits(self, request: RequestHandler) -> bool:
        """Tell whether a request carries the cookie or the password; of wrong passwords it hears one a second."""
        if hmac.compare_digest(request.get_cookie(COOKIE, "").encode(), self.cookie.encode()):
            return True
        password = sent_password(request.request.headers.get("Authorization", ""))
        if not password:
            return False
        async with self.guess:
            if hmac.compare_digest(password, self.password):
                return True
            await asyncio.sleep(WRONG_PASSWORD_SECONDS)
        return False


def sent_password(header: str) -> bytes:
    """Return the password of an Authorization header, empty when it has none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() == "basic":
        with contextlib.suppress(ValueError):
            return b64decode(encoded).partition(b":")[2]
    return b""


# --- what a browser is given ---------------------------------------------------------------------


class Guarded(RequestHandler):
    """An answer for those alone who know the password."""

    async def prepare(self) -> None:
        """Refuse strangers; give the others the cookie, which a browser sends for no other site's page."""
        gate: Gate = self.settings["gate"]
        if await gate.admits(self):
            self.set_cookie(COOKIE, gate.cookie, httponly=True, samesite="Strict")
            self.set_header("X-Frame-Options", "SAMEORIGIN")
            return
        self.set_status(401)
        self.set_header("WWW-Authenticate", 'Basic realm="desktop", charset="UTF-8"')
        self.set_header("Content-Type", "text/plain")
        await self.finish("The desktop asks for its password; any user name will do.\n")


class Start(Guarded, RedirectHandler):
    """The bare address leads to noVNC's page."""


class Page(Guarded, StaticFileHandler):
    """A file of noVNC."""


class Screen(Guarded, WebSocketHandler):
    """The X server's VNC socket as a WebSocket. Tornado itself refuses a page of another origin."""

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """Take the only one that VNC clients offer."""
        return "binary" if "binary" in subprotocols else None

    async def open(self, *_: str, **__: str) -> None:
        """Connect to the X server."""
        self.set_nodelay(True)
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
    routes = [("/", Start, {"url": START, "permanent": False}), ("/health", Health), ("/websockify", Screen)]
    try:
        Application([*routes, ("/(.*)", Page, {"path": NOVNC})], gate=Gate(password)).listen(PORT)
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
