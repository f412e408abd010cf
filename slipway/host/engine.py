"""The Docker engine of this machine: whether it answers, why not, and what it lacks."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slipway import docker
from slipway.errors import SlipwayError
from slipway.host.apt import CA_IN_BUILD
from slipway.host.downloads import Host
from slipway.host.system_files import read
from slipway.repository import cache_folder

OLDEST_ENGINE = 25  # the first whose own Dockerfile frontend knows HEALTHCHECK --start-interval
OLDEST_BUILDX = (0, 10)  # the first that knows --provenance
GB = 10**9
CONTAINERD = "/run/containerd/containerd.sock"  # by default
CONTAINERD_SETTINGS = Path("/etc/containerd/config.toml")
ENDPOINT = "unable to resolve docker endpoint"  # docker's words for a context that does not exist, or a broken one
NO_PODMAN = "Slipway needs Docker Engine: put its docker command first on PATH, and set DOCKER_HOST to its socket."

# apt's own downloader fetches what apt itself would look at first, from where a build's apt would.
DOWNLOAD = """
tar -x -C / || exit
url=$(apt-get indextargets --no-release-info --format '$(BASE_URI)InRelease' | head -n 1)
[ "$url" ] || { echo 'E: apt has no source'; exit 100; }
exec /usr/lib/apt/apt-helper -o Acquire::Retries=1 -o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15 \\
    download-file "$url" /tmp/InRelease
"""


class NoEngineError(SlipwayError):
    """No engine answers on this machine, and none elsewhere was asked for."""


@dataclass(frozen=True)
class Engine:
    """An engine that answers, and the client that reached it."""

    id: str
    version: str
    client: str
    plugins: Mapping[str, str]  # its plug-ins' versions
    host: str
    data_root: Path  # of its images
    os: str
    architecture: str

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine, on this machine's own kernel."""
        return self.host == socket.gethostname()

    def free_gb(self) -> float | None:
        """Return the free space of the engine's data root, None where it is not this machine's."""
        if not self.is_here:
            return None
        for folder in (self.data_root, *self.data_root.parents):
            try:
                return shutil.disk_usage(folder).free / GB
            except PermissionError:  # only root reads the data root of an engine with userns-remap
                continue
            except OSError:
                return None
        return None


# --- does one answer, and if not, why -----------------------------------------------------------


def find_engine() -> Engine:
    """Return the engine that answers; NoEngineError where one may be installed or started."""
    if not shutil.which("docker"):
        raise NoEngineError("there is no docker command on this machine")
    result = docker.call("info", "--format", "{{json .}}")
    info = parse_info(result.stdout)
    if "ClientInfo" not in info and "podman" in (result.stdout + result.stderr).lower():
        raise SlipwayError(f"the docker command here is Podman's. {NO_PODMAN}")
    if result.returncode or info.get("ServerErrors") or not info.get("ServerVersion"):
        raise explain_silence(" ".join([result.stderr, *(info.get("ServerErrors") or [])]), info)
    return read_engine(info)


def parse_info(text: str) -> dict[str, Any]:
    """Read docker's JSON; empty where a client printed something else."""
    try:
        info = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return info if isinstance(info, dict) else {}


def explain_silence(reason: str, info: Mapping[str, Any]) -> SlipwayError:
    """Turn docker's complaint into an error that says what to do."""
    reason = " ".join(reason.split()).rstrip(".?")
    _, is_ssh, said_by_ssh = reason.partition("stderr=")
    if "permission denied" in reason.lower() and not is_ssh:
        return SlipwayError(
            "no permission on the Docker engine's socket. Join the group docker "
            '(`sudo usermod -aG docker "$USER"`, then log in again), or run this with sudo.'
        )
    context = os.environ.get("DOCKER_CONTEXT") or (info.get("ClientInfo") or {}).get("Context", "default")
    if not os.environ.get("DOCKER_HOST") and context == "default" and ENDPOINT not in reason:
        return NoEngineError(f"no Docker engine answers on this machine: {reason}")
    where = os.environ.get("DOCKER_HOST") or f"the Docker context {context!r}"
    if is_ssh:
        advice = "A login there by ssh must work without a question, and its user run `docker info`."
    elif "tls:" in reason or ".pem" in reason:
        advice = "Set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to a folder with ca.pem, cert.pem and key.pem."
    else:
        advice = (
            "Start that engine, or use this machine's: unset DOCKER_HOST and DOCKER_CONTEXT, and run "
            "`docker context use default`."
        )
    return SlipwayError(f"the Docker engine at {where} does not answer: {said_by_ssh or reason}. {advice}")


def read_engine(info: Mapping[str, Any]) -> Engine:
    """Take from `docker info` what setup looks at."""
    client = info.get("ClientInfo") or {}
    plugins = {
        plugin.get("Name"): plugin.get("Version", "") for plugin in client.get("Plugins") or [] if not plugin.get("Err")
    }
    return Engine(
        id=info.get("ID") or "unknown",
        version=info["ServerVersion"],
        client=client.get("Version", ""),
        plugins=plugins,
        host=info.get("Name", ""),
        data_root=find_data_root(info),
        os=info.get("OSType", "linux"),
        architecture=info.get("Architecture", ""),
    )


def find_data_root(info: Mapping[str, Any]) -> Path:
    """Return the folder of an engine's images: a containerd of the system's own keeps them outside the data root."""
    root = Path(info.get("DockerRootDir") or "/")
    is_containerds = "io.containerd.snapshotter" in str(info.get("DriverStatus"))
    address = str((info.get("Containerd") or {}).get("Address", ""))
    return find_containerd_root() if is_containerds and address == CONTAINERD else root


def find_containerd_root() -> Path:
    """Return the folder of the system's containerd: by its settings, or its default."""
    try:
        root = tomllib.loads(read(CONTAINERD_SETTINGS)).get("root")
    except ValueError:
        root = None
    return Path(root if isinstance(root, str) and root else "/var/lib/containerd")


# --- what it lacks ------------------------------------------------------------------------------


def require_buildkit(engine: Engine) -> None:
    """Refuse an engine whose own BuildKit cannot read the Dockerfiles."""
    if engine.os != "linux":
        raise SlipwayError(f"the Docker engine runs {engine.os} containers. Switch it to Linux containers.")
    major = re.match(r"\d+", engine.version)
    if major and int(major[0]) < OLDEST_ENGINE:
        if "Podman" in docker.call("version", "--format={{json .Server}}").stdout:
            raise SlipwayError(f"the engine is Podman {engine.version}, which has no BuildKit. {NO_PODMAN}")
        raise SlipwayError(
            f"Docker engine {engine.version} is too old: its BuildKit does not know HEALTHCHECK --start-interval. "
            f"Upgrade it to {OLDEST_ENGINE}.0 or newer (https://docs.docker.com/engine/install/), or name a newer "
            "engine by DOCKER_HOST or `docker context use`."
        )


def describe_move(engine: Engine) -> str:
    """Return the setting that moves the images of an engine."""
    if engine.data_root == find_containerd_root():
        return f"`root` in {CONTAINERD_SETTINGS}: this engine's images are containerd's"
    return '"data-root" in /etc/docker/daemon.json'


def require_buildx(engine: Engine) -> None:
    """Refuse a plug-in that does not know an option of the builds."""
    version = engine.plugins["buildx"]
    found = re.search(r"(\d+)\.(\d+)", version)
    if found and (int(found[1]), int(found[2])) < OLDEST_BUILDX:
        oldest = ".".join(map(str, OLDEST_BUILDX))
        raise SlipwayError(
            f"docker buildx {version} is too old: {oldest} or newer is needed. `docker info` names its file; one in "
            "~/.docker/cli-plugins comes before the system's."
        )


def require_space(engine: Engine, need_gb: int) -> float | None:
    """Return the free space in GB; refuse to start with less than is needed."""
    free = engine.free_gb()
    if free is not None and free < need_gb:
        raise SlipwayError(
            f"too little disk for a build: {free:.1f} GB free in {engine.data_root}, {need_gb} "
            "GB needed. Free some by `nox -s clean` or `docker system prune`, or move the engine's "
            f"data ({describe_move(engine)})."
        )
    return free


# --- proof that a container has network ---------------------------------------------------------


def proof_file(engine: Engine) -> Path:
    """Return the file that remembers the proof, one for each engine and client."""
    name = re.sub(r"[^\w.-]", "_", f"{engine.id}-{engine.client}")
    return cache_folder("engines") / name


def is_proved(engine: Engine) -> bool:
    """Tell whether a container with network has run on this engine."""
    return proof_file(engine).is_file()


def prove_network(engine: Engine, image: str, host: Host) -> None:
    """Fetch a file from the Debian mirror in a container with this host's settings, and remember that it worked."""
    name = f"slipway-proof-{os.getpid()}"
    options = [f"--env={variable}" for variable in host.proxies]
    command = ["run", "--rm", "--interactive", f"--name={name}", *options, image, "sh", "-c", DOWNLOAD]
    try:
        result = docker.call(*command, data=pack_settings(host), timeout=120, variables=host.proxies)
    except subprocess.TimeoutExpired as error:
        result = subprocess.CompletedProcess(error.cmd, 124, "", "no answer within 120 s")
    finally:
        docker.call("rm", "--force", name)  # --rm has removed it already, but for a time-out or Ctrl-C
    if result.returncode:
        raise explain_proof(result, host)
    file = proof_file(engine)
    with contextlib.suppress(OSError):  # without a note, the next run proves the engine again
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {image}\n", encoding="utf-8")


def pack_settings(host: Host) -> bytes:
    """Pack the host's apt settings, mirror and CA bundle as a tar archive for a container's input."""
    files = {"etc/apt/apt.conf.d/90host": host.apt_conf.encode()}
    if host.apt_auth:
        files["etc/apt/auth.conf.d/90host.conf"] = host.apt_auth.encode()
    if host.sources:
        files["etc/apt/sources.list.d/debian.sources"] = host.sources.encode()
    if host.ca_bundle:
        files[CA_IN_BUILD.lstrip("/")] = host.ca_bundle.read_bytes()
    return docker.pack(files.items())


def explain_proof(result: subprocess.CompletedProcess[str], host: Host) -> SlipwayError:
    """Tell an engine that cannot run containers from containers without network."""
    lines = (result.stdout + result.stderr).strip().splitlines() or ["no output"]
    if result.returncode in (125, 126, 127):
        return SlipwayError(f"the Docker engine cannot run a container: {lines[-1]}")
    proxies = ", ".join(host.proxies)
    proxy = (
        f"{proxies} (an address on 127.0.0.1 is out of a container's reach)"
        if proxies
        else "is one needed to reach the internet? Then set http_proxy and https_proxy"
    )
    reason = next((line for line in lines if line.startswith("E:")), lines[-1])
    return SlipwayError(
        f"a container has no network: Debian's mirror was not reached from one: {reason}\n"
        "Look at: iptables (`iptables -S FORWARD`), forwarding (`sysctl net.ipv4.ip_forward` "
        f'must be 1), DNS ("dns" in /etc/docker/daemon.json), proxy: {proxy}.'
    )
