"""The sizes that the systems of origin published, from published_sizes.toml."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

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


@dataclass(frozen=True)
class Published:
    """A published size in bytes, and the image here that it is compared with."""

    system: str
    image: str
    bytes: int
    claim: str
    requirement: str
    source: str
    own: str


def list_published(matrix: Matrix, file: Path = FILE) -> Iterator[Published]:
    """Yield each published size for each image of the matrix; SlipwayError for one that the matrix does not have."""
    names = [image.name for image in matrix.images]
    for system in read_toml(file, Systems).system:
        for size in system.size:
            for own in size.compare:
                require_choice(FILE.name, ("system", "size", "compare"), own, names)
                published = round(size.gb * 1e9)
                yield Published(system.name, size.image, published, size.claim, system.requirement, system.source, own)


def list_silent(file: Path = FILE) -> list[str]:
    """Return the systems that publish no size, each with the place that was read."""
    return [f"{system.name}: {system.source}" for system in read_toml(file, Systems).system if not system.size]
