"""The layers of an image with their bytes, their instructions, and the lines of the Dockerfiles that have those."""

from collections.abc import Iterator

from slipway.build.dockerfiles import read_each_dockerfile
from slipway.image.layers import SavedImage
from slipway.matrix import Image


def describe_layers(image: SavedImage, contract: Image | None) -> list[dict[str, object]]:
    """Return a row for each layer, the lowest first."""
    places = list(find_places(image, contract)) if contract else [None] * len(image.layers)
    return [
        {
            "diff_id": layer.diff_id,
            "bytes": layer.size,
            "compressed_bytes": layer.stored,
            "instruction": " ".join(layer.created_by.split()),
            "place": place,
        }
        for layer, place in zip(image.layers, places, strict=True)
    ]


def find_places(image: SavedImage, contract: Image) -> Iterator[str | None]:
    """Yield the place of each layer's instruction, `Dockerfile.cuda:120`; None for one of no Dockerfile."""
    files = read_each_dockerfile(contract)
    names = list(files)
    last = (0, 0)
    for layer in image.layers:
        found = [(names.index(name), line) for name in names for line in files[name].find_lines(layer.created_by)]
        # Several stages may have an instruction; the layers follow each other as the lines do.
        place = next((each for each in found if each > last), found[0] if found else None)
        last = place or last
        yield f"{names[place[0]]}:{place[1]}" if place else None
