"""One image under test, its contract, and the three outcomes of a check: passed, failed, not run."""

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker
import pytest
import testinfra
from docker.models.containers import Container
from docker.models.images import Image as EngineImage
from testinfra.host import Host

from slipway import docker as docker_command
from slipway import matrix
from slipway.errors import SlipwayError
from slipway.image import saved_image
from slipway.image.layers import SavedImage
from slipway.images_toml import VERSIONS
from slipway.scan import pending_updates
from tests.helpers.reasons import EMULATED, ENGINE_FAULT, NO_AMD_GPU, NO_GPU
from tests.images.helpers import timeouts
from tests.images.helpers.containers import LOST, Finished, Python, Run, Start, inside

pytest_plugins = [
    "tests.helpers.not_run",
    "tests.images.helpers.scope",
    "tests.images.helpers.whole_run",
    "tests.images.helpers.browser",
    "tests.images.helpers.build_sources",
    "tests.images.helpers.service",
]
# docker would write the proxies of ~/.docker/config.json, which are this host's, into each container's environment.
ALONE = {"use_config_proxy": False, "labels": [docker_command.TEST_LABEL]}
LOG_LINES = 50
FEWEST_ENTRIES = 1000  # of all layers; Debian's smallest system has 3000
SAVE_SECONDS = 600  # for the first check that needs the saved image, of which the largest have over ten gigabytes
PLAIN_BUILD = "built by plain docker build: labels that are read from the image are added by nox's build sessions"
# What tells a fault of the engine, and nothing about the image.
ENGINE_FAULTS = [ENGINE_FAULT, LOST]
REMOVALS = 3
CONTAINERS = pytest.StashKey[list[Container]]()


# --- options and outcomes ------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that name the image and say what may stay open."""
    group = parser.getgroup("slipway")
    group.addoption("--image", required=True, help="the image to check, as docker names it")
    group.addoption("--require-gpu", action="store_true", help="GPU checks fail where there is no GPU")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark in tests.xml the checks that need a GPU; run again what a fault of the engine ended.

    Checks of the saved image and of updates come last: both are fetched while the others run.
    """
    items.sort(key=lambda item: wants(item, "saved", "updates"))
    for item in items:
        item.add_marker(pytest.mark.flaky(reruns=2, only_rerun=ENGINE_FAULTS))
        if wants(item, "saved"):
            item.add_marker(pytest.mark.timeout(SAVE_SECONDS))
        if wants(item, "gpu"):
            item.user_properties.append(("gpu", "yes"))


def wants(item: pytest.Item, *fixtures: str) -> bool:
    """Tell whether a check uses one of these fixtures."""
    return not {*fixtures}.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the containers' logs beside a failure."""
    report = yield
    if report.failed:
        report.sections += logs(item)
    return report


def logs(item: pytest.Item) -> Iterator[tuple[str, str]]:
    """Yield the last lines of each container that the check or its module has started."""
    for node in item.listchain():
        for container in node.stash.get(CONTAINERS, []):
            with contextlib.suppress(docker.errors.APIError):
                text = container.logs(tail=LOG_LINES).decode(errors="replace")
                if text:
                    yield f"log of container {container.short_id}", text


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print one line for the image."""
    write = terminalreporter.write_line
    passed, failed, errors, skipped = (
        len(terminalreporter.getreports(key)) for key in ("passed", "failed", "error", "skipped")
    )
    write("")
    write(f"{'image':<28} {'passed':>7} {'failed':>7} {'not run':>7}")
    write(f"{config.getoption('--image'):<28} {passed:>7} {failed + errors:>7} {skipped:>7}")


# --- the image -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def client() -> Iterator[docker.DockerClient]:
    """The engine that the docker command uses; the SDK knows no contexts."""
    environment = {**os.environ, **docker_command.name_engine()}
    host = environment["DOCKER_HOST"]
    if not re.match(r"(unix|npipe)://|tcp://(127\.|localhost|\[::1\])", host):
        pytest.exit(f"the engine at {host} is on another machine: checks open its containers' ports, run them there", 2)
    try:
        client = docker.from_env(timeout=timeouts.ENGINE_SECONDS, environment=environment)
    except docker.errors.DockerException as error:
        pytest.exit(f"no Docker engine answers ({error}); `nox -s setup` installs or starts one", 2)
    with contextlib.closing(client):
        yield client


@pytest.fixture(scope="session")
def image(client: docker.DockerClient, pytestconfig: pytest.Config) -> EngineImage:
    """The image under test; without it, or when it is for another machine, the run ends at once."""
    reference = pytestconfig.getoption("--image")
    try:
        image = client.images.get(reference)
    except docker.errors.ImageNotFound:
        pytest.exit(f"{reference} is not an image of this engine: build it, or `docker pull {reference}`", 2)
    if not runs_here(client, image):
        made_for, engine = image.attrs["Architecture"], client.version()["Arch"]
        pytest.exit(f"{reference} is made for {made_for} and this engine runs {engine}: check it on such a machine", 2)
    return image


def runs_here(client: docker.DockerClient, image: EngineImage) -> bool:
    """Tell whether the engine runs the image's programs, on its own processor or by emulation."""
    if image.attrs["Architecture"] == client.version()["Arch"]:
        return True
    container = client.containers.create(image.id, entrypoint=["true"], network_mode="none")
    try:
        container.start()
        return bool(container.wait()["StatusCode"] == 0)
    except docker.errors.DockerException:
        return False
    finally:
        container.remove(force=True)  # also one that did not start


@pytest.fixture(scope="session", autouse=True)
def emulated(client: docker.DockerClient, image: EngineImage) -> bool:
    """Whether the engine emulates the image's processor; checks then wait longer."""
    other = bool(image.attrs["Architecture"] != client.version()["Arch"])
    timeouts.set_limit(emulated=other)
    return other


@pytest.fixture
def real_time(emulated: bool) -> None:  # noqa: FBT001
    """Used by checks that measure seconds: on an emulated processor they are not run."""
    if emulated:
        pytest.skip(EMULATED)


@pytest.fixture(scope="session")
def labels(image: EngineImage) -> dict[str, str]:
    """The image's labels."""
    return dict(image.attrs["Config"].get("Labels") or {})


@pytest.fixture
def read_labels(labels: dict[str, str]) -> dict[str, str]:
    """The labels, where a build session has added those that tell what is inside."""
    if not {f"slipway.{name}" for name in VERSIONS} & labels.keys():
        pytest.skip(PLAIN_BUILD)
    return labels


@pytest.fixture(scope="session")
def environment(image: EngineImage) -> dict[str, str]:
    """The image's environment variables."""
    return dict(variable.split("=", 1) for variable in image.attrs["Config"].get("Env") or [])


@pytest.fixture(scope="session", autouse=True)
def reading(image: EngineImage, request: pytest.FixtureRequest) -> Iterator[Future[SavedImage] | None]:
    """Save and read the image while the first checks run, when a check of this run needs it."""
    needed = any(wants(item, "saved") for item in request.session.items)
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield pool.submit(saved_image.read_image, image.id) if needed else None


@pytest.fixture(scope="session")
def saved(reading: Future[SavedImage]) -> SavedImage:
    """The saved image: every layer with its files, lower layers included."""
    try:
        found = reading.result()
    except SlipwayError as error:
        pytest.exit(str(error), 2)
    # In an image without files a check would find nothing wrong.
    assert sum(len(layer.entries) for layer in found.layers) > FEWEST_ENTRIES
    return found


@pytest.fixture(scope="session", autouse=True)
def asking(
    image: EngineImage, contract: matrix.Image, request: pytest.FixtureRequest
) -> Iterator[Future[list[str]] | None]:
    """Ask Debian for updates while the first checks run, when a check of this run needs to know."""
    needed = any(wants(item, "updates") for item in request.session.items)
    suite = contract.variant.distro.suite
    with ThreadPoolExecutor(max_workers=1) as pool:
        ask = pending_updates.pending_updates
        yield pool.submit(ask, image.id, suite, security_only=False) if needed else None


@pytest.fixture(scope="session")
def updates(asking: Future[list[str]]) -> list[str]:
    """The packages that Debian has newer than the image; without package lists the check is not run."""
    try:
        return asking.result()
    except pending_updates.NotRunError as error:
        pytest.skip(str(error))


# --- containers ----------------------------------------------------------------------------------


@contextlib.contextmanager
def starter(client: docker.DockerClient, image: EngineImage, node: pytest.Item | pytest.Collector) -> Iterator[Start]:
    """Yield a function that starts containers with docker's options; all are removed at the end."""
    containers = node.stash.setdefault(CONTAINERS, [])
    with contextlib.ExitStack() as stack:

        def start(*command: str, **options: Any) -> Container:
            container = client.containers.create(image.id, list(command) or None, **ALONE | options)
            stack.callback(remove, container)
            containers.append(container)
            container.start()
            return container

        yield start
    containers.clear()


def remove(container: Container) -> None:
    """Remove a container and its volumes; on a busy machine the engine may fail to at first."""
    for _ in range(REMOVALS):
        try:
            container.remove(force=True, v=True)
        except docker.errors.NotFound:
            return
        except docker.errors.APIError as error:
            failure = error
            time.sleep(1)
        else:
            return
    raise failure


@pytest.fixture
def start(client: docker.DockerClient, image: EngineImage, request: pytest.FixtureRequest) -> Iterator[Start]:
    """Start containers that are removed after the check."""
    with starter(client, image, request.node) as start:
        yield start


@pytest.fixture(scope="module")
def start_shared(client: docker.DockerClient, image: EngineImage, request: pytest.FixtureRequest) -> Iterator[Start]:
    """Start containers that the checks of a module share, because none changes them."""
    with starter(client, image, request.node) as start:
        yield start


@pytest.fixture
def run(start: Start) -> Run:
    """Run a command in a new container to its end, without network by default.

    The deprecation notice is off, so that the output is the command's alone.
    """

    def run(*command: str, **options: Any) -> Finished:
        environment = {"SLIPWAY_DEPRECATED": ""} | options.pop("environment", {})
        # Its end tells whether it works, so its health need not be asked meanwhile.
        defaults = {"network_mode": "none", "healthcheck": {"test": ["NONE"]}}
        container = start(*command, **defaults | options, environment=environment)
        exit_code = container.wait()["StatusCode"]
        logs = (container.logs(stderr=stderr).decode(errors="replace") for stderr in (True, False))
        return Finished(exit_code, *logs)

    return run


@pytest.fixture(scope="session")
def idle(client: docker.DockerClient, image: EngineImage, request: pytest.FixtureRequest) -> Iterator[Container]:
    """An idle container that no check changes: it has no network and a read-only root."""
    options = {"entrypoint": ["sleep"], "network_mode": "none", "read_only": True, "tmpfs": {"/tmp": ""}}
    with starter(client, image, request.node) as start:
        yield start("infinity", **options)


@pytest.fixture(scope="session")
def host(idle: Container) -> Host:
    """A shell in the idle container."""
    return testinfra.get_host(f"docker://{idle.id}")


@pytest.fixture(scope="session")
def python(idle: Container) -> Python:
    """Run a Python program in the idle container and return its output; its failure fails the check."""

    def python(program: str) -> str:
        return inside(idle, "python", "-c", program)

    return python


@pytest.fixture(scope="session")
def packages(idle: Container) -> dict[str, str]:
    """The state of each Debian package that dpkg knows: `ii` is installed."""
    listed = inside(idle, "dpkg-query", "--show", "--showformat=${Package} ${db:Status-Abbrev}\n")
    return dict(line.split() for line in listed.splitlines())


@pytest.fixture
def gpu(pytestconfig: pytest.Config, contract: matrix.Image) -> dict[str, Any]:
    """Options that give a container every GPU; without a GPU the check is not run, or fails with --require-gpu."""
    is_amd = contract.variant.accelerator == "rocm"
    options = amd_gpu_options() if is_amd else nvidia_gpu_options()
    if not options:
        missing = NO_AMD_GPU if is_amd else NO_GPU
        (pytest.fail if pytestconfig.getoption("--require-gpu") else pytest.skip)(missing)
    return options


def nvidia_gpu_options() -> dict[str, Any]:
    """Return the options for NVIDIA's GPUs, none without a driver."""
    listed = shutil.which("nvidia-smi") and subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=False)
    if not listed or listed.returncode:
        return {}
    return {"device_requests": [docker.types.DeviceRequest(count=-1, capabilities=[["gpu"]])]}


def amd_gpu_options() -> dict[str, Any]:
    """Return the options for AMD's GPUs, none without a driver."""
    driver, graphics = Path("/dev/kfd"), Path("/dev/dri")
    if not driver.exists():
        return {}
    groups = {str(device.stat().st_gid) for device in (driver, *graphics.glob("render*"))}
    return {"devices": [f"{path}:{path}:rw" for path in (driver, graphics)], "group_add": sorted(groups)}
