"""What a host is configured to use for downloads, on such a host, in real builds, and that no secret of it is left."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import which

import pytest

from slipway import docker, matrix, repository
from slipway.host import apt, downloads
from tests.helpers import checkout, hosts, login_server
from tests.helpers.bridge import find_bridge
from tests.helpers.built_images import make_name, require_built
from tests.helpers.hosts import find, put, put_all
from tests.helpers.login_server import LOGIN, PASSWORD, SECRETS, TOKEN, USER
from tests.helpers.programs import run_merged
from tests.helpers.reasons import NO_APT, NO_GPG, NO_NAMESPACES

MATRIX = matrix.load_matrix()
BASE = MATRIX.find_image("cpu-base")


needs_apt = pytest.mark.skipif(not which("apt-get"), reason=NO_APT)
needs_mounts = pytest.mark.skipif(not hosts.HAS_NAMESPACES, reason=NO_NAMESPACES)


# --- hosts of other distributions ---------------------------------------------------------------


MAIN_PACKAGES = ("Identifier: Packages", "Component: main")


@needs_apt
@needs_mounts
@pytest.mark.parametrize("files", [*hosts.WITHOUT_MIRROR.values(), hosts.cloud(hosts.MIRROR)])
def test_apt_reads_the_same_sources(tmp_path: Path, files: dict[str, str]) -> None:
    """What apt itself would fetch on a host with these files are the addresses and suites that are read here."""
    put_all(tmp_path, files)
    ask = ["apt-get", "indextargets", "--no-release-info", "--format=$(REPO_URI) $(RELEASE)", *MAIN_PACKAGES]
    listed = subprocess.run(hosts.command_on(tmp_path, *ask), capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    expected = {(apt.resolve(uri, tmp_path).rstrip("/"), suite.rstrip("/")) for uri, suite in rows}
    assert {(source.mirror.uri, source.suite) for source in apt.read_sources(tmp_path)} == expected != set()


UBUNTU_DOCKERFILE = """\
ARG BASE_IMAGE=debian:trixie-slim
FROM {image} AS base
USER 0:0
ARG APT_DATE=2026-11-21
RUN --mount=type=cache,id=slipway-apt,target=/var/cache/apt,sharing=locked \\
    --mount=source=docker/build/apt,target=/apt --mount=type=secret,id=ca --mount=type=secret,id=sources \\
    --mount=type=secret,id=apt --mount=type=secret,id=auth /apt/install hello
USER 1000:0
LABEL slipway.flavor="base"
"""
PENDING = """
from slipway.image import saved_image
from slipway.scan import pending_updates
try:
    print("asked", pending_updates.pending_updates(saved_image.find_id({image!r}), "trixie"))
except pending_updates.NotRunError as error:
    print("not run:", error)
"""


@needs_mounts
def test_build_and_scan_on_a_host_with_ubuntus_files(tmp_path: Path) -> None:
    """A session builds from Debian's packages, and the scan asks Debian for updates."""
    require_built(BASE)
    host = tmp_path / "host"
    put_all(host, hosts.UBUNTU_24_04)
    copy = checkout.make(tmp_path / "copy", make_name())
    (copy.folder / "Dockerfile.cpu").write_text(UBUNTU_DOCKERFILE.format(image=BASE.tag))
    try:
        command = hosts.command_on(host, *copy.command("-s", "build-cpu(base)"))
        built = run_merged(command)
        assert built.returncode == 0, built.stdout
        assert "ubuntu.example" not in built.stdout
        query = ("--rm", "--network=none", "--entrypoint=dpkg-query", copy.tag, "-W", "hello")
        assert docker.output("run", *query).startswith("hello\t2.")
        asking = hosts.command_on(host, sys.executable, "-c", PENDING.format(image=copy.tag))
        asked = subprocess.run(asking, cwd=repository.ROOT, capture_output=True, text=True, check=False)
        assert "ubuntu" not in asked.stdout
        assert asked.stdout.startswith("asked ["), asked.stdout + asked.stderr
    finally:
        subprocess.run(["docker", "image", "rm", "--force", copy.tag], capture_output=True, check=False)


# --- real builds from servers that demand a login -----------------------------------------------


@dataclass(frozen=True)
class Built:
    """What a build printed, its exit code, and what the machine's processes were called meanwhile."""

    log: str
    code: int
    processes: str

    def holds(self) -> list[str]:
        """Return the secrets in it."""
        return [secret for secret in SECRETS if secret in self.log or secret in self.processes]


@contextlib.contextmanager
def watched_processes() -> Iterator[set[str]]:
    """Collect the command line of each process of this machine, containers' among them."""
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    seen.add(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def build(dockerfile: str, tag: str, settings: downloads.Host) -> Built:
    """Build with a host's settings and the network of this machine, where the servers are.

    The steps are its own: BuildKit runs a step once for all builds at a time that have it, whatever their secrets are.
    """
    own = re.sub(r"(?m)^FROM .*$", rf"\g<0>\nENV BUILD={uuid.uuid4()}", dockerfile)
    options = [f"--tag={tag}", "--file=-", "--network=host", "--no-cache", "--progress=plain", "--load"]
    command = ["docker", "buildx", "build", *options, "--provenance=false", *settings.build_arguments(), "."]
    with watched_processes() as processes:
        environment = os.environ | settings.environment()
        finished = run_merged(command, input=own, cwd=repository.ROOT, env=environment)
    return Built(finished.stdout, finished.returncode, "\n".join(processes))


def require_clean(tag: str) -> None:
    """Fail where a secret is in the image: its history, its labels, its files."""
    commands = (["docker", "history", "--no-trunc", tag], ["docker", "image", "inspect", tag], ["docker", "save", tag])
    for command in commands:
        output = subprocess.run(command, capture_output=True, check=True).stdout
        assert [secret for secret in SECRETS if secret.encode() in output] == [], command


APT = f"""
FROM {BASE.tag}
USER 0:0
ARG APT_DATE=2026-11-21
RUN --mount=type=tmpfs,target=/var/cache/apt --mount=source=docker/build/apt,target=/apt \\
    --mount=type=secret,id=ca --mount=type=secret,id=sources --mount=type=secret,id=apt --mount=type=secret,id=auth \\
    /apt/install hello-mirror
"""
KEY = "/etc/apt/keyrings/own.gpg"


def write_apt_host(root: Path, server: str, how: str) -> None:
    """Write the files of a host whose mirror of Debian is a server that demands a login."""
    login = f"{LOGIN}@" if how == "address" else ""
    if how == "auth.conf":
        put(root, "etc/apt/auth.conf.d/own.conf", f"machine http://{server} login {USER} password {PASSWORD}\n")
    lines = [f"deb [signed-by={KEY} arch=amd64] http://{login}{server}/debian {suite} main\n" for suite in SUITES]
    put(root, "etc/apt/sources.list", "".join(lines))


SUITES = ("trixie", "trixie-updates", "trixie-security")


@pytest.mark.skipif(not which("gpg") or not which("dpkg-deb"), reason=NO_GPG)
@pytest.mark.parametrize("how", ["address", "auth.conf"])
def test_apt_from_a_mirror_with_a_login_and_a_key_of_its_own(tmp_path: Path, tag: str, how: str) -> None:
    """The build installs from it; a refused login is told without the password."""
    require_built(BASE)
    root = tmp_path / "host"
    key = login_server.write_debian_mirror(tmp_path / "www" / "debian", tmp_path / "keys")
    put(root, KEY.lstrip("/"), "").write_bytes(key)
    with login_server.serve(tmp_path / "www", find_bridge()) as server:
        write_apt_host(root, server, how)
        good = build(APT, tag, find(root))
        assert good.code == 0, good.log
        shutil.rmtree(tmp_path / "www" / "debian" / "pool")
        bad = build(APT, f"{tag}-refused", find(root))
    assert "Setting up hello-mirror" in good.log
    assert bad.code != 0
    assert "404" in bad.log
    assert good.holds() == bad.holds() == []
    require_clean(tag)


PYTHON = """
FROM {pip}
USER 0:0
ARG APT_DATE=2026-11-21
ENV VIRTUAL_ENV=/opt/venv PATH=/opt/uv/bin:$PATH
RUN uv venv --no-cache --python=/usr/bin/python3 /opt/venv
COPY <<EOT /lock
{lock}
EOT
RUN --mount=type=tmpfs,target=/root/.cache/uv --mount=source=docker/build/python,target=/python \\
    --mount=type=secret,id=ca --mount=type=secret,id=uv --mount=type=secret,id=netrc /python/uv-install base
RUN --mount=source=docker/build/python/pip-install,target=/pip-install --mount=type=secret,id=ca \\
    --mount=type=secret,id=pip --mount=type=secret,id=netrc /pip-install /opt/by-pip
"""
# The names of pip's own index and of uv's; each host says the login in another place.
PYTHON_HOSTS = {
    "netrc": {
        "home/.netrc": "machine other.example login a password b\ndefault login {user} password {password}\n",
        "etc/pip.conf": "[global]\nindex_url = http://{server}/simple\n{trusted}",
    },
    "pip.conf": {"home/.config/pip/pip.conf": "[install]\nindex-url = http://{login}@{server}/simple\n{trusted}"},
    "variables": {
        "etc/pip.conf": "[global]\nindex-url = http://{login}@{server}/simple\n{trusted}",
        "home/.config/uv/uv.toml": '[[index]]\nname = "team"\nurl = "http://{server}/simple"\ndefault = true\n'
        'cache-control = {{ api = "max-age=600" }}\nauthenticate = "always"\n',
    },
}
VARIABLES = {"UV_INDEX_TEAM_USERNAME": USER, "UV_INDEX_TEAM_PASSWORD": PASSWORD}


@pytest.fixture(scope="module")
def with_pip() -> Iterator[str]:
    """The stage of Dockerfile.cpu that has pip and uv, from the build cache."""
    yield from stage("Dockerfile.cpu", "uv")


@pytest.fixture(scope="module")
def with_node() -> Iterator[str]:
    """The stage of the Dockerfile that has Node.js, from the build cache."""
    yield from stage("Dockerfile", "node")


def stage(dockerfile: str, target: str) -> Iterator[str]:
    """Build a stage as the sessions do; yields its tag."""
    name, settings = f"{make_name()}:{target}", downloads.find(MATRIX.default_distro.suite)
    options = [f"--file={dockerfile}", f"--target={target}", f"--tag={name}", "--load", "--provenance=false"]
    options += [f"--build-arg=BASE_IMAGE={MATRIX.default_distro.tag}", f"--build-arg=APT_DATE={MATRIX.apt_date}"]
    command = ["docker", "buildx", "build", *options, *settings.build_arguments(), "."]
    subprocess.run(command, cwd=repository.ROOT, env=os.environ | settings.environment(), check=True)
    yield name
    subprocess.run(["docker", "image", "rm", "--force", name], capture_output=True, check=False)


@pytest.mark.parametrize("how", PYTHON_HOSTS)
def test_pip_and_uv_from_an_index_with_a_login(tmp_path: Path, with_pip: str, tag: str, how: str) -> None:
    """Both install from it; a refused login is told without the password."""
    lock = login_server.write_python_index(tmp_path / "www" / "simple")
    dockerfile = PYTHON.format(pip=with_pip, lock=lock)
    with login_server.serve(tmp_path / "www", find_bridge()) as server:
        words = {"server": server, "login": LOGIN, "user": USER, "password": PASSWORD}
        words["trusted"] = f"trusted-host = {server}\n"  # pip wants it of an index without TLS
        for name, text in PYTHON_HOSTS[how].items():
            put(tmp_path, name, text.format(**words)).chmod(0o600)
        settings = find(tmp_path, **(VARIABLES if how == "variables" else {}))
        good = build(dockerfile, tag, settings)
        shutil.rmtree(tmp_path / "www" / "simple")
        bad = build(dockerfile, f"{tag}-refused", settings)
    assert good.code == 0, good.log
    assert bad.code != 0
    assert good.holds() == bad.holds() == []
    require_clean(tag)


NPM = """
FROM {node}
WORKDIR /npm
RUN --mount=type=tmpfs,target=/root/.npm --mount=type=secret,id=ca --mount=type=secret,id=npm npm install @team/hello
"""


def test_npm_from_a_registry_with_a_token(tmp_path: Path, with_node: str, tag: str) -> None:
    """A scope's registry, and a token that the file takes from a variable."""
    with login_server.serve(tmp_path / "www", find_bridge()) as server:
        login_server.write_npm_registry(tmp_path / "www" / "npm", server)
        lines = f"@team:registry=http://{server}/npm/\n//{server}/npm/:_authToken=${{NPM_TOKEN}}\n"
        put(tmp_path, "home/.npmrc", lines)
        built = build(NPM.format(node=with_node), tag, find(tmp_path, NPM_TOKEN=TOKEN))
    assert built.code == 0, built.log
    assert built.holds() == []
    require_clean(tag)
