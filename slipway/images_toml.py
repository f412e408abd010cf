"""The tables of images.toml: the keys of each, and the values allowed there."""

import math
import re
from datetime import date
from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import AfterValidator, Field, model_validator

from slipway.toml import Reason, Table

Accelerator: TypeAlias = Literal["cpu", "cuda", "rocm"]
Flavor: TypeAlias = Literal["base", "runtime", "devel"]
Target: TypeAlias = Literal["workbench", "training", "compute", "desktop", "tools"]  # the stages of Dockerfile
Platform: TypeAlias = Literal["linux/amd64", "linux/arm64"]
Version: TypeAlias = Literal["python", "cuda", "cudnn", "hip", "torch", "tensorflow", "onnxruntime"]

FLAVORS: tuple[str, ...] = get_args(Flavor)
TARGETS: tuple[str, ...] = get_args(Target)
PLATFORMS: tuple[str, ...] = get_args(Platform)  # the first is the default
VERSIONS: tuple[str, ...] = get_args(Version)
# The layers of each flavor that Python packages are installed in, by LOCKS: each has a lock of its own.
LAYERS: dict[str, dict[str, tuple[str, ...]]] = {
    name: {"base": ("base",), "runtime": layers, "devel": ("devel",)}
    for name, layers in {
        "cpu": ("torch", "tensorflow", "data-science"),
        "cpu-index": ("torch", "tensorflow", "data-science"),
        "cuda": ("cuda", "torch", "data-science"),
        "rocm": ("data-science",),
        "rocm-index": ("torch", "data-science"),
    }.items()
}
LAYERS["workbench"] = {"workbench": ("data-science", "jupyterlab")}
ARCHITECTURES = {"cuda": r"sm_\d+[af]?", "rocm": r"gfx[0-9a-f]+"}  # names of GPU architectures


def check_date(text: str) -> str:
    """Return the text; ValueError when it is no date of the calendar."""
    date.fromisoformat(text)
    return text


def check_size(size: tuple[float, float]) -> tuple[float, float]:
    """Return the least and the most GB; ValueError unless they are in order."""
    if not 0 < size[0] < size[1] < math.inf:
        raise ValueError
    return size


Date = Annotated[
    str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$", description='a date such as "2026-11-21"'), AfterValidator(check_date)
]
Size = Annotated[
    tuple[float, float],
    Field(strict=False, description="[least, most] in GB (10^9 bytes), 0 < least < most"),
    AfterValidator(check_size),
]
Text = Annotated[str, Field(pattern=r"^.+$", description="a string in quotes")]
ArgumentName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$", description="a build argument in capitals")]
Port = Annotated[int, Field(gt=0, lt=2**16)]
Days = Annotated[int, Field(ge=1, description="a whole number of days, at least 1")]


class Distro(Table):
    """A Debian release: its image, from which Dockerfiles start, and its C library, by which wheels are chosen."""

    image: str = Field(pattern=r"^[\w./:@-]+$", description='an image reference such as "debian:trixie-slim"')
    digest: str = Field(
        default="", pattern=r"^(sha256:[0-9a-f]{64})?$", description="the digest of that image in its registry"
    )
    suite: str = Field(pattern=r"^[a-z]+$", description='a Debian suite such as "trixie"')
    glibc: str = Field(pattern=r"^2\.\d+$", description='the version of its C library, such as "2.36"')
    platform: Platform = "linux/amd64"

    @property
    def architecture(self) -> str:
        """The platform's processor as docker and Debian name it, `arm64`."""
        return self.platform.rpartition("/")[2]

    @property
    def reference(self) -> str:
        """What is pulled: the image by its digest where there is one."""
        return f"{self.image}@{self.digest}" if self.digest else self.image

    @property
    def tag(self) -> str:
        """The image's tag in the engine: a tag holds one platform, so another platform has its own tag."""
        return self.image if self.platform == PLATFORMS[0] else f"{self.image}-{self.architecture}"


class Deprecation(Table):
    """Since when and why a variant is deprecated, and its successor."""

    since: Date
    reason: Reason
    successor: str = Field(pattern=r"^\S+$", description="the name of another variant")

    def __str__(self) -> str:
        """Return the notice shown when it is built or run, to follow `is`; no full stop."""
        return f"deprecated since {self.since}: {self.reason}; use {self.successor} instead"


class ImageTable(Table):
    """[variant.NAME.flavor], [workload.NAME.on]: one image, a flavor or a workload on a variant's image."""

    size_gb: Size
    in_tests: bool = Field(default=True, description="true, or false: `nox -s tests` leaves it out")


def check_flavors(flavors: dict[Flavor, ImageTable]) -> dict[Flavor, ImageTable]:
    """Return a variant's flavors; ValueError unless they are in order and none is left out below another."""
    if not flavors or tuple(flavors) != FLAVORS[: len(flavors)]:
        found = ", ".join(flavors) or "none"
        message = f"names {found}; the flavors are, in order, {', '.join(FLAVORS)}"
        raise ValueError(message)
    return flavors


class VariantTable(Table):
    """[variant.NAME]."""

    dockerfile: str = Field(pattern=r"^Dockerfile(\.\w+)?$", description="the name of a Dockerfile at the top level")
    accelerator: Accelerator
    distro: str | None = Field(None, description="the name of a distro")
    locks: str = Field(pattern=r"^[\w.-]+$", description="the first part of the names of the lock files")
    arguments: dict[str, Text] = Field({})
    versions: dict[Version, Text] = Field({})
    architectures: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        (), description='a list such as ["sm_80", "sm_90"]'
    )
    deprecated: Deprecation | None = None
    excluded: dict[Literal[Flavor, Platform], Reason] = Field({})
    flavor: Annotated[dict[Flavor, ImageTable], AfterValidator(check_flavors)]

    @model_validator(mode="after")
    def check(self) -> "VariantTable":
        """Compare keys that depend on each other; ValueError says what is wrong."""
        pattern = ARCHITECTURES.get(self.accelerator, "(?!)")
        if not all(re.fullmatch(pattern, name) for name in self.architectures):
            message = (
                f"architectures is {list(self.architectures)}; it must be a list such as "
                '["sm_80", "sm_90"], and only in a variant with a GPU'
            )
            raise ValueError(message)
        if both := [name for name in self.excluded if name in self.flavor]:
            message = f"excluded names {both[0]!r}, which is one of its flavors"
            raise ValueError(message)
        return self


class WorkloadTable(Table):
    """[workload.NAME]."""

    target: Target
    parent: str | None = Field(None, description="the name of a workload above it")
    mode: str = Field(pattern=r"^[a-z-]+$", description="the name of its default mode")
    ports: list[Port] = Field([], description="a list of port numbers, its default mode's first")
    arguments: dict[ArgumentName, Text] = Field({})
    on: dict[str, ImageTable]


WorkloadName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", description="in lower-case letters, digits and -")]


class ImagesToml(Table):
    """All of images.toml."""

    repository: str = Field(
        pattern=r"^[a-z0-9]+([._/-][a-z0-9]+)*$", description="a lower-case repository name without a tag"
    )
    release: str = Field(pattern=r"^\d+\.\d+\.\d+$", description='a version such as "1.2.3"')
    source: str = Field(pattern=r"^https?://\S+$", description="a URL")
    apt_date: Date
    results_days: Days
    free_disk_gb: int = Field(ge=1, description="a whole number of GB, at least 1")
    published: list[str] = Field([], description="a list of names of images")
    distro: dict[str, Distro] = Field(min_length=1, description="at least one table [distro.NAME]")
    variant: dict[str, VariantTable] = Field(min_length=1, description="at least one table [variant.NAME]")
    workload: dict[WorkloadName, WorkloadTable] = Field({})
