"""One image under test, its contract, and the three outcomes of a check: passed, failed, not run."""

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
import testinfra
from docker.models.containers import Container
from docker.models.images import Image as EngineImage
from testinfra.host import Host

from slipway import matrix
from slipway.errors import SlipwayError
from slipway.image import saved_image
from slipway.image.layers import SavedImage
from tests.images.helpers import pending_updates, timeouts
from tests.images.helpers.pending_updates import Upgrade

NO_GPU = "no NVIDIA GPU on this host"
NO_AMD_GPU = "no AMD GPU on this host"
NO_TORCH_INDEX = "PyTorch for ROCm is on PyTorch's own index alone: an image built with LOCKS=rocm-index has it"
HARDWARE = (NO_GPU, NO_AMD_GPU, timeouts.EMULATED)
NOT_A_PASS = "a check that was not run is not a pass; --allow-not-run accepts it"  # noqa: S105
LOG_LINES = 50
# What the engine says when the container runtime lost its own first process: nothing about the image.
ENGINE_FAULTS = ["read init-p: connection reset by peer"]
CONTAINERS = pytest.StashKey[list[Container]]()
NOT_RUN = pytest.StashKey[list[tuple[str, str]]]()


@dataclass(frozen=True)
class Finished:
    """A container that has ended: its exit code and all that it printed."""

    exit_code: int
    output: str

    def __str__(self) -> str:
        """Show the output as it was printed."""
        return f"exit code {self.exit_code}:\n{self.output}"

    __repr__ = __str__


pytest_plugins = ["tests.images.helpers.scope", "tests.images.helpers.build_sources"]
Start = Callable[..., Container]
Run = Callable[..., Finished]


# --- options and outcomes ------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that name the image and say what may stay open."""
    group = parser.getgroup("slipway")
    group.addoption("--image", required=True, help="the image to check, as docker names it")
    group.addoption("--require-gpu", action="store_true", help="GPU checks fail where there is no GPU")
    group.addoption("--allow-not-run", action="store_true", help="succeed although checks were not run")


def pytest_configure(config: pytest.Config) -> None:
    """Make room for the reasons why checks were not run."""
    config.stash[NOT_RUN] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Note in the evidence (tests.xml) which checks need a GPU; run again what a fault of the engine ended.

    Checks of what takes a while to get come last: it is got while the others run.
    """
    items.sort(key=lambda item: wants(item, "saved", "upgrade"))
    for item in items:
        item.add_marker(pytest.mark.flaky(reruns=2, only_rerun=ENGINE_FAULTS))
        if wants(item, "gpu", "amd_gpu"):
            item.user_properties.append(("gpu", "yes"))


def wants(item: pytest.Item, *fixtures: str) -> bool:
    """Tell whether a check uses one of these fixtures."""
    return not {*fixtures}.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note why a check was not run; show the containers' logs beside a failure."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        item.config.stash[NOT_RUN].append((report.nodeid, reason))
    if report.failed:
        report.sections += logs(item)
    return report


def logs(item: pytest.Item) -> Iterator[tuple[str, str]]:
    """Yield the last lines of each container that the check, or its whole module, has started."""
    for node in item.listchain():
        for container in node.stash.get(CONTAINERS, []):
            with contextlib.suppress(docker.errors.APIError):
                text = container.logs(tail=LOG_LINES).decode(errors="replace")
                if text:
                    yield f"log of container {container.short_id}", text


def open_checks(config: pytest.Config) -> list[tuple[str, str]]:
    """Return the checks that were not run for another reason than this host's hardware or an index out of reach."""
    if config.getoption("--allow-not-run"):
        return []
    return [(check, reason) for check, reason in config.stash[NOT_RUN] if reason not in (*HARDWARE, NO_TORCH_INDEX)]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A check that was not run ends the run with failure, unless the user said that it may stay open."""
    if exitstatus == pytest.ExitCode.OK and open_checks(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Close with one line for the image, and each reason why something was not run."""
    write = terminalreporter.write_line
    passed, failed, errors, skipped = (
        len(terminalreporter.getreports(key)) for key in ("passed", "failed", "error", "skipped")
    )
    write("")
    write(f"{'image':<28} {'passed':>7} {'failed':>7} {'not run':>7}")
    write(f"{config.getoption('--image'):<28} {passed:>7} {failed + errors:>7} {skipped:>7}")
    reasons: dict[str, list[str]] = {}
    for check, reason in config.stash[NOT_RUN]:
        reasons.setdefault(reason, []).append(check.rpartition("::")[2])
    for reason, checks in reasons.items():
        write(f"not run: {reason}: {', '.join(checks)}", yellow=True)
    if open_checks(config):
        write(NOT_A_PASS, red=True)


# --- the image -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def client() -> Iterator[docker.DockerClient]:
    """The engine."""
    try:
        client = docker.from_env(timeout=timeouts.ENGINE_SECONDS)
    except docker.errors.DockerException as error:
        pytest.exit(f"no Docker engine answers ({error}); `nox -s setup` installs or starts one", 2)
    with contextlib.closing(client):
        yield client


@pytest.fixture(scope="session")
def image(client: docker.DockerClient, pytestconfig: pytest.Config) -> EngineImage:
    """The image under test; the run ends at once when it is not there or is for another machine."""
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
    """Whether the engine runs the image's programs, on its own processor or by emulation."""
    if image.attrs["Architecture"] == client.version()["Arch"]:
        return True
    try:
        client.containers.run(image.id, entrypoint=["true"], network_mode="none", remove=True)
    except docker.errors.DockerException:
        return False
    return True


@pytest.fixture(scope="session", autouse=True)
def emulated(client: docker.DockerClient, image: EngineImage) -> bool:
    """Whether the engine runs the image's programs by emulation; checks then wait longer for what must happen."""
    other = bool(image.attrs["Architecture"] != client.version()["Arch"])
    timeouts.grant(emulated=other)
    return other


@pytest.fixture
def real_time(emulated: bool) -> None:  # noqa: FBT001
    """What a check about seconds asks for: without the image's own processor it is not run."""
    if emulated:
        pytest.skip(timeouts.EMULATED)


@pytest.fixture(scope="session", autouse=True)
def evidence_of(image: EngineImage, record_testsuite_property: Callable[[str, object], None]) -> None:
    """The evidence (tests.xml) names the image that it is about."""
    record_testsuite_property("image", image.id)


@pytest.fixture(scope="session")
def labels(image: EngineImage) -> dict[str, str]:
    """The image's labels."""
    return dict(image.attrs["Config"].get("Labels") or {})


@pytest.fixture(scope="session")
def environment(image: EngineImage) -> dict[str, str]:
    """The image's environment variables."""
    return dict(variable.split("=", 1) for variable in image.attrs["Config"].get("Env") or [])


@pytest.fixture(scope="session", autouse=True)
def reading(image: EngineImage, request: pytest.FixtureRequest) -> Iterator[Future[SavedImage] | None]:
    """The image being saved and read beside the first checks, where a check of this run wants it."""
    wanted = any(wants(item, "saved") for item in request.session.items)
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield pool.submit(saved_image.read_image, image.id) if wanted else None


@pytest.fixture(scope="session")
def saved(reading: Future[SavedImage]) -> SavedImage:
    """Every layer with its files, lower layers included; saved and read once a run."""
    try:
        return reading.result()
    except SlipwayError as error:
        pytest.exit(str(error), 2)


@pytest.fixture(scope="session", autouse=True)
def asking(
    image: EngineImage, contract: matrix.Image, request: pytest.FixtureRequest
) -> Iterator[Future[Upgrade] | None]:
    """Debian being asked for updates beside the first checks, where a check of this run wants to know."""
    wanted = any(wants(item, "upgrade") for item in request.session.items)
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield pool.submit(pending_updates.simulate_upgrade, image, contract) if wanted else None


@pytest.fixture(scope="session")
def upgrade(asking: Future[Upgrade]) -> Upgrade:
    """What apt would upgrade in the image today."""
    return asking.result()


# --- containers ----------------------------------------------------------------------------------


@contextlib.contextmanager
def starter(client: docker.DockerClient, image: EngineImage, node: pytest.Item | pytest.Collector) -> Iterator[Start]:
    """Start containers of the image with docker's own options; none is left at the end."""
    containers = node.stash.setdefault(CONTAINERS, [])
    with contextlib.ExitStack() as stack:

        def start(*command: str, **options: Any) -> Container:
            container = client.containers.create(image.id, list(command) or None, **options)
            stack.callback(container.remove, force=True, v=True)
            containers.append(container)
            container.start()
            return container

        yield start
    containers.clear()


@pytest.fixture
def start(client: docker.DockerClient, image: EngineImage, request: pytest.FixtureRequest) -> Iterator[Start]:
    """Start containers that are gone after the check."""
    with starter(client, image, request.node) as start:
        yield start


@pytest.fixture(scope="module")
def start_shared(client: docker.DockerClient, image: EngineImage, request: pytest.FixtureRequest) -> Iterator[Start]:
    """Start containers that several checks of a module share, because none of them changes it."""
    with starter(client, image, request.node) as start:
        yield start


@pytest.fixture
def run(start: Start) -> Run:
    """Run a command in a fresh container to its end, without network unless asked for.

    What a deprecated image says at its start is left out: one check is about that, the others are about the command.
    """

    def run(*command: str, **options: Any) -> Finished:
        environment = {"SLIPWAY_DEPRECATED": ""} | options.pop("environment", {})
        container = start(*command, **{"network_mode": "none"} | options, environment=environment)
        exit_code = container.wait()["StatusCode"]
        return Finished(exit_code, container.logs().decode(errors="replace"))

    return run


@pytest.fixture(scope="session")
def host(client: docker.DockerClient, image: EngineImage, request: pytest.FixtureRequest) -> Iterator[Host]:
    """A shell in one idle container, shared because no check changes it: it has no network and a read-only root."""
    idle = {"entrypoint": ["sleep"], "network_mode": "none", "read_only": True, "tmpfs": {"/tmp": ""}}
    with starter(client, image, request.node) as start:
        yield testinfra.get_host(f"docker://{start('infinity', **idle).id}")


@pytest.fixture(scope="session")
def python(host: Host) -> Callable[[str], str]:
    """Run a Python program in the idle container and return what it printed; its failure fails the check."""

    def python(program: str) -> str:
        return str(host.check_output("python -c %s", program))

    return python


@pytest.fixture
def gpu(pytestconfig: pytest.Config) -> list[docker.types.DeviceRequest]:
    """What gives a container every GPU; without a GPU the check is not run, or fails with --require-gpu."""
    listed = shutil.which("nvidia-smi") and subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=False)
    if not listed or listed.returncode:
        if pytestconfig.getoption("--require-gpu"):
            pytest.fail(NO_GPU)
        pytest.skip(NO_GPU)
    return [docker.types.DeviceRequest(count=-1, capabilities=[["gpu"]])]


@pytest.fixture
def amd_gpu(pytestconfig: pytest.Config) -> dict[str, list[str]]:
    """What gives a container every GPU of AMD; without one the check is not run, or fails with --require-gpu."""
    driver, graphics = Path("/dev/kfd"), Path("/dev/dri")
    if not driver.exists():
        if pytestconfig.getoption("--require-gpu"):
            pytest.fail(NO_AMD_GPU)
        pytest.skip(NO_AMD_GPU)
    groups = {str(device.stat().st_gid) for device in (driver, *graphics.glob("render*"))}
    return {"devices": [f"{path}:{path}:rw" for path in (driver, graphics)], "group_add": sorted(groups)}
