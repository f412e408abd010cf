"""The contents of built images, and of an image in a registry."""

import gzip
import json
import subprocess
from contextlib import AbstractContextManager
from io import BufferedReader
from pathlib import Path

import pytest

from slipway import docker
from slipway.image import saved_image
from slipway.matrix import load_matrix
from slipway.publish import oci_layout
from slipway.publish.registry import Repository, parse_repository
from slipway.report import contents
from slipway.report.image_sources import read_source
from tests.helpers.archives import LOWER, UPPER
from tests.helpers.built_images import require_built
from tests.helpers.layouts import layout, write_layout

LEAST_KNOWN = 0.97  # of an image's bytes: what is neither the system's nor the application's without a package


def pack_gzip(layer: bytes) -> bytes:
    """Compress a layer to the same bytes at any time."""
    return gzip.compress(layer, mtime=0)


@pytest.mark.requirement("C7")
@pytest.mark.parametrize("name", ["cpu-base", "cuda-base"])
def test_every_byte_of_an_image_has_a_component(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The sum is the image's size; nearly all is of packages, and a table says what is large."""
    contract = load_matrix().find_image(name)
    require_built(contract)
    contents.main([name])
    found = json.loads((contract.results / contents.FILE).read_text())
    by_kind = {row["kind"]: 0 for row in found["components"]}
    for row in found["components"]:
        assert row["bytes"] == sum(row["layers"])
        by_kind[row["kind"]] += row["bytes"]
    assert found["id"] == saved_image.find_id(contract.tag)
    assert (
        found["bytes"] == saved_image.read_image(contract.tag).size == sum(by_kind.values()) == found["tree"]["bytes"]
    )
    assert sum(by_kind.get(kind, 0) for kind in ("deb", "python", "cuda")) > LEAST_KNOWN * found["bytes"]
    assert [layer["place"] is None for layer in found["layers"]].index(False) >= 1
    assert all(layer["place"] for layer in found["layers"][1:])
    printed = capsys.readouterr().out
    assert all(row["name"] in printed for row in found["components"][:3])


def test_gpu_code_is_that_of_the_contract() -> None:
    """Each architecture that images.toml requires is among those of the libraries."""
    contract = load_matrix().find_image("cuda-base")
    require_built(contract)
    found = contents.describe_image(read_source("cuda-base", load_matrix()))
    costs = {row["architecture"]: row["bytes"] for row in found["gpu"]}
    assert set(contract.variant.architectures) <= set(costs)
    assert sum(costs.values()) < found["bytes"]


def test_an_archive_has_the_contents_of_its_image(tmp_path: Path) -> None:
    contract = load_matrix().find_image("cpu-base")
    require_built(contract)
    archive = tmp_path / "image.tar"
    with archive.open("wb") as file:
        subprocess.run(["docker", "save", contract.tag], stdout=file, check=True)
    own, other = (contents.describe_image(read_source(word, load_matrix())) for word in (contract.tag, str(archive)))
    assert own["components"] == other["components"]
    assert own["waste"] == other["waste"]


def test_an_image_of_a_registry_is_read(upstream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By crane; the engine does not have it. A layer that is known is not fetched again."""
    monkeypatch.setattr(docker, "inspect", lambda _reference: None)
    monkeypatch.setattr("slipway.report.image_sources.cache_folder", lambda _name: tmp_path / "cache")
    opened: list[str] = []
    original = Repository.open_blob

    def note(self: Repository, digest: str) -> AbstractContextManager[BufferedReader]:
        opened.append(digest)
        return original(self, digest)

    monkeypatch.setattr(Repository, "open_blob", note)
    folder = write_layout(tmp_path / "layout", layout(LOWER, UPPER, pack=pack_gzip))
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(index | {"manifests": index["manifests"][:1]}))  # no attestation
    repository = parse_repository(f"{upstream}/team/contents")
    repository.push(folder, "1", is_index=True)
    word = f"{repository}:1"
    found = contents.describe_image(read_source(word, load_matrix()))
    assert found["bytes"] == 13
    assert found["compressed_bytes"] == sum(len(pack_gzip(layer)) for layer in (LOWER, UPPER))
    assert len(opened) == 3  # the configuration and two layers
    assert contents.describe_image(read_source(word, load_matrix())) == found
    assert opened[3:] == [found["id"]]


def test_compressed_bytes_are_those_that_are_published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They stay known until the image is another one."""
    contract = load_matrix().find_image("cpu-base")
    require_built(contract)
    monkeypatch.setattr(contents, "OTHERS", tmp_path)
    local = oci_layout.inspect_image(contract.tag)
    assert local is not None
    assert contents.main([local.id, "--compress"]) == 0
    [file] = tmp_path.iterdir()
    measured = json.loads(file.read_text())
    assert 0.2 < measured["compressed_bytes"] / measured["bytes"] < 0.8
    assert contents.main([local.id]) == 0
    assert json.loads(file.read_text()) == measured
