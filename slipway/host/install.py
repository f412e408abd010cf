"""Installs Debian's packages of the Docker engine, and starts an engine that is installed."""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import which

from slipway.errors import SlipwayError
from slipway.host import apt, engine
from slipway.host.engine import Engine, NoEngineError
from slipway.host.system_files import os_release, read

SUITE = "trixie"  # the Debian release whose engine is new enough
SOURCES = Path("/etc/apt/sources.list.d/slipway-trixie.sources")
PREFERENCES = Path("/etc/apt/preferences.d/slipway-trixie")
# Its -updates and -security have names of their own.
PIN = f"Package: *\nPin: release n={SUITE}*\nPin-Priority: 100\n"
LOG = Path("/var/log/dockerd.log")

# The engine keeps every build step forever unless a limit is set.
DAEMON = Path("/etc/docker/daemon.json")
LIMITED_CACHE = """\
{
  "builder": {"gc": {"enabled": true, "defaultKeepStorage": "20GB"}}
}
"""

# What to install where this module does not: by the ID of /etc/os-release.
ELSEWHERE = {
    "ubuntu": "sudo apt-get install docker.io docker-buildx",
    "fedora": "sudo dnf install moby-engine docker-cli docker-buildx",
    "arch": "sudo pacman -S docker docker-buildx",
    "opensuse": "sudo zypper install docker docker-buildx",
}
INSTRUCTIONS = "install Docker Engine with buildx (https://docs.docker.com/engine/install/)"


def provide_engine(reason: NoEngineError) -> Engine:
    """Start the engine that is installed, or install one and start it."""
    missing = [] if find_dockerd() else ["docker.io", "docker-buildx", "docker-compose"]
    if not which("docker"):
        missing.append("docker-cli")  # docker.io only recommends it
    if missing:
        install(*missing, reason=str(reason))
        try:
            return engine.ask()  # a package may have started it
        except NoEngineError:
            pass
    return start()


def find_dockerd() -> str | None:
    """Return the engine's program, also for a user whose PATH lacks the sbin folders."""
    return which("dockerd") or which("dockerd", path="/usr/local/sbin:/usr/sbin:/sbin")


# --- packages -----------------------------------------------------------------------------------


def install(*packages: str, reason: str) -> None:
    """Install packages that Debian 12 has too old or not at all from Debian 13."""
    require_debian(packages, reason)
    root = as_root(f"install {' '.join(packages)}")
    say(f"{reason}; installing {' '.join(packages)}")
    update(root)
    if not has_candidate("docker-buildx"):
        add_trixie(root)
        update(root)
    if "docker.io" in packages:
        limit_cache(root)  # before the package comes, which starts the engine
    apt_get(root, "install", "--yes", "--no-install-recommends", f"--target-release={SUITE}", *packages)


def install_as_is(package: str, reason: str) -> None:
    """Install a package from the release that this machine runs."""
    require_debian((package,), reason)
    root = as_root(f"install {package}")
    say(f"{reason}; installing {package}")
    update(root)
    apt_get(root, "install", "--yes", "--no-install-recommends", package)


def require_debian(packages: tuple[str, ...], reason: str) -> None:
    """Stop with what to install, except on Debian 12 and 13."""
    system = os_release()
    if system.get("ID") == "debian" and system.get("VERSION_ID") in ("12", "13"):
        return
    name = system.get("PRETTY_NAME", "this system")
    ids = [system.get("ID", ""), *system.get("ID_LIKE", "").split()]
    known = next((ELSEWHERE[each] for each in ids if each in ELSEWHERE), INSTRUCTIONS)
    advice = f"{known}, start it," if "docker.io" in packages else f"install {' '.join(packages)}"
    raise SlipwayError(f"{reason}. On {name} Slipway installs nothing by itself: {advice} and run this again.")


def as_root(task: str) -> list[str]:
    """Return what to put before a command that only root may run."""
    if os.geteuid() == 0:
        return []
    if which("sudo"):
        return ["sudo"]
    raise SlipwayError(f"only root may {task}, and there is no sudo: run this as root.")


def update(root: list[str]) -> None:
    """Fetch apt's package lists; a broken third-party source does not stop setup."""
    try:
        apt_get(root, "update")
    except SlipwayError as error:
        say(f"{error}\ngoing on with the package lists that apt has")


def apt_get(root: list[str], *arguments: str) -> None:
    """Run apt-get without questions; wait for another apt instead of failing."""
    command = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]
    command += ["-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=120", *arguments]
    check(root + command, "apt-get " + arguments[0])


def has_candidate(package: str) -> bool:
    """Tell whether apt knows a version of the package that it could install."""
    result = subprocess.run(
        ["apt-cache", "policy", package],
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
        check=False,
    )
    candidate = re.search(r"Candidate: (\S+)", result.stdout)
    return bool(candidate and candidate[1] != "(none)")


def add_trixie(root: list[str]) -> None:
    """Let apt see Debian 13, at a priority at which nothing is upgraded to it by itself."""
    mirrors = apt.find_mirrors()
    if not mirrors:
        raise SlipwayError("apt on this machine has no source of Debian: add one to /etc/apt/sources.list.d")
    say(f"adding {SOURCES} and {PREFERENCES}: Debian 13, pinned at 100")
    write(root, PREFERENCES, PIN)
    write(root, SOURCES, apt.debian_sources(SUITE, *mirrors))


def limit_cache(root: list[str]) -> None:
    """Keep the build cache of a new engine small, unless somebody has configured that engine beforehand."""
    if DAEMON.exists():
        return
    say(f"writing {DAEMON}: the engine's build cache is kept under 20 GB")
    check([*root, "mkdir", "-p", str(DAEMON.parent)], f"making {DAEMON.parent}")
    write(root, DAEMON, LIMITED_CACHE)


def write(root: list[str], path: Path, text: str) -> None:
    """Write a system file, as root."""
    check([*root, "tee", str(path)], f"writing {path}", data=text)


def check(command: list[str], what: str, data: str | None = None) -> None:
    """Run a command silently; if it fails, its last lines are the message."""
    # A file and not a pipe for the output: a daemon that keeps it open does not block.
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        result = subprocess.run(
            command,
            input=data,
            stdin=None if data is not None else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        output.seek(0)
        lines = output.read().strip().splitlines()[-8:]
    if result.returncode:
        raise SlipwayError("\n".join([f"{what} failed with exit code {result.returncode}:", *lines]))


# --- start --------------------------------------------------------------------------------------


def start() -> Engine:
    """Start the engine in the first way that makes it answer."""
    root = as_root("start the Docker engine")
    failures = []
    for way, command in ways_to_start():
        say(f"starting the Docker engine by {way}")
        try:
            check(root + command, way)
        except SlipwayError as error:
            failures.append(str(error))
            continue
        try:
            return wait()
        except NoEngineError as error:
            failures.append(f"{way}: {error}")
    raise SlipwayError("the Docker engine does not start.\n" + "\n".join(failures) + last_log())


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


def wait(seconds: float = 30) -> Engine:
    """Wait until the engine answers."""
    end = time.monotonic() + seconds
    while True:
        try:
            return engine.ask()
        except NoEngineError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def last_log() -> str:
    """Return where the engine's own words are, and the last of them."""
    if Path("/run/systemd/system").is_dir():
        return "\nSee `journalctl --unit docker`."
    lines = [line for path in (LOG, Path("/var/log/docker.log")) for line in tail(path)]
    return "\nThe end of its log:\n" + "\n".join(lines) if lines else ""


def tail(path: Path) -> list[str]:
    """Return the last lines of a log that may be missing."""
    return read(path).splitlines()[-5:]


def say(text: str) -> None:
    """Tell what is done, at once."""
    print(f"setup: {text}", flush=True)
