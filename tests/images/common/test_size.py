"""Size and number of layers, read from the saved layers: the same on every engine."""

from collections.abc import Callable

import pytest

from slipway.image.layers import Layer, SavedImage
from slipway.matrix import Image
from tests.images.helpers.scope import applies

pytestmark = [applies(), pytest.mark.exact]

GB = 10**9
# Each layer is a mount at every start and a request at every pull.
MOST_LAYERS = 24
MOST_ABOVE_A_WORKBENCH = 36
SHOWN = 5


def largest(layers: tuple[Layer, ...]) -> str:
    """Return the largest layers, one a line, with their instruction."""
    ordered = sorted(layers, key=lambda layer: layer.size, reverse=True)[:SHOWN]
    return "\n".join(f"{layer.size / GB:8.3f} GB  {' '.join(layer.created_by.split())[:100]}" for layer in ordered)


@pytest.mark.requirement("T3", "A6", "C8")
def test_size_is_within_the_budget(
    saved: SavedImage, contract: Image, record_property: Callable[[str, object], None]
) -> None:
    """Too large is growth by accident; too small is an image that lacks something."""
    record_property("size", saved.size)
    least, most = contract.least_size / GB, contract.most_size / GB
    budget = f"{saved.size / GB:.3f} GB, budget {least:g} to {most:g} (images.toml); the largest layers:"
    assert contract.least_size <= saved.size <= contract.most_size, f"{budget}\n{largest(saved.layers)}"


def test_layers_are_few(saved: SavedImage, contract: Image) -> None:
    """Every RUN and COPY adds one."""
    is_above = contract.workload and contract.workload.parent
    assert len(saved.layers) <= (MOST_ABOVE_A_WORKBENCH if is_above else MOST_LAYERS)
