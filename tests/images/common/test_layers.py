"""Layers are cut by what changes together: an update of one lock is a pull of its layer alone."""

import re
from collections.abc import Iterator

import pytest
from packaging.utils import canonicalize_name

from slipway.image.layers import Layer, SavedImage
from slipway.matrix import Image
from slipway.python_locks import read_lock
from tests.images.helpers.scope import applies

pytestmark = [applies(), pytest.mark.exact]

METADATA = re.compile(r"/opt/venv/lib/[^/]+/site-packages/([\w.-]+?)-\d[^/]*\.dist-info/METADATA")


def list_locks(layer: Layer, owners: dict[str, str]) -> Iterator[str]:
    """Yield the lock of each distribution that a layer has."""
    for entry in layer.entries:
        if found := METADATA.fullmatch(entry.path):
            yield owners.get(canonicalize_name(found[1]), "")


def test_every_lock_has_a_layer_of_its_own(saved: SavedImage, contract: Image) -> None:
    """PyTorch in the layer of pandas would be pulled again, two gigabytes, with each new pandas."""
    # What a workload adds for an accelerator changes with the rest of its lock: training, training-cuda.
    end = f"-{contract.variant.accelerator}"
    owners = {each.name: file.stem.removesuffix(end) for file in reversed(contract.locks) for each in read_lock(file)}
    assert owners
    found = [(number, {*list_locks(layer, owners)}) for number, layer in enumerate(saved.layers)]
    assert {lock for _, locks in found for lock in locks} >= {*owners.values()}
    assert [(number, sorted(locks)) for number, locks in found if len(locks) > 1] == []
