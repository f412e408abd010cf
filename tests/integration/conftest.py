"""Skips integration tests that cannot run on this machine, and lists them with the reason."""

import subprocess
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from slipway import repository, tools
from slipway.publish import command, cosign, registry
from slipway.publish.cosign import Signer
from slipway.tools import Tool
from tests.helpers.built_images import make_name
from tests.helpers.fake_cosign import install
from tests.helpers.reasons import ENGINE_FAULT
from tests.integration.publications import Workshop, workshop
from tests.integration.registries import Proxy, running_registry
from tests.integration.try_images import try_image as try_image

pytest_plugins = ["tests.helpers.not_run"]
LONGEST_SECONDS = 600  # for what hangs: builds, downloads and registries share a machine here


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that `nox -s tests -- --all` sets."""
    text = "also the tests marked `whole`, and 100,000 damaged archives in place of 5,000"
    parser.addoption("--whole", action="store_true", help=text)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only `nox -s tests -- --all` has time for; run again what a fault of the engine ended."""
    left_out = [item for item in items if item.get_closest_marker("whole") and not config.getoption("--whole")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)
    for item in items:
        item.add_marker(pytest.mark.flaky(reruns=2, only_rerun=[ENGINE_FAULT]))
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONGEST_SECONDS))


@pytest.fixture(scope="session", autouse=True)
def scanners() -> Iterator[None]:
    """Skip tests that need a missing large tool: building one takes longer than a test's time limit."""
    build = tools.build_programs

    def build_what_is_small(missing: Sequence[Tool]) -> None:
        for tool in missing:
            if tool.name in ("buildkitd", "cosign", "crane", "syft", "trivy"):
                pytest.skip(f"there is no {tool.name} {tool.version}; nox -s integration builds it")
        build(missing)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tools, "build_programs", build_what_is_small)
        yield


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real registry."""
    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture
def proxy(upstream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy before it; no login is known."""
    registry.provide_crane()  # built while the cache is the user's
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    with Proxy(upstream) as running:
        yield running


@pytest.fixture
def target(proxy: Proxy) -> str:
    """An unused HOST/NAME."""
    return f"{proxy.host}/team/{uuid.uuid4().hex}"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    """A repository whose images are made in an instant."""
    with workshop(tmp_path / "repository", monkeypatch) as made:
        yield made


@pytest.fixture
def fake_cosign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for cosign in a folder of its own, which also holds what was signed.

    It is in the place of the built one, also for a program that a test starts.
    """
    folder, crane = tmp_path / "cosign", registry.provide_crane()
    program = install(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    repository.cache_folder("tools").mkdir(parents=True)
    for name, there in (("cosign", program), ("crane", crane)):
        tools.read_tool(name).program.symlink_to(there)
    monkeypatch.setattr(cosign, "provide_cosign", lambda: program)
    return folder


@pytest.fixture
def run(target: str) -> Callable[..., int]:
    """Publish with a key that the stand-in for cosign knows."""

    def call(*words: str) -> int:
        key = "own.pub" if "--verify" in words else "own.key"
        return command.main([f"--registry={target}", f"--key={key}", "--allow-local-base", *words])

    return call


@pytest.fixture
def tag() -> Iterator[str]:
    """A tag of its own, gone afterwards."""
    name = f"{make_name()}:built"
    yield name
    subprocess.run(["docker", "image", "rm", "--force", name], capture_output=True, check=False)


@pytest.fixture
def signer() -> Signer:
    """The owner of that key."""
    return Signer("own.key")
