"""An image holds all of the image below it: of the flavor before, or of the variant that a workload is built on."""

from typing import Any

import pytest

from slipway import docker, matrix
from slipway.image import saved_image
from slipway.image.layers import Entry, Kind, SavedImage
from slipway.matrix import Image
from tests.helpers.reasons import NO_PARENT
from tests.images.helpers.databases import is_database
from tests.images.helpers.scope import applies

pytestmark = [applies(flavor="runtime"), applies(workload="workbench"), pytest.mark.exact]

COMMIT = "org.opencontainers.image.revision"
BASE = "org.opencontainers.image.base.digest"
# What installed programs register in a file of each other's.
REGISTERS = ("/etc/ld.so.conf.d/", "/etc/shells", "/var/lib/dpkg/", "/var/lib/apt/", "/var/lib/shells.state")


def is_parent(found: dict[str, Any], contract: Image, labels: dict[str, str]) -> bool:
    """Tell whether an image is the one below: a workload's by its digest, a flavor's by the commit of both."""
    if contract.workload:
        return labels.get(BASE) in {found["Id"], *(name.partition("@")[2] for name in found.get("RepoDigests") or ())}
    return (found["Config"].get("Labels") or {}).get(COMMIT) == labels.get(COMMIT)


@pytest.fixture(scope="module")
def parent(contract: Image, labels: dict[str, str]) -> SavedImage:
    """The image below, as it is in this engine."""
    name = contract.variant_image if contract.workload else contract.parent
    found = docker.inspect(matrix.load_matrix().find_image(name).tag)
    if not found or not (contract.workload or is_parent(found, contract, labels)):
        pytest.skip(NO_PARENT)
    assert is_parent(found, contract, labels), f"{name} is another image now: nox -s build -- {contract.name}"
    return saved_image.read_image(found["Id"])


def content(entry: Entry) -> tuple[str, str, int]:
    """Return what makes a file the same: its content or target, and its mode."""
    return entry.sha256, entry.target, entry.mode


@pytest.mark.requirement("A1")
def test_layers_of_the_parent_are_there(parent: SavedImage, saved: SavedImage) -> None:
    """In their order: a workload begins with them; a flavor has its own below the service's, which is the last."""
    below = [layer.diff_id for layer in parent.layers]
    assert below
    assert [layer.diff_id for layer in saved.layers if layer.diff_id in below] == below


@pytest.mark.requirement("A1", "U2")
def test_files_of_the_parent_are_there_unchanged(parent: SavedImage, saved: SavedImage) -> None:
    """Nothing is left out, replaced by another version, or moved; package managers write their databases anew."""
    own, below = saved.merged(), parent.merged()
    files = {path: entry for path, (entry, _) in below.items() if entry.kind is not Kind.DIRECTORY}
    kept = {path: entry for path, entry in files.items() if not (is_database(path) or path.startswith(REGISTERS))}
    assert len(kept) > 1000
    assert [path for path, entry in kept.items() if path not in own or content(own[path][0]) != content(entry)] == []
