"""Provides a Docker engine: Debian's is installed where there is none, and what is installed is started."""

import time
from collections.abc import Iterator
from pathlib import Path
from shutil import which

from slipway.errors import SlipwayError
from slipway.host import engine, packages
from slipway.host.commands import as_root, run_command, say
from slipway.host.engine import Engine, NoEngineError
from slipway.host.system_files import read

LOG = Path("/var/log/dockerd.log")
PID = Path("/run/docker.pid")

# The engine keeps every build step forever unless a limit is set.
DAEMON = Path("/etc/docker/daemon.json")
LIMITED_CACHE = """\
{
  "builder": {"gc": {"enabled": true, "defaultKeepStorage": "20GB"}}
}
"""


def provide_engine(reason: NoEngineError) -> Engine:
    """Start the engine that is installed, or install one and start it."""
    missing = [] if find_dockerd() else ["docker.io", "docker-buildx", "docker-compose"]
    if not which("docker"):
        missing.append("docker-cli")  # docker.io only recommends it
    if missing:
        # Somebody may have configured an engine before there is one.
        settings = {DAEMON: LIMITED_CACHE} if "docker.io" in missing and not DAEMON.exists() else {}
        packages.install(*missing, reason=str(reason), settings=settings)
        try:
            return engine.find_engine()  # a package may have started it
        except NoEngineError:
            pass
    return start_engine()


def find_dockerd() -> str | None:
    """Return the engine's program, also for a user whose PATH lacks the sbin folders."""
    return which("dockerd") or which("dockerd", path="/usr/local/sbin:/usr/sbin:/sbin")


def start_engine() -> Engine:
    """Start the engine in the first way that makes it answer."""
    root = as_root("start the Docker engine")
    failures = []
    for way, command in ways_to_start():
        say(f"starting the Docker engine by {way}")
        try:
            run_command(root + command, way)
        except SlipwayError as error:
            failures.append(str(error))
            continue
        try:
            return wait_for_engine()
        except NoEngineError as error:
            failures.append(f"{way}: {error}")
    raise SlipwayError("the Docker engine does not start.\n" + "\n".join(failures) + read_last_log())


def ways_to_start() -> Iterator[tuple[str, list[str]]]:
    """Yield the ways that this machine offers: systemd, the service script, dockerd itself."""
    if Path("/run/systemd/system").is_dir():
        yield "systemctl start docker", ["systemctl", "start", "docker"]
        return
    if Path("/etc/init.d/docker").exists() and which("service", path="/usr/sbin:/sbin:/usr/bin"):
        yield "service docker start", ["service", "docker", "start"]
    # In a session of its own, so that it outlives this one and its Ctrl-C.
    program = find_dockerd() or "dockerd"
    detached = f"exec {program} >>{LOG} 2>&1 </dev/null"
    yield f"{program} (log: {LOG})", ["setsid", "--fork", "sh", "-c", detached]


def wait_for_engine(seconds: float = 30) -> Engine:
    """Wait until the engine answers."""
    end = time.monotonic() + seconds
    while True:
        try:
            return engine.find_engine()
        except NoEngineError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def read_last_log() -> str:
    """Return where the engine's own words are, and the last of them."""
    if Path("/run/systemd/system").is_dir():
        return "\nSee `journalctl --unit docker`."
    lines = [line for path in (LOG, Path("/var/log/docker.log")) for line in read(path).splitlines()[-5:]]
    return "\nThe end of its log:\n" + "\n".join(lines) if lines else ""


def stop_engine(root: list[str]) -> None:
    """Stop the engine of this machine, in whatever way it was started."""
    say("stopping the Docker engine")
    if Path("/run/systemd/system").is_dir():
        run_command([*root, "systemctl", "stop", "docker.socket", "docker.service"], "stopping the engine")
        return
    number = read(PID).strip()
    if number.isdecimal():
        run_command([*root, "sh", "-c", f"kill {number}"], "stopping the engine")
        end = time.monotonic() + 30
        while PID.exists() and time.monotonic() < end:
            time.sleep(0.2)
