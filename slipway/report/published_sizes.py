"""The sizes that the systems of origin published, from published_sizes.toml."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from slipway.matrix import Matrix
from slipway.toml import Table, read_toml, require_choice

FILE = Path(__file__).with_name("published_sizes.toml")
Gigabytes = Annotated[float, Field(strict=False, gt=0, description="10^9 bytes")]


class Size(Table):
    """One image of a system, with the images here that do the same work."""

    image: str
    gb: Gigabytes
    claim: Literal["promised", "measured", "hoped for"]
    compare: list[str]


class System(Table):
    """A system and where it published its sizes."""

    name: str
    source: str
    requirement: str = ""
    size: list[Size] = Field([], description="[[system.size]] tables")


class Systems(Table):
    """All of published_sizes.toml."""

    system: list[System]


def list_published(matrix: Matrix, sizes: Mapping[str, int], file: Path = FILE) -> Iterator[dict[str, Any]]:
    """Yield each published size in bytes beside each image here, `own`, that does the same work.

    `sizes` has the bytes of images that were measured; None in the row of another. SlipwayError for an image that the
    matrix does not have.
    """
    names = [image.name for image in matrix.images]
    for system in read_toml(file, Systems).system:
        for size in system.size:
            published = round(size.gb * 1e9)
            for own in size.compare:
                require_choice(FILE.name, ("system", "size", "compare"), own, names)
                yield {
                    "system": system.name,
                    "source": system.source,
                    "requirement": system.requirement,
                    "image": size.image,
                    "claim": size.claim,
                    "bytes": published,
                    "own": own,
                    "measured": sizes.get(own),
                    "share": sizes[own] / published if own in sizes else None,
                }


def list_silent(file: Path = FILE) -> list[str]:
    """Return the systems that publish no size, each with the place that was read."""
    return [f"{system.name}: {system.source}" for system in read_toml(file, Systems).system if not system.size]
