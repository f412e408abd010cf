"""The matrix of images.toml: families, flavors and images, strictly validated.

    python -m slipway.matrix

prints one JSON object an image, for CI.
"""

import json
import re
import sys
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from slipway.errors import SlipwayError, run

ROOT = Path(__file__).parent.parent
FILE = ROOT / "images.toml"
ACCELERATORS = ("cpu", "cuda")
FLAVORS = ("base", "runtime", "devel")
VERSIONS = ("python", "cuda", "cudnn", "torch", "tensorflow", "onnxruntime")


@dataclass(frozen=True)
class Base:
    """The image that every Dockerfile starts from."""

    image: str
    suite: str


@dataclass(frozen=True)
class Image:
    """One image of the matrix: a family's flavor and its contract. Sizes are in bytes."""

    family: "Family"
    flavor: str
    least_size: int
    most_size: int

    @property
    def name(self) -> str:
        """`cuda-devel`: also the tag and the folder of its evidence."""
        return f"{self.family.name}-{self.flavor}"

    @property
    def tag(self) -> str:
        """The local tag, `slipway:cuda-devel`."""
        return f"{self.family.repository}:{self.name}"

    @property
    def lock(self) -> Path:
        """The lock file with every Python distribution of the image."""
        return ROOT / "requirements" / f"{self.family.locks}-{self.flavor}.txt"

    @property
    def evidence(self) -> Path:
        """The folder for everything that a run leaves about this image."""
        return ROOT / "dist" / self.name

    @property
    def lineage(self) -> tuple[str, ...]:
        """The flavors it holds, the smallest first and its own last."""
        flavors = tuple(self.family.images)
        return flavors[: flavors.index(self.flavor) + 1]

    @property
    def checks(self) -> list[Path]:
        """The folders of tests/images that check it: what every image must be, then its ancestors, then itself."""
        accelerator = self.family.accelerator
        names = ["every", accelerator]
        for flavor in self.lineage:
            names += [flavor, f"{accelerator}_{flavor}"]
        folders = (ROOT / "tests" / "images" / name for name in names)
        return [folder for folder in folders if folder.is_dir()]


@dataclass(frozen=True)
class Family:
    """An accelerator in one version, with its flavors in the order in which they stand on each other."""

    name: str
    repository: str
    dockerfile: str
    accelerator: str
    locks: str
    arguments: Mapping[str, str]
    versions: Mapping[str, str]
    architectures: tuple[str, ...]
    images: Mapping[str, Image]


@dataclass(frozen=True)
class Matrix:
    """All of images.toml."""

    repository: str
    release: str
    source: str
    apt_date: str
    free_disk_gb: int
    base: Base
    families: Mapping[str, Family]

    @property
    def images(self) -> list[Image]:
        """Every image, in the order of the file."""
        return [image for family in self.families.values() for image in family.images.values()]

    def image(self, name: str) -> Image:
        """Return the image of a name such as `cuda-devel`; SlipwayError lists the names there are."""
        images = {image.name: image for image in self.images}
        if name not in images:
            raise SlipwayError(f"there is no image {name!r} in images.toml; choose one of {', '.join(images)}")
        return images[name]


class Table:
    """One table of the file, read key by key; what is wrong is named with the table and the allowed values."""

    def __init__(self, name: str, content: object) -> None:
        if not isinstance(content, dict):
            raise SlipwayError(f"images.toml: {name} must be a table, not {content!r}")
        self.name = name
        self.content: dict[str, Any] = content

    def fail(self, key: str, wanted: str) -> SlipwayError:
        """Return the error for a key: where it stands, what is there, what is wanted."""
        found = repr(self.content[key]) if key in self.content else "missing"
        return SlipwayError(f"images.toml: {self.name} {key} is {found}; it must be {wanted}")

    def only(self, *keys: str) -> None:
        """Refuse every key that is not one of these."""
        for key in self.content:
            if key not in keys:
                raise SlipwayError(f"images.toml: {self.name} has an unknown key {key!r}; allowed: {', '.join(keys)}")

    def text(self, key: str, pattern: str, wanted: str) -> str:
        """Return a string that matches a pattern from end to end."""
        value = self.content.get(key)
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise self.fail(key, wanted)
        return value

    def choice(self, key: str, allowed: Collection[str]) -> str:
        """Return a string that is one of a few."""
        value = self.content.get(key)
        if not isinstance(value, str) or value not in allowed:
            raise self.fail(key, f"one of {', '.join(allowed)}")
        return value

    def table(self, key: str) -> "Table":
        """Return a table within this one; absent, it is empty."""
        return Table(f"{self.name}.{key}" if self.name != "the top level" else f"[{key}]", self.content.get(key, {}))


def read_date(table: Table, key: str) -> str:
    """Return a date as text, 2026-11-21."""
    wanted = 'a date such as "2026-11-21"'
    value = table.text(key, r"\d{4}-\d{2}-\d{2}", wanted)
    try:
        date.fromisoformat(value)
    except ValueError:
        raise table.fail(key, wanted) from None
    return value


def read_size(table: Table) -> tuple[int, int]:
    """Return the least and the most bytes of an image."""
    size = table.content.get("size_gb")
    match size:
        case [int() | float() as least, int() | float() as most] if 0 < least < most:
            return round(least * 1e9), round(most * 1e9)
    raise table.fail("size_gb", "[least, most] in GB (10^9 bytes), 0 < least < most")


def read_images(family: Family, table: Table) -> dict[str, Image]:
    """Return a family's images; flavors are given in their order and none is left out below another."""
    flavors = tuple(table.content)
    if not flavors or flavors != FLAVORS[: len(flavors)]:
        found = ", ".join(flavors) or "none"
        raise SlipwayError(f"images.toml: {table.name} names {found}; the flavors are, in order, {', '.join(FLAVORS)}")
    images = {}
    for flavor in flavors:
        row = table.table(flavor)
        row.only("size_gb")
        images[flavor] = Image(family, flavor, *read_size(row))
    return images


def read_strings(table: Table) -> dict[str, str]:
    """Return a table whose values are all strings."""
    for key in table.content:
        table.text(key, r".+", "a string in quotes")
    return table.content


def read_architectures(table: Table, accelerator: str) -> tuple[str, ...]:
    """Return the GPU architectures that a compiler must serve; a CPU family has none."""
    value = table.content.get("architectures", [])
    pattern = {"cuda": r"sm_\d+[af]?"}.get(accelerator)
    names = isinstance(value, list) and all(isinstance(n, str) for n in value)
    if not names or (value and not pattern) or not all(re.fullmatch(str(pattern), n) for n in value):
        raise table.fail("architectures", 'a list such as ["sm_80", "sm_90"], and only in a family with a GPU')
    return tuple(value)


def read_family(name: str, table: Table, repository: str) -> Family:
    """Return one family and its images."""
    table.only("dockerfile", "accelerator", "locks", "arguments", "versions", "architectures", "flavor")
    accelerator = table.choice("accelerator", ACCELERATORS)
    if not re.fullmatch(rf"{accelerator}(\d+\.\d+)?", name):
        raise SlipwayError(f"images.toml: {table.name} must be named {accelerator}, or {accelerator} and a version")
    versions = table.table("versions")
    versions.only(*VERSIONS)
    images: dict[str, Image] = {}
    family = Family(
        name=name,
        repository=repository,
        dockerfile=table.text("dockerfile", r"Dockerfile(\.\w+)?", "the name of a Dockerfile at the top level"),
        accelerator=accelerator,
        locks=table.text("locks", r"[\w.-]+", "the first part of the names of the lock files"),
        arguments=read_strings(table.table("arguments")),
        versions=read_strings(versions),
        architectures=read_architectures(table, accelerator),
        images=images,
    )
    images.update(read_images(family, table.table("flavor")))
    return family


def read_matrix(text: str) -> Matrix:
    """Return the matrix of a TOML text; SlipwayError names the table, the key and what is allowed."""
    try:
        top = Table("the top level", tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SlipwayError(f"images.toml is not valid TOML: {error}") from None
    top.only("repository", "release", "source", "apt_date", "free_disk_gb", "base", "family")
    base = top.table("base")
    base.only("image", "suite")
    repository = top.text("repository", r"[a-z0-9]+([._/-][a-z0-9]+)*", "a lower-case repository name without a tag")
    families = top.table("family")
    if not families.content:
        raise SlipwayError("images.toml: there is no [family.NAME] table; name at least one")
    free = top.content.get("free_disk_gb")
    if not isinstance(free, int) or isinstance(free, bool) or free < 1:
        raise top.fail("free_disk_gb", "a whole number of GB, at least 1")
    return Matrix(
        repository=repository,
        release=top.text("release", r"\d+\.\d+\.\d+", 'a version such as "1.2.3"'),
        source=top.text("source", r"https?://\S+", "a URL"),
        apt_date=read_date(top, "apt_date"),
        free_disk_gb=free,
        base=Base(
            base.text("image", r"[\w./:@-]+", 'an image reference such as "debian:trixie-slim"'),
            base.text("suite", r"[a-z]+", 'a Debian suite such as "trixie"'),
        ),
        families={name: read_family(name, families.table(name), repository) for name in families.content},
    )


def load(file: Path = FILE) -> Matrix:
    """Return the matrix of this repository; SlipwayError when the file is missing or wrong."""
    try:
        return read_matrix(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SlipwayError(f"{file} is missing; it is part of the repository: git checkout -- images.toml") from None
    except UnicodeDecodeError as error:
        raise SlipwayError(f"images.toml is not UTF-8 text: {error}") from None


def main() -> int:
    """Print the rows of the matrix as JSON, as a CI system wants them."""
    rows = [{"family": i.family.name, "flavor": i.flavor, "image": i.name} for i in load().images]
    print(json.dumps({"include": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
