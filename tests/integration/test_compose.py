"""compose.yaml: its services are the images of the matrix, and the compose plug-in really starts and builds one."""

import http.client
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from slipway import docker, matrix, repository
from slipway.images_toml import PLATFORMS, TARGETS
from slipway.matrix import Image
from tests.helpers import checkout as copies
from tests.helpers.built_images import make_name, require_built
from tests.helpers.programs import run_merged

FILE = repository.ROOT / "compose.yaml"
GPU_FILE = repository.ROOT / "compose.gpu.yaml"
MATRIX = matrix.load_matrix()
ADDRESS = "127.57.0.1"  # every address of 127.0.0.0/8 is this host; nothing else listens on this one
NO_PLUGIN = "no compose plug-in on this host: `nox -s setup -- --compose` installs Debian's"
DOCKERFILE_ARGUMENTS = dict(
    default
    for arguments in re.findall(r"(?m)^ARG (.+)$", (repository.ROOT / matrix.WORKLOADS).read_text())
    for default in re.findall(r"(\w+)=(\S+)", arguments)
)
WORKLOADS = {"workbench", "workbench-cuda", "workbench-rocm"}
SERVICES = {"cpu", "cpu-py3.11", "cpu-arm64", "cuda", "cuda-py3.11", "rocm", *WORKLOADS}
SIGTERM_EXIT = 128 + 15  # docker kills a service that ignores the signal: 128 + 9
PATIENCE_SECONDS = 60

# Prints a line for each thing that the container must not do or must be able to do.
PROBE = """
touch /usr/here 2>&1
touch /data/here /cache/here && cp /bin/true /tmp/true && /tmp/true && echo can write and execute
grep -E 'CapBnd|NoNewPrivs' /proc/self/status | tr -d '\\t'
"""
READY = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8000/ready').read().decode())"


@pytest.fixture(scope="module", autouse=True)
def plugin() -> None:
    """What docker itself lacks; without it nothing of this module is run."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip(NO_PLUGIN)


@dataclass(frozen=True)
class Compose:
    """The command docker compose on a compose file, as a project of its own."""

    files: tuple[Path, ...]
    project: str
    variables: dict[str, str]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command and return its exit code and what it printed."""
        files = [f"--file={file}" for file in self.files]
        command = ["docker", "compose", f"--project-name={self.project}", "--env-file=/dev/null", *files, *words]
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST") if name in os.environ}
        return run_merged(command, env=environment | self.variables)

    def check(self, *words: str) -> str:
        """Run a command that must succeed and return what it printed."""
        result = self.run(*words)
        assert result.returncode == 0, result.stdout
        return result.stdout

    def inspect(self, service: str) -> dict[str, Any]:
        """Return what docker says of a service's container."""
        container = self.check("ps", "--all", "--quiet", service).strip()
        return dict(json.loads(docker.output("container", "inspect", container))[0])


@cache
def configured(*files: Path, **variables: str) -> dict[str, dict[str, Any]]:
    """Return the services as compose understands them with variables of the environment, and files after the first."""
    compose = Compose((FILE, *files), "slipway-test", variables)
    return dict(json.loads(compose.check("--profile=*", "config", "--format=json"))["services"])


# --- the file and the matrix ---------------------------------------------------------------------


def service_of(image: Image) -> tuple[str, dict[str, str]]:
    """Return a variant's service, and what chooses it there: the flavor, the version of CUDA, the GPU of AMD's."""
    accelerator, gpu = image.variant.accelerator, image.variant.gpu
    version, *rest = image.variant.name.removeprefix(accelerator).removesuffix(f"-{gpu}").split("-")
    variables = {"FLAVOR": image.flavor, **({accelerator.upper(): version} if version else {})}
    variables |= {"GPU": gpu} if gpu else {}
    driver = image.variant.arguments.get("DRIVER_CUDA")
    variables |= {"DRIVER_CUDA": driver} if driver else {}
    return "-".join((accelerator, *rest)), variables


@pytest.mark.requirement("T15")
@pytest.mark.parametrize("image", MATRIX.variant_images, ids=lambda image: image.name)
def test_a_variants_service_is_the_image_of_the_matrix(image: Image) -> None:
    """Tag, Dockerfile, target, build arguments and port: compose runs and builds what nox builds."""
    name, variables = service_of(image)
    service = configured(**variables)[name]
    build = service["build"]
    default = {**MATRIX.variants[image.variant.accelerator].arguments, "BASE_IMAGE": MATRIX.default_distro.tag}
    assert service["image"] == image.tag
    assert (build["dockerfile"], build["target"]) == (image.dockerfile, image.target)
    given = {name: value for name, value in build.get("args", {}).items() if value is not None}
    assert {**default, **given} == {**image.variant.arguments, "BASE_IMAGE": image.variant.distro.tag}
    assert service.get("platform", PLATFORMS[0]) == image.variant.distro.platform
    assert [port["target"] for port in service["ports"]] == [matrix.PORT]


@pytest.mark.requirement("T15")
@pytest.mark.parametrize("image", MATRIX.workloads, ids=lambda image: image.name)
def test_a_workloads_service_is_the_image_of_the_matrix(image: Image) -> None:
    """Its tag names variant and workload; its ports are those of its modes.

    Where a workload is its target with other toggles, there is no target of its name: compose cannot build something
    else in its place.
    """
    assert image.workload
    accelerator = image.variant.accelerator
    name = "workbench" if accelerator == "cpu" else f"workbench-{accelerator}"
    service = configured(VARIANT=image.variant_image, WORKLOAD=image.workload.name)[name]
    assert service["image"] == image.tag
    assert service["build"]["dockerfile"] == image.dockerfile
    if image.workload.name in TARGETS:
        assert image.workload.name == image.workload.target
        assert image.arguments.items() <= (DOCKERFILE_ARGUMENTS | service["build"]["args"]).items()
    published = {port["target"] for port in service["ports"]}
    assert set(image.workload.ports) <= published, f"{image.name} listens on {image.workload.ports}"


@pytest.mark.requirement("T15")
@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_a_workloads_service_is_on_a_variant_of_its_accelerator(name: str) -> None:
    """Without VARIANT, too: it starts and builds an image of the matrix."""
    service = configured()[name]
    [image] = [image for image in MATRIX.workloads if image.tag == service["image"]]
    assert image.variant.accelerator == (name.partition("-")[2] or "cpu")
    assert image.arguments.items() <= (DOCKERFILE_ARGUMENTS | service["build"]["args"]).items()
    assert (service["build"]["dockerfile"], service["build"]["target"]) == (image.dockerfile, "workbench")


@pytest.mark.requirement("T15")
def test_no_service_stands_for_all() -> None:
    """They would ask for the same port: `docker compose up` alone starts nothing, and says so."""
    services = configured()
    assert services.keys() == SERVICES
    assert all(service["profiles"] == [name] for name, service in services.items())


@pytest.mark.requirement("T12", "T15")
@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_is_hardened_and_limited(name: str) -> None:
    """Nothing is writable but the volumes and /tmp, no right can be gained, and no container takes the whole host."""
    service = configured(MEMORY="3g", CPUS="1.5", ADDRESS=ADDRESS)[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"] == ["/tmp:exec"]
    assert int(service["shm_size"]) == 2 * 2**30
    assert {mount["target"] for mount in service["volumes"]} == {"/data", "/cache"}
    assert service["restart"] == "unless-stopped"
    limits = service["deploy"]["resources"]["limits"]
    assert (int(limits["memory"]), limits["cpus"], limits["pids"]) == (3 * 2**30, 1.5, 4096)
    assert {port["host_ip"] for port in service["ports"]} == {ADDRESS}
    # By the first file alone each starts on any host.
    assert "devices" not in service
    assert "reservations" not in service["deploy"]["resources"]


def test_the_readmes_hardened_line_is_the_same() -> None:
    """What works by one works by the other."""
    [line] = re.findall(
        r"(?m)^docker run (--rm --read-only(?:.*\\\n)*.*)$", (repository.ROOT / "README.md").read_text()
    )
    options = {"--read-only"} | {" ".join(pair) for pair in re.findall(r"(--?[a-z][a-z-]+|-[a-z]) ([^\s-]\S*)", line)}
    service = configured()["cpu"]
    [port] = service["ports"]
    assert options == {
        "--read-only",
        *(f"--tmpfs {mount}" for mount in service["tmpfs"]),
        *(f"--cap-drop {right}" for right in service["cap_drop"]),
        *(f"--security-opt {option}" for option in service["security_opt"]),
        f"--shm-size {int(service['shm_size']) // 2**30}g",
        *(f"-v slipway-{mount['source']}:{mount['target']}" for mount in service["volumes"]),
        f"-p {port['host_ip']}:{port['published']}:{port['target']}",
    }


@pytest.mark.requirement("T15")
@pytest.mark.parametrize("name", ["cuda", "cuda-py3.11", "workbench-cuda"])
def test_cuda_is_given_every_gpu(name: str) -> None:
    """By the second file, as `docker run --gpus all` gives them; the limits of the first file stay."""
    resources = configured(GPU_FILE, MEMORY="3g")[name]["deploy"]["resources"]
    assert resources["reservations"]["devices"] == [{"driver": "nvidia", "count": -1, "capabilities": ["gpu"]}]
    assert int(resources["limits"]["memory"]) == 3 * 2**30


@pytest.mark.requirement("T15")
@pytest.mark.parametrize("name", ["rocm", "workbench-rocm"])
def test_rocm_is_given_its_devices_and_their_groups(name: str) -> None:
    """AMD's driver is reached through two devices, each of a group; the host chooses the number of one."""
    service = configured(GPU_FILE, RENDER_GID="109")[name]
    assert [device["source"] for device in service["devices"]] == ["/dev/kfd", "/dev/dri"]
    assert service["group_add"] == ["video", "109"]


def test_ports_of_this_host_can_be_chosen() -> None:
    """Another program may have the usual ones; 127.0.0.1 is the address unless another is asked for, of IPv6 too."""
    chosen = {"PORT": "18888", "CODE_PORT": "18080", "SSH_PORT": "12222", "DESKTOP_PORT": "16080"}
    published = [
        (port["host_ip"], port["published"]) for port in configured(ADDRESS="::1", **chosen)["workbench"]["ports"]
    ]
    assert published == [("::1", port) for port in chosen.values()]
    assert {port["host_ip"] for service in configured().values() for port in service["ports"]} == {"127.0.0.1"}


# --- started -------------------------------------------------------------------------------------


@pytest.fixture
def compose(tmp_path: Path) -> Iterator[Compose]:
    """The project with volumes of its own instead of the user's; nothing is left of it."""
    require_built(MATRIX.find_image("cpu-base"))
    project = make_name()
    volumes = {name: {"name": f"{project}-{name}"} for name in ("data", "cache")}
    own_volumes = tmp_path / "volumes.yaml"
    own_volumes.write_text(json.dumps({"volumes": volumes}))
    made = Compose((FILE, own_volumes), project, {"FLAVOR": "base", "ADDRESS": ADDRESS})
    yield made
    made.check("--profile=*", "down", "--volumes", "--timeout=1")


def health() -> int:
    """Return the status that the service answers on its published port."""
    connection = http.client.HTTPConnection(ADDRESS, matrix.PORT, timeout=PATIENCE_SECONDS)
    connection.request("GET", "/health")
    return connection.getresponse().status


def wait_for_restart(compose: Compose) -> dict[str, Any]:
    """Return docker's words on the container once it has been started again and is healthy."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = compose.inspect("cpu")
        if found["RestartCount"] and found["State"]["Health"]["Status"] == "healthy":
            return found
        time.sleep(0.2)
    pytest.fail(f"not restarted and healthy within {PATIENCE_SECONDS} s: {found['State']}")


@pytest.mark.requirement("T12", "T15")
def test_compose_starts_the_service_and_stops_it(compose: Compose) -> None:
    """Healthy, reached on its port, hardened; started again when it dies, and left alone when it is stopped."""
    compose.check("up", "--detach", "--wait", "--no-build", "--pull=never", "cpu")
    assert health() == http.client.OK

    lines = compose.check("exec", "--no-TTY", "cpu", "sh", "-c", PROBE).splitlines()
    assert lines == [
        "touch: cannot touch '/usr/here': Read-only file system",
        "can write and execute",
        "CapBnd:0000000000000000",
        "NoNewPrivs:1",
    ]
    limits = compose.inspect("cpu")["HostConfig"]
    assert (limits["Memory"], limits["NanoCpus"], limits["PidsLimit"]) == (16 * 2**30, 0, 4096)

    compose.run("exec", "--no-TTY", "cpu", "sh", "-c", "kill -KILL $(cat /proc/1/task/1/children)")
    assert wait_for_restart(compose)["State"]["Running"]
    assert health() == http.client.OK

    compose.check("stop", "cpu")
    state = compose.inspect("cpu")["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", SIGTERM_EXIT)


@pytest.mark.requirement("C10", "T15")
@pytest.mark.parametrize("accelerator", ["cuda", "rocm"])
def test_compose_starts_an_image_for_a_gpu_on_the_cpu(compose: Compose, accelerator: str) -> None:
    """On a host without a GPU the service is healthy, computes, and its log says why not on a GPU."""
    require_built(MATRIX.find_image(f"{accelerator}-base"))
    compose.check("up", "--detach", "--wait", "--no-build", "--pull=never", accelerator)
    ready = compose.check("exec", "--no-TTY", accelerator, "python", "-c", READY)
    assert json.loads(ready)["device"] == "cpu"
    deadline = time.monotonic() + PATIENCE_SECONDS  # a thread of the service asks the driver
    while "computing on the CPU: no " not in (log := compose.check("logs", accelerator)):
        assert time.monotonic() < deadline, log
        time.sleep(0.2)


@pytest.mark.requirement("T15")
def test_compose_runs_a_command(compose: Compose) -> None:
    result = compose.run("run", "--rm", "cpu", "sh", "-c", "echo $PWD; exit 7")
    assert (result.returncode, result.stdout.splitlines()[-1]) == (7, "/data")


@pytest.mark.requirement("T15")
def test_compose_builds_an_image(tmp_path: Path) -> None:
    """From the service's own Dockerfile, target and tag; here of a small copy, to leave the real image alone."""
    made = copies.make(tmp_path / "slipway", make_name())
    made.edit("compose.yaml", "image: slipway:", f"image: {made.repository}:")
    compose = Compose((made.folder / "compose.yaml",), made.repository, {"FLAVOR": "base"})
    try:
        compose.check("build", "cpu")
        assert docker.require_image(made.tag)["Config"]["Labels"]["slipway.flavor"] == "base"
    finally:
        subprocess.run(["docker", "image", "rm", "--force", made.tag], capture_output=True, check=False)
