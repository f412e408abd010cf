"""What setup decides: with the real engine where it serves, with stand-ins for faults.

The stand-in for docker is a shell script on PATH; it answers as docker does in the case at hand and
writes down how it was called.
"""

import io
import json
import math
import os
import shutil
import tarfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slipway import matrix
from slipway.errors import SlipwayError
from slipway.host import apt, base_image, downloads, engine, packages, setup, start, undo
from slipway.host import commands as host_commands
from slipway.host.engine import Engine, NoEngineError
from tests.helpers.programs import write_program

DOWN = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock."
NO_CONTEXT = "unable to resolve docker endpoint: context not found"
DENIED = "permission denied while trying to connect to the Docker daemon socket"

INFO: dict[str, Any] = {
    "ID": "engine:1",
    "ServerVersion": "26.1.5",
    "OSType": "linux",
    "Name": "elsewhere",
    "DockerRootDir": "/var/lib/docker",
    "ClientInfo": {"Version": "28.2.2", "Context": "default", "Plugins": [{"Name": "buildx", "Version": "0.13.1"}]},
}
IMAGE = [{"Id": "sha256:1", "Created": "2026-01-01", "Config": {}, "RepoDigests": ["d@sha256:2"]}]


class FakeDocker:
    """A docker command whose answers are set by a test."""

    def __init__(self, folder: Path) -> None:
        """Put the command into a folder that is to be all of PATH."""
        self.folder = folder
        self.log = folder / "calls"
        self.log.touch()
        for tool in ("sh", "cat"):
            (folder / tool).symlink_to(shutil.which(tool) or tool)
        self.answers(info=INFO)

    def answers(self, info: dict[str, Any], error: str = "", run: str = "exit 0", version: str = "{}") -> None:
        """Set what `docker info` prints and what `docker run` does."""
        (self.folder / "info").write_text(json.dumps(info))
        (self.folder / "image").write_text(json.dumps(IMAGE))
        script = f"""\
echo "$@" >> {self.log}
case "$1" in
    info) cat {self.folder}/info; echo "{error}" >&2; [ -z "{error}" ] ;;
    image) cat {self.folder}/image ;;
    version) echo '{version}' ;;
    run) cat >/dev/null; {run} ;;
esac
"""
        write_program(self.folder / "docker", script)

    def calls(self, command: str) -> list[str]:
        """Return the calls of one docker command."""
        return [line for line in self.log.read_text().splitlines() if line.startswith(f"{command} ")]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """Return the stand-in, first and alone on PATH, and a cache of its own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    stand_in = FakeDocker(folder)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    return stand_in


def without_server(**client: object) -> dict[str, Any]:
    """Return what `docker info` prints where no engine answers."""
    return {"ID": "", "ServerVersion": "", "ClientInfo": INFO["ClientInfo"] | client}


def message(*words: str) -> str:
    """Run setup and return the error that it ends with."""
    with pytest.raises(SlipwayError) as caught:
        setup.main(list(words))
    return str(caught.value)


# --- an engine that does not serve --------------------------------------------------------------


Answer = tuple[dict[str, Any], str, dict[str, str], tuple[str, ...]]
TOO_OLD = ("20.10.24+dfsg1", "23.0.6", "24.0.9-1")
ELSEWHERE = {
    "exited with exit status 255, stderr=app@h: Permission denied (publickey).": "login there by ssh must work",
    "error during connect: remote error: tls: certificate required": "DOCKER_CERT_PATH",
    "unable to resolve docker endpoint: open /none/ca.pem: no such file or directory": "DOCKER_CERT_PATH",
}
# What docker prints, its error, the variables of the machine, and the words of setup.
NOT_SERVING: dict[str, Answer] = {
    "no permission": (without_server(), DENIED, {}, ("usermod -aG docker", "sudo")),
    "down": (without_server(), DOWN, {"DOCKER_HOST": "tcp://h:1"}, ("engine at tcp://h:1 does not answer",)),
    "context down": (without_server(Context="builder"), DOWN, {}, ("the Docker context 'builder' does not answer",)),
    "no context": ({}, NO_CONTEXT, {"DOCKER_CONTEXT": "x"}, ("the Docker context 'x' does not answer",)),
    "podman": ({"host": {"remoteSocket": {"path": "/run/podman/podman.sock"}}}, "", {}, ("Podman",)),
    "windows": (INFO | {"OSType": "windows"}, "", {}, ("Linux containers",)),
    **{why: (without_server(), why, {"DOCKER_HOST": "ssh://app@h"}, (advice,)) for why, advice in ELSEWHERE.items()},
    # Its own Dockerfile frontend would stop in the middle of a build, without a word on what to do.
    **{old: (INFO | {"ServerVersion": old}, "", {}, (f"{old} is too old", "BuildKit", "to 25.0")) for old in TOO_OLD},
}


@pytest.mark.parametrize(("info", "error", "variables", "words"), NOT_SERVING.values(), ids=NOT_SERVING)
def test_an_engine_that_does_not_serve(  # noqa: PLR0913, PLR0917 - a row of the table
    docker: FakeDocker,
    monkeypatch: pytest.MonkeyPatch,
    info: dict[str, Any],
    error: str,
    variables: dict[str, str],
    words: tuple[str, ...],
) -> None:
    """Whoever named an engine, or only lacks a group, gets no other one; a group helps on this machine alone."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    docker.answers(info, error=error)
    text = message()
    assert [word for word in words if word not in text] == []
    assert ("usermod" in text) == (error == DENIED)


def test_podmans_socket(docker: FakeDocker) -> None:
    """Podman answers as an engine of its own version."""
    docker.answers(INFO | {"ServerVersion": "5.4.2"}, version='{"Components": [{"Name": "Podman Engine"}]}')
    text = message()
    assert "Podman 5.4.2, which has no BuildKit" in text
    assert "DOCKER_HOST" in text


@pytest.mark.parametrize("version", ["25.0.0", "26.1.5+dfsg1", "29.0.0-rc.1", "dev"])
def test_engine_that_is_new_enough(version: str) -> None:
    """The oldest, Debian's, one of tomorrow; and what a developer's own engine calls itself."""
    engine.require_buildkit(engine.read_engine(INFO | {"ServerVersion": version}))


@pytest.mark.parametrize(
    ("version", "is_too_old"),
    [("v0.9.1-docker", True), ("0.13.1+ds1", False), ("v0.10.0-desktop.2", False), ("", False)],
)
def test_buildx_that_is_too_old(docker: FakeDocker, version: str, *, is_too_old: bool) -> None:
    """One that somebody put into the home years ago comes before the system's."""
    docker.answers(INFO | {"ClientInfo": INFO["ClientInfo"] | {"Plugins": [{"Name": "buildx", "Version": version}]}})
    if is_too_old:
        assert f"buildx {version} is too old: 0.10 or newer is needed" in message()
    else:
        assert setup.main([]) == 0


def test_no_buildx(docker: FakeDocker, system: str) -> None:
    """A client that was there before may lack the plug-in; the message names its package."""
    broken = {"Name": "buildx", "Err": "exec format error"}
    docker.answers(INFO | {"ClientInfo": INFO["ClientInfo"] | {"Plugins": [broken]}})
    text = message()
    assert "no buildx plug-in" in text
    assert "docker-buildx" in text
    assert system in text


@pytest.mark.requirement("T15")
def test_compose_is_installed_only_where_asked_for(docker: FakeDocker, system: str) -> None:
    """No build needs it, so an engine without it serves as it is."""
    assert setup.main([]) == 0
    text = message("--compose")
    assert "no compose plug-in" in text
    assert "install docker-compose" in text
    assert system in text
    plugins = [*INFO["ClientInfo"]["Plugins"], {"Name": "compose", "Version": "2.26.1"}]
    docker.answers(INFO | {"ClientInfo": INFO["ClientInfo"] | {"Plugins": plugins}})
    assert setup.main(["--compose"]) == 0


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a system for which setup installs nothing."""
    name = "Ubuntu 24.04"
    release = {"ID": "ubuntu", "ID_LIKE": "debian", "PRETTY_NAME": name}
    monkeypatch.setattr(packages, "os_release", lambda: release)
    return name


@pytest.mark.parametrize("name", ["rocky", "amzn"])
def test_a_system_like_fedora_without_its_packages(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Those of Red Hat and Amazon have no moby-engine."""
    release = {"ID": name, "ID_LIKE": "fedora" if name == "amzn" else "rhel centos fedora"}
    monkeypatch.setattr(packages, "os_release", lambda: release)
    with pytest.raises(SlipwayError, match="install Docker Engine with buildx"):
        packages.require_debian(("docker.io",), "no engine")


def test_no_engine_on_another_system(docker: FakeDocker, system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (docker.folder / "docker").unlink()
    monkeypatch.setattr(start, "find_dockerd", lambda: None)
    text = message()
    assert "no docker command" in text
    assert f"On {system} Slipway installs nothing by itself" in text
    assert "sudo apt-get install docker.io docker-buildx" in text


# --- what it lacks ------------------------------------------------------------------------------


def want_disk(monkeypatch: pytest.MonkeyPatch, gb: int) -> None:
    """Stand in for an images.toml that wants this much free disk."""
    wanted = replace(matrix.load_matrix(), free_disk_gb=gb)
    monkeypatch.setattr(setup, "load_matrix", lambda: wanted)


def test_full_disk(docker: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is started on a disk that is too full: no image is asked for, no container run."""
    here = {"Name": os.uname().nodename, "DockerRootDir": str(tmp_path)}
    docker.answers(INFO | here)
    usage = shutil.disk_usage(tmp_path)._replace(free=3_000_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    want_disk(monkeypatch, 8)
    assert f"3.0 GB free in {tmp_path}, 8 GB needed" in message()
    assert not docker.calls("image")
    assert not docker.calls("run")
    want_disk(monkeypatch, 2)
    assert setup.main([]) == 0
    image = matrix.load_matrix().find_image("cuda12.8-runtime")
    twice = math.ceil(2 * image.most_size / 1e9)
    assert f"3.0 GB free in {tmp_path}, {twice} GB needed" in message(f"--image={image.name}")


def test_data_root_that_only_root_reads(docker: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine with userns-remap has one; the folder above is on the same disk."""
    root = tmp_path / "docker" / "100000.100000"
    docker.answers(INFO | {"Name": os.uname().nodename, "DockerRootDir": str(root)})
    usage = shutil.disk_usage(tmp_path)._replace(free=3_000_000_000)

    def disk_usage(folder: Path) -> Any:
        if folder == root:
            raise PermissionError
        return usage

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    want_disk(monkeypatch, 8)
    assert f"3.0 GB free in {root}, 8 GB needed" in message()


@pytest.mark.parametrize(
    ("settings", "folder"),
    [
        (None, "/var/lib/containerd"),
        ("version = 3", "/var/lib/containerd"),
        ("root = ", "/var/lib/containerd"),
        ('root = "/data/containerd"', "/data/containerd"),
    ],
)
def test_images_of_a_containerd_of_the_systems_own(
    docker: FakeDocker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: str | None, folder: str
) -> None:
    """Docker 29's default: not data-root, but containerd's settings move them. Docker's own has data-root."""
    monkeypatch.setattr(engine, "CONTAINERD_SETTINGS", file := tmp_path / "config.toml")
    if settings:
        file.write_text(settings)
    usage = shutil.disk_usage("/")._replace(free=3_000_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    want_disk(monkeypatch, 8)
    info = INFO | {"Name": os.uname().nodename, "DockerRootDir": "/data/docker"}
    store = {"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}
    docker.answers(info | store | {"Containerd": {"Address": "/run/containerd/containerd.sock"}})
    text = message()
    assert f"3.0 GB free in {folder}, 8 GB needed" in text
    assert f"`root` in {file}" in text
    docker.answers(info | store | {"Containerd": {"Address": "/var/run/docker/containerd/containerd.sock"}})
    assert "3.0 GB free in /data/docker, 8 GB needed" in (text := message())
    assert '"data-root" in /etc/docker/daemon.json' in text


@pytest.mark.usefixtures("docker")
def test_disk_of_another_machine_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of that name on this machine is another one."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: pytest.fail("asked for this disk"))
    want_disk(monkeypatch, 10**9)
    assert setup.main([]) == 0


def test_proof_runs_once_for_an_engine_and_client(docker: FakeDocker) -> None:
    """Another engine, or another client, is proved anew."""
    assert setup.main([]) == setup.main([]) == 0
    assert len(docker.calls("run")) == 1
    docker.answers(INFO | {"ID": "engine:2"})
    assert setup.main([]) == 0
    assert len(docker.calls("run")) == 2
    assert f" {matrix.load_matrix().default_distro.image} sh -c" in docker.calls("run")[1]


def test_only_the_base_image_that_is_asked_for_is_provided(docker: FakeDocker) -> None:
    """A build on another Debian release names it; the default one is not pulled along."""
    assert setup.main(["--image=cpu-base-py3.11"]) == 0
    named = matrix.load_matrix().distros["bookworm"].image
    assert [call for call in docker.calls("image") if named not in call] == []
    assert f" {named} sh -c" in docker.calls("run")[0]


@pytest.mark.usefixtures("docker")
def test_unknown_image() -> None:
    """The answer lists close names, before anything is started."""
    assert "there is no image 'cpu-sid'; did you mean cpu-base" in message("--image=cpu-sid")


def test_proof_goes_through_the_mirror_that_a_build_uses() -> None:
    """With its login, where a build has it, in place of the base image's own sources."""
    settings = downloads.Host(sources="URIs: https://mirror.example/debian\n", apt_auth="machine mirror.example\n")
    files = {
        "etc/apt/sources.list.d/debian.sources": settings.sources,
        "etc/apt/auth.conf.d/90host.conf": settings.apt_auth,
    }
    with tarfile.open(fileobj=io.BytesIO(engine.pack_settings(settings))) as archive:
        for name, text in files.items():
            member = archive.extractfile(name)
            assert member
            assert member.read().decode() == text


def test_proof_gets_a_proxy_as_apt_knows_it(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host may name it in upper case alone, and without a scheme."""
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.setenv("HTTP_PROXY", "proxy.example:3128")
    docker.answers(INFO, run=f'echo "$http_proxy" >{docker.folder}/proxy')
    assert setup.main([]) == 0
    assert (docker.folder / "proxy").read_text() == "http://proxy.example:3128\n"


def test_no_network_in_containers(docker: FakeDocker) -> None:
    """The message has what failed and what to look at; nothing is remembered."""
    failure = "echo 'E: Failed: Temporary failure resolving' >&2; exit 100"
    docker.answers(INFO, run=failure)
    for _ in range(2):
        text = message()
        assert "Temporary failure resolving" in text
        for hint in ("iptables", "ip_forward", "DNS", "proxy"):
            assert hint in text
    assert len(docker.calls("run")) == 2


def test_engine_that_cannot_run_a_container(docker: FakeDocker) -> None:
    """It answers all the same; only a container tells."""
    docker.answers(INFO, run="echo 'OCI runtime create failed' >&2; exit 125")
    assert "cannot run a container: OCI runtime create failed" in message()


def test_cache_that_cannot_be_written(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof is then run each time, and nothing fails."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")
    assert setup.main([]) == setup.main([]) == 0
    assert len(docker.calls("run")) == 2


# --- installation and start ---------------------------------------------------------------------


ADDED = "Inst docker.io (26.1.5 Debian:13.8/stable [amd64])\n"
UPGRADED = "Inst libc6 [2.36-9] (2.41-12 Debian:13.8/stable [amd64])\n"


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Pretend a Debian 12 as root without an engine; return its commands, which do nothing."""
    done: list[list[str]] = []
    release = {"ID": "debian", "VERSION_ID": "12"}
    monkeypatch.setattr(packages, "os_release", lambda: release)
    monkeypatch.setattr(start, "find_dockerd", lambda: None)
    monkeypatch.setattr(start, "which", lambda *_, **__: None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(start, "wait_for_engine", lambda: "an engine")
    monkeypatch.setattr(engine, "find_engine", silent)
    let_apt(monkeypatch, done, ADDED)
    for name in ("SOURCES", "PREFERENCES", "NOTES"):
        monkeypatch.setattr(packages, name, tmp_path / "etc" / name.lower())
    monkeypatch.setattr(start, "DAEMON", tmp_path / "etc" / "daemon.json")
    mirrors = apt.Mirror("http://any.example/debian"), apt.Mirror("http://any.example/security")
    monkeypatch.setattr(apt, "find_mirrors", lambda *_: mirrors)
    return done


def let_apt(
    monkeypatch: pytest.MonkeyPatch, done: list[list[str]], simulation: str, failing: str = "", needed: str = ""
) -> None:
    """Let each command be noted and do nothing; a simulation prints this, one step fails, others need a package."""

    def run_command(command: list[str], what: str, data: str | None = None) -> str:
        done.append([*command, data or ""])
        if failing and failing in command:
            raise SlipwayError(f"{what} failed: E: no Release file")
        if "showmanual" in command:
            return "docker.io"
        if "--simulate" not in command:
            return ""
        return simulation + ("Remv somebodys [1]\n" if needed and needed in command else "")

    for module in (host_commands, packages, start, undo):
        monkeypatch.setattr(module, "run_command", run_command)


def test_broken_source_of_somebody_else_stops_nothing(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the packages' own installation decides."""
    let_apt(monkeypatch, commands, ADDED, failing="update")
    start.provide_engine(NoEngineError("no engine"))
    assert apt_steps(commands)[-1] == INSTALLATION
    assert "no Release file" in capsys.readouterr().out


def silent() -> Engine:
    """Answer as a machine without an engine."""
    raise NoEngineError("no engine")


def apt_steps(commands: list[list[str]]) -> list[str]:
    """Return what apt-get was told and which files were written, in order."""
    steps = []
    for command in commands:
        if "apt-get" in command:
            steps.append(" ".join(command[command.index("DPkg::Lock::Timeout=120") + 1 :]).strip())
        elif "/dev/stdin" in command:
            steps.append(Path(command[command.index("/dev/stdin") + 1]).name)
    return steps


WANTED = "docker.io docker-buildx docker-compose docker-cli"
SIMULATION = f"install --no-install-recommends {WANTED} --simulate"
INSTALLATION = f"install --yes --no-install-recommends {WANTED}"


def test_debian_12_takes_docker_alone_from_a_pinned_debian_13(commands: list[list[str]]) -> None:
    """The pin is there before the source, so that no other package is ever upgraded to it.

    The new engine keeps its build cache small.
    """
    start.provide_engine(NoEngineError("no engine"))
    steps = ["preferences", "sources", "update", SIMULATION, "notes", "daemon.json", INSTALLATION]
    assert apt_steps(commands) == steps
    texts = [command[-1] for command in commands if "/dev/stdin" in command]
    assert "Package: *\nPin: release n=trixie*\nPin-Priority: 100\n" in texts[0]
    pinned = "Package: docker.io docker-cli docker-buildx docker-compose\nPin: release n=trixie*\n"
    assert f"{pinned}Pin-Priority: 500\n" in texts[0]
    assert "URIs: http://any.example/debian\nSuites: trixie trixie-updates" in texts[1]
    notes = json.loads(texts[2])
    assert notes["packages"] == ["docker.io"]
    assert [Path(name).name for name in notes["files"]] == ["preferences", "sources", "daemon.json"]
    written = next(command for command in commands if str(start.DAEMON) in command)
    assert written[:2] == ["install", "-D"]
    limit = json.loads(written[-1])["builder"]["gc"]
    assert limit == {"enabled": True, "defaultKeepStorage": "20GB"}


def test_an_upgrade_needs_consent(commands: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal nothing is installed, and the source that was added is removed."""
    let_apt(monkeypatch, commands, ADDED + UPGRADED + "Remv gone [1]\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(SlipwayError, match=r"nothing was changed\. `nox -s setup -- --yes` agrees"):
        start.provide_engine(NoEngineError("no engine"))
    assert apt_steps(commands) == ["preferences", "sources", "update", SIMULATION]
    assert [command[:2] for command in commands[-2:]] == [
        ["rm", str(packages.PREFERENCES)],
        ["rm", str(packages.SOURCES)],
    ]


class Terminal(io.StringIO):
    """A terminal on which somebody types this."""

    def isatty(self) -> bool:
        """Say that it is one."""
        return True


@pytest.mark.parametrize(("typed", "is_installed"), [("y\n", True), ("\n", False), ("no\n", False), ("", False)])
def test_an_upgrade_is_asked_for_on_a_terminal(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, typed: str, *, is_installed: bool
) -> None:
    let_apt(monkeypatch, commands, ADDED + UPGRADED)
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    if is_installed:
        start.provide_engine(NoEngineError("no engine"))
    else:
        with pytest.raises(SlipwayError, match="nothing was changed"):
            start.provide_engine(NoEngineError("no engine"))
    assert (INSTALLATION in apt_steps(commands)) == is_installed


def test_yes_agrees_and_each_upgrade_is_named(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The notes keep it for --undo."""
    let_apt(monkeypatch, commands, ADDED + UPGRADED)
    monkeypatch.setattr(packages, "is_agreed", True)
    start.provide_engine(NoEngineError("no engine"))
    assert "apt would upgrade libc6 2.36-9 to 2.41-12" in capsys.readouterr().out
    notes = next(command[-1] for command in commands if str(packages.NOTES) in command)
    assert json.loads(notes)["upgraded"] == {"libc6": "2.36-9 to 2.41-12"}


@pytest.mark.usefixtures("commands")
def test_debian_12_without_a_source_of_debian(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no address to take Debian 13 from, and none is made up."""
    monkeypatch.setattr(apt, "find_mirrors", lambda *_: None)
    with pytest.raises(SlipwayError, match="apt on this machine has no source of Debian"):
        start.provide_engine(NoEngineError("no engine"))


def test_debian_13_installs_its_own(commands: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "os_release", lambda: {"ID": "debian", "VERSION_ID": "13"})
    start.provide_engine(NoEngineError("no engine"))
    assert apt_steps(commands) == ["update", SIMULATION, "notes", "daemon.json", INSTALLATION]


@pytest.mark.parametrize(
    ("there", "installed", "is_configured"),
    [
        ((), WANTED, True),
        # Somebody wrote it before the engine came, or it outlived an earlier engine.
        (("daemon.json",), WANTED, False),
        # An engine that was there is not configured, although a package is installed.
        (("dockerd",), "docker-cli", False),
        # Of another origin.
        (("docker",), "docker.io docker-buildx docker-compose", True),
        # The engine is down, and is only started.
        (("dockerd", "docker"), "", False),
    ],
)
def test_only_what_is_missing_is_installed(
    commands: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    there: tuple[str, ...],
    installed: str,
    *,
    is_configured: bool,
) -> None:
    monkeypatch.setattr(start, "find_dockerd", lambda: "/usr/sbin/dockerd" if "dockerd" in there else None)
    monkeypatch.setattr(start, "which", lambda name, **_: name if name in there else None)
    if "daemon.json" in there:
        start.DAEMON.parent.mkdir()
        start.DAEMON.write_text("{}")
    start.provide_engine(NoEngineError("no engine"))
    steps = apt_steps(commands)
    assert "".join(steps[-1:]).rpartition("-recommends ")[2] == installed
    assert ("daemon.json" in steps) == is_configured
    assert installed or len(commands) == 1


def test_without_root_and_sudo(commands: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is begun that only root may finish."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SlipwayError, match="run this as root"):
        start.provide_engine(NoEngineError("no engine"))
    assert commands == []


def test_through_sudo(commands: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(host_commands, "which", lambda _: "sudo")
    start.provide_engine(NoEngineError("no engine"))
    assert {command[0] for command in commands if "--simulate" not in command} == {"sudo"}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """Yield a machine that has the paths which a test puts into the set."""
    there: set[str] = set()
    monkeypatch.setattr(Path, "is_dir", lambda path: str(path) in there)
    monkeypatch.setattr(Path, "exists", lambda path: str(path) in there)
    monkeypatch.setattr(start, "which", lambda name, **_: f"/usr/sbin/{name}")
    yield there
    monkeypatch.undo()


def first_words() -> list[str]:
    """Return the programs by which the engine is started, in order."""
    return [command[0] for _, command in start.ways_to_start()]


def test_ways_to_start(machine: set[str]) -> None:
    """By systemd where it runs the machine, else the service script, else dockerd itself."""
    assert first_words() == ["setsid"]
    machine.add("/etc/init.d/docker")
    assert first_words() == ["service", "setsid"]
    machine.add("/run/systemd/system")
    assert first_words() == ["systemctl"]


@pytest.mark.usefixtures("commands")
def test_engine_that_does_not_start(machine: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has each way that was tried, and the end of the engine's log or how systemd shows it."""
    log = tmp_path / "dockerd.log"
    log.write_text("failed to start daemon: no iptables\n")
    monkeypatch.setattr(start, "LOG", log)
    monkeypatch.setattr(start, "ways_to_start", lambda: [("one", ["a"]), ("two", ["b"])])
    monkeypatch.setattr(start, "wait_for_engine", silent)
    with pytest.raises(SlipwayError) as caught:
        start.start_engine()
    assert "one: no engine" in str(caught.value)
    assert "two: no engine" in str(caught.value)
    assert "no iptables" in str(caught.value)
    machine.add("/run/systemd/system")
    assert "journalctl --unit docker" in start.read_last_log()


# --- undo ---------------------------------------------------------------------------------------


@pytest.fixture
def noted(commands: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Pretend a machine that setup has changed, with one of its files edited since; return its commands."""
    folder = packages.NOTES.parent
    folder.mkdir()
    kept, edited = folder / "kept", folder / "edited"
    kept.write_text("as setup wrote it\n")
    edited.write_text("by hand\n")
    notes = packages.Notes(
        packages=["docker.io", "tini", "adduser", "gone"],
        upgraded={"libc6": "2.36-9 to 2.41-12"},
        files={str(kept): packages.hash_text("as setup wrote it\n"), str(edited): packages.hash_text("by setup\n")},
    )
    packages.NOTES.write_text(json.dumps(vars(notes)))
    for module in (undo, packages):
        monkeypatch.setattr(module, "NOTES", packages.NOTES)
    monkeypatch.setattr(undo, "is_installed", lambda name: name != "gone")
    monkeypatch.setattr(start, "PID", folder / "no pid")
    let_apt(monkeypatch, commands, "Remv docker.io [1]\nRemv tini [1]\n", needed="adduser")
    return commands


def test_undo_removes_what_was_added(noted: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    """An edited file and what others need stay; upgrades are named. Images stay: purge would delete them."""
    assert setup.main(["--undo"]) == 0
    simulations = [
        "remove docker.io tini adduser --simulate",
        f"remove --autoremove {' '.join(undo.NEEDED)} docker.io --simulate",
        "remove docker.io tini --simulate",
    ]
    assert apt_steps(noted) == [*simulations, "remove --yes docker.io tini"]
    removed = [command[-2] for command in noted if command[0] == "rm"]
    assert removed == [str(start.LOG), str(packages.NOTES.parent / "kept"), str(packages.NOTES.parent)]
    said = capsys.readouterr().out
    assert "leaving adduser, which other packages need" in said
    assert "edited, which was changed since" in said
    assert "apt cannot take these upgrades back: libc6 2.36-9 to 2.41-12" in said


@pytest.mark.parametrize(
    ("simulated", "removed"),
    [
        # apt's autoremove leaves it, such as adduser on Debian 13, where apt wants passwd or adduser.
        ("Remv adduser [1]\n", "docker.io tini adduser"),
        # apt would install another choice in place of one that somebody needs.
        ("Inst other (1 Debian:13 [all])\n", "docker.io tini"),
    ],
)
def test_undo_removes_one_of_two_choices_of_a_dependency(
    noted: list[list[str]], monkeypatch: pytest.MonkeyPatch, simulated: str, removed: str
) -> None:
    let_apt(monkeypatch, noted, f"Remv docker.io [1]\nRemv tini [1]\n{simulated}")
    assert setup.main(["--undo"]) == 0
    assert apt_steps(noted)[-1] == f"remove --yes {removed}"


def test_undo_asks_before_others_go(noted: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody installed what needs the engine."""
    let_apt(monkeypatch, noted, "Remv docker.io [1]\nRemv tini [1]\nRemv somebodys [1]\n")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert "nothing was changed" in message("--undo")
    assert not any("--yes" in step for step in apt_steps(noted))


@pytest.mark.parametrize("text", ["{", "[1]", '{"other": 1}'])
def test_damaged_notes(noted: list[list[str]], text: str) -> None:
    packages.NOTES.write_text(text)
    assert "is damaged: mend or delete it" in message("--undo")
    assert noted == []


@pytest.mark.usefixtures("noted")
def test_notes_that_cannot_be_read() -> None:
    """They are neither taken for none nor written anew."""
    packages.NOTES.unlink()
    packages.NOTES.mkdir()
    assert "cannot be read (Is a directory): run this as root" in message("--undo")
    with pytest.raises(SlipwayError, match="cannot be read"):
        packages.add_notes([], packages.Change([], {}, []), {})


def test_system_files_are_readable_by_all_under_any_umask(tmp_path: Path) -> None:
    """apt simulates as the user, and ignores a source that the user cannot read; an older file gets the mode, too."""
    file = tmp_path / "new" / "folder" / "file"
    mask = os.umask(0o077)
    try:
        host_commands.write_file([], file, "old")
        file.chmod(0o600)
        host_commands.write_file([], file, "text\n")
    finally:
        os.umask(mask)
    assert file.read_text() == "text\n"
    assert [path.stat().st_mode & 0o777 for path in (file, file.parent, file.parent.parent)] == [0o644, 0o755, 0o755]


def test_undo_where_setup_noted_nothing(commands: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine of another origin is never removed."""
    monkeypatch.setattr(undo, "NOTES", packages.NOTES)
    assert setup.main(["--undo"]) == 0
    assert commands == []


def test_failing_command_shows_its_last_lines() -> None:
    """Only when it is needed."""
    with pytest.raises(SlipwayError, match="apt-get update failed with exit code 100:\nE: no lists"):
        host_commands.run_command(["sh", "-c", "echo 'E: no lists'; exit 100"], "apt-get update")


def test_starting_a_daemon_does_not_wait_for_its_output() -> None:
    """A daemon that keeps its starter's output open delays nothing."""
    begin = time.monotonic()
    host_commands.run_command(["sh", "-c", "sleep 30 & exit 0"], "a daemon")
    assert time.monotonic() - begin < 20


def test_after_ctrl_c_a_command_cleans_up_behind_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked to end and waited for: mmdebstrap has a folder with mounts to remove."""

    def interrupt(*_: object) -> None:
        while not (tmp_path / "started").exists():
            time.sleep(0.02)
        raise KeyboardInterrupt

    monkeypatch.setattr("subprocess.Popen.communicate", interrupt)
    script = "trap 'sleep 0.2; rm started; exit' TERM; touch started; while :; do sleep 0.05; done"
    with pytest.raises(KeyboardInterrupt):
        host_commands.run_command(["sh", "-c", f"cd {tmp_path}; {script}"], "a maker")
    assert not (tmp_path / "started").exists()


def test_a_base_image_is_refreshed_once_for_all_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one would have another ID, so that each flavor would build the layers below it anew."""
    refreshed: list[bool] = []
    monkeypatch.setattr(setup, "REFRESHED", set())
    monkeypatch.setattr(setup, "provide_engine_once", lambda: None)
    monkeypatch.setattr(setup, "prepare", lambda *_, refresh: refreshed.append(refresh))
    the_matrix = matrix.load_matrix()
    for name in ("cpu-base", "cpu-runtime", "cpu-base-py3.11"):
        setup.prepare_build(the_matrix, the_matrix.find_image(name), refresh=True)
    assert refreshed == [True, False, True]


@pytest.mark.parametrize(("origin", "provided"), [("pulled", 0), (base_image.OTHER, 1)])
def test_a_base_image_of_another_digest_than_the_pinned_one_is_provided_again(
    monkeypatch: pytest.MonkeyPatch, origin: str, provided: int
) -> None:
    """Also where nothing else of this machine has to be proved."""
    wanted = matrix.load_matrix().find_image("cpu-base").variant.distro
    there = base_image.BaseImage(wanted.tag, "sha256:1", "", origin, wanted.suite, "")
    calls: list[object] = []
    monkeypatch.setattr(base_image, "find_image", lambda _: there)
    monkeypatch.setattr(base_image, "provide_image", lambda *words, **_: calls.append(words))
    monkeypatch.setattr(engine, "is_proved", lambda _: True)
    setup.provide_base(None, wanted, refresh=False)  # type: ignore[arg-type]
    assert len(calls) == provided
