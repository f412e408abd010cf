"""Publishing to a real registry: what goes up, what is refused, what an unchanged image costs, what is verified again."""

import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slipway import attachments, evidence, matrix, publish, registry, revisions, signing, verify
from slipway.errors import SlipwayError
from slipway.registry import Registry
from tests.slipway.publications import Workshop, docker, workshop
from tests.slipway.registries import Fault, Proxy, Reply, running_registry

ROOT = matrix.ROOT
PASSWORD = "of-the-signing-key"  # noqa: S105 - of a key that is made here


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real registry."""
    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cosign key and another one."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("cosign", "other"):
        command = [signing.program(), "generate-key-pair", f"--output-key-prefix={name}"]
        subprocess.run(
            command, cwd=folder, env={**os.environ, "COSIGN_PASSWORD": PASSWORD}, capture_output=True, check=True
        )
    return folder


@pytest.fixture
def proxy(upstream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy before it; the client waits less, and knows no login and no layer of earlier."""
    monkeypatch.setattr(registry, "WAITS", (0.0, 0.01, 0.02))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COSIGN_PASSWORD", PASSWORD)
    signing.program()  # found while the cache is the user's
    with Proxy(upstream) as running:
        yield running


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    """A repository whose images are made in an instant."""
    with workshop(tmp_path / "repository", monkeypatch) as made:
        yield made


@pytest.fixture
def target(proxy: Proxy) -> str:
    """HOST/NAME that nobody has used."""
    return f"{proxy.host}/team/{uuid.uuid4().hex}"


@pytest.fixture
def unsigned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take cosign out, for what is not about signatures."""
    monkeypatch.setattr(signing, "cosign", lambda *_: "")


@pytest.fixture
def run(target: str, keys: Path) -> Callable[..., int]:
    """Call the program."""

    def call(*words: str, key: str = "cosign.key") -> int:
        return publish.main([f"--registry={target}", f"--key={keys / key}", *words])

    return call


def repository(target: str) -> Registry:
    """Return a client."""
    return registry.parse_repository(target)


# --- the whole way -------------------------------------------------------------------------------


@pytest.mark.parametrize("referrers", [False, True])
@pytest.mark.requirement("A5", "V5", "U11")
def test_an_image_goes_up_with_all_that_belongs_to_it(  # noqa: PLR0913, PLR0917 - fixtures
    shop: Workshop,
    run: Callable[..., int],
    proxy: Proxy,
    target: str,
    capsys: pytest.CaptureFixture[str],
    *,
    referrers: bool,
) -> None:
    """Also where the registry has no API for referrers; the engine pulls it under the ID that was tested."""
    proxy.referrers = referrers
    image = shop.make("cuda-base")
    assert run("cuda-base") == 0
    there = repository(target)
    names = ["0.1.0-cuda13.0-base-r1", "0.1.0-cuda13.0-base", "latest-base", "0.1.0", "latest"]
    digests = {there.digest(tag) for tag in names}
    assert len(digests) == 1
    digest = digests.pop()
    found = attachments.attached(there, digest)
    assert set(found) == set(attachments.TYPES.values())
    layers = there.need("latest").json["layers"]
    assert [layer["mediaType"] for layer in layers] == ["application/vnd.oci.image.layer.v1.tar+zstd"] * 2
    record = evidence.read_json(image.evidence / "publish.json")
    assert (record["verdict"], record["digest"], record["revision"]) == ("published", digest, 1)
    tests = attachments.read(there, found[attachments.TYPES["tests.json"]][0])
    assert (tests["passed"], tests["not run"]) == (2, {"no GPU on this host": 1})
    assert "the-builders-machine" not in json.dumps(tests)
    docker("image", "rm", "--force", image.tag)
    docker("pull", "--quiet", f"{target}:latest")
    pulled = subprocess.check_output(["docker", "image", "inspect", "--format={{.Id}}", f"{target}:latest"], text=True)
    docker("image", "rm", "--force", f"{target}:latest")
    assert pulled.strip() == record["image"]
    capsys.readouterr()
    assert run("--verify", "0.1.0-cuda13.0-base", "latest", key="cosign.pub") == 0
    told = capsys.readouterr().out
    assert told.count(digest) == 2
    assert "sbom.cdx.json, sbom.spdx.json, provenance.json, tests.json, audit.json, scan.json" in told


@pytest.mark.requirement("U11")
def test_provenance_says_how_it_was_built(shop: Workshop, run: Callable[..., int], target: str, unsigned: None) -> None:
    """The commit, the Dockerfile and the locks by digest, the arguments, the base."""
    shop.make("cuda-base")
    run("cuda-base")
    there = repository(target)
    digest = there.digest("latest")
    (artifact,) = attachments.attached(there, digest)[attachments.TYPES["provenance.json"]]
    said = attachments.read(there, artifact)
    assert said["subject"] == [{"name": target, "digest": {"sha256": digest.removeprefix("sha256:")}}]
    build = said["predicate"]["buildDefinition"]
    assert build["externalParameters"]["session"] == "build-cuda(base)"
    assert build["externalParameters"]["arguments"] == {"CUDA_VERSION": "13.0"}
    source, base, *files = build["resolvedDependencies"]
    assert source["digest"] == {"gitCommit": shop.commit}
    assert base["digest"] == {"sha256": "5" * 64}
    assert [file["name"] for file in files] == ["Dockerfile.cuda", "images.toml", "requirements/cuda13.0-base.txt"]
    assert (
        files[0]["digest"]["sha256"]
        == subprocess.check_output(["sha256sum", ROOT / "Dockerfile.cuda"], text=True).split()[0]
    )
    assert said["predicate"]["runDetails"]["metadata"]["startedOn"] == "2026-11-21T11:59:56Z"
