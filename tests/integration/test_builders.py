"""A builder that is not the engine's own: a real buildkitd on loopback. It keeps its layer cache in a registry."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway import docker, matrix
from tests.helpers.buildkit import certificates as certificates
from tests.helpers.buildkit import create_builder, running_buildkitd
from tests.helpers.built_images import make_name, read_layers
from tests.helpers.checkout import Checkout, copy_repository
from tests.integration.registries import running_registry

BASE = "slipway:cpu-base"
VARIANT = 'ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS base\nUSER 0:0\nRUN touch /variant\nLABEL slipway.flavor="base"\n'
WORKLOAD = """\
ARG BASE
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS files
USER 0:0
RUN touch /files
FROM ${BASE} AS tools
COPY --from=files /files /workload
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A copy of the repository, in a folder with a name that buildx might misread, whose images are built in a second.

    Its base image is cpu-base, which has a Python.
    """
    made = Checkout(tmp_path / "a b@c", make_name())
    copy_repository(made.folder)
    rows = matrix.load_matrix()
    base = '[distro.trixie]\nimage = "{}"'
    made.edit("images.toml", f'repository = "{rows.repository}"', f'repository = "{made.repository}"')
    made.edit("images.toml", base.format(rows.default_distro.image), base.format(BASE))
    made.edit("images.toml", f"free_disk_gb = {rows.free_disk_gb}", "free_disk_gb = 1")
    (made.folder / "Dockerfile.cpu").write_text(VARIANT)
    (made.folder / "Dockerfile").write_text(WORKLOAD)
    yield made
    docker.call("image", "rm", "--force", *(f"{made.repository}:cpu-base{end}" for end in ("", "-tools")))


@pytest.fixture(scope="module")
def buildkitd(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A buildkitd of these tests alone; yields its address."""
    with running_buildkitd(tmp_path_factory.mktemp("buildkitd"), certificates) as address:
        yield address


@pytest.fixture
def builder(certificates: Path, buildkitd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the builder in a configuration of buildx that is this test's own."""
    monkeypatch.setenv("BUILDX_CONFIG", str(tmp_path / "buildx"))
    monkeypatch.delenv("BUILDX_BUILDER", raising=False)
    create_builder("elsewhere", certificates, buildkitd)
    return "elsewhere"


def test_another_builder_builds_a_workload_and_its_parents(checkout: Checkout, builder: str) -> None:
    """As the default builder: it gets the base image and the variant, which only the engine has."""
    docker.output("buildx", "use", builder)
    result = checkout.nox("-s", "build", "--", "cpu-base-tools")
    assert result.returncode == 0, result.stdout
    assert result.stdout.count(f'building with "{builder}" instance using remote driver') == 2
    base, variant, workload = (
        read_layers(tag) for tag in (BASE, *(f"{checkout.repository}:cpu-base{end}" for end in ("", "-tools")))
    )
    assert variant[: len(base)] == base
    assert workload[: len(variant)] == variant
    assert (len(variant) - len(base), len(workload) - len(variant)) == (1, 1)
    assert not list(checkout.folder.glob("dist/*/parents-*"))


def test_another_builder_by_name(checkout: Checkout, builder: str) -> None:
    """The engine's own stays the default."""
    result = checkout.nox("-s", "build", "--", "cpu-base", f"--builder={builder}")
    assert result.returncode == 0, result.stdout
    assert f'building with "{builder}" instance using remote driver' in result.stdout
    result = checkout.nox("-s", "build", "--", "cpu-base")
    assert result.returncode == 0, result.stdout
    assert 'building with "default" instance using docker driver' in result.stdout


@pytest.mark.requirement("T9", "T18")
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("builder")
def test_a_fresh_machine_takes_every_unchanged_layer_from_the_registry(
    checkout: Checkout, certificates: Path, tmp_path: Path
) -> None:
    """The builder of the second has run nothing, and gets the very bytes of the first; a changed line alone runs."""
    checkout.edit("Dockerfile.cpu", "RUN touch /variant", "RUN date +%N >/variant\nRUN date +%N >/more")
    made = []
    with running_registry(tmp_path) as host:
        for name in ("first", "second", "changed"):
            if name == "changed":
                checkout.edit("Dockerfile.cpu", "RUN date +%N >/more", "RUN date +%s%N >/more")
            (tmp_path / name).mkdir()
            with running_buildkitd(tmp_path / name, certificates) as address:
                create_builder(name, certificates, address)
                cache = (f"--cache-from={host}/team/cache", f"--cache-to={host}/team/cache")
                result = checkout.nox("-s", "build", "--", "cpu-base", f"--builder={name}", *cache)
            assert result.returncode == 0, result.stdout
            made.append(read_layers(f"{checkout.repository}:cpu-base"))
    first, second, changed = made
    assert first == second
    assert [first[-2] == changed[-2], first[-1] == changed[-1]] == [True, False]


@pytest.mark.usefixtures("builder")
def test_a_builder_that_does_not_serve(checkout: Checkout, certificates: Path, buildkitd: str) -> None:
    """One line, before anything is built: without a certificate of this client, and under an unknown name."""
    options = f"--driver-opt=cacert={certificates}/ca.pem"
    docker.output("buildx", "create", "--name=stranger", "--driver=remote", options, buildkitd)
    result = checkout.nox("-s", "build", "--", "cpu-base", "--builder=stranger")
    assert f"the builder stranger at {buildkitd} does not answer" in result.stdout
    result = checkout.nox("-s", "build", "--", "cpu-base", "--builder=unheard")
    assert 'no builder "unheard" found: `docker buildx ls` lists the builders' in result.stdout
    assert "docker buildx build" not in result.stdout
    assert "Traceback" not in result.stdout
