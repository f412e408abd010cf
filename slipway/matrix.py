"""The matrix of images.toml: families, flavors and images, strictly validated.

    python -m slipway.matrix [--all]

prints one JSON object an image, for CI: those that every run builds, or all.
"""

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from slipway.errors import SlipwayError, run
from slipway.table import Table

ROOT = Path(__file__).parent.parent
FILE = ROOT / "images.toml"
ACCELERATORS = ("cpu", "cuda", "rocm")
FLAVORS = ("base", "runtime", "devel")
WORKLOADS = "Dockerfile"  # the one that has a stage for each target
# The layers of each flavor that Python packages are installed in, by LOCKS: each has a lock of its own.
LAYERS = {
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
PORT = 8000  # the service's
TARGETS = ("workbench", "training", "compute", "desktop", "tools")
PLATFORMS = ("linux/amd64", "linux/arm64")  # the first unless a base image names another
VERSIONS = ("python", "cuda", "cudnn", "hip", "torch", "tensorflow", "onnxruntime")


@dataclass(frozen=True)
class Base:
    """The image of a Debian release, which Dockerfiles start from; wheels are chosen by its C library."""

    name: str
    image: str
    suite: str
    glibc: str
    platform: str

    @property
    def architecture(self) -> str:
        """`arm64`: what docker and Debian call the platform's processor."""
        return self.platform.rpartition("/")[2]

    @property
    def tag(self) -> str:
        """What the engine knows it by: a tag holds one platform, so another one has its own."""
        return self.image if self.platform == PLATFORMS[0] else f"{self.image}-{self.architecture}"


@dataclass(frozen=True)
class Workload:
    """A target of WORKLOADS with its build arguments, and what it stands on: a variant, or another workload."""

    name: str
    target: str
    mode: str
    ports: tuple[int, ...]
    arguments: Mapping[str, str]
    parent: "Workload | None"

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets it holds, the lowest first and its own last."""
        return (*(self.parent.targets if self.parent else ()), self.target)

    def locks(self, accelerator: str) -> list[Path]:
        """Return the lock files of its targets: for all, for an accelerator, and of each toggle that is on."""
        layers = [layer for target in self.targets for layer in LAYERS.get(target, {}).get(target, ())]
        parts = [
            *layers,
            accelerator,
            *(name.lower().replace("_", "-") for name, on in self.arguments.items() if on == "true"),
        ]
        names = (name for target in self.targets for name in (target, *(f"{target}-{part}" for part in parts)))
        files = (ROOT / "requirements" / f"{name}.txt" for name in names)
        return [file for file in files if file.is_file()]


@dataclass(frozen=True)
class Image:
    """One image of the matrix and its contract: a variant, or a workload on one. Sizes are in bytes."""

    family: "Family"
    flavor: str
    least_size: int
    most_size: int
    workload: Workload | None = None
    left_out: bool = False

    @property
    def variant(self) -> str:
        """`cuda-devel`, `cuda-devel-py3.11`: the name of the variant that it is or stands on."""
        return self.family.variant(self.flavor)

    @property
    def name(self) -> str:
        """`cuda-devel`, `cuda-devel-training`: also the tag and the folder of its evidence."""
        return f"{self.variant}-{self.workload.name}" if self.workload else self.variant

    @property
    def below(self) -> str:
        """The name of the image that it stands on; empty for a base flavor."""
        if self.workload:
            return f"{self.variant}-{self.workload.parent.name}" if self.workload.parent else self.variant
        smaller = self.lineage[:-1]
        return self.family.images[smaller[-1]].name if smaller else ""

    @property
    def tag(self) -> str:
        """The local tag, `slipway:cuda-devel`."""
        return f"{self.family.repository}:{self.name}"

    @property
    def session(self) -> str:
        """What follows `build-` and `test-` in the names of its sessions, `cuda(devel)`."""
        return f"workloads({self.name})" if self.workload else f"{self.family.name}({self.flavor})"

    @property
    def dockerfile(self) -> str:
        """The Dockerfile it is built from."""
        return WORKLOADS if self.workload else self.family.dockerfile

    @property
    def target(self) -> str:
        """The stage of its Dockerfile."""
        return self.workload.target if self.workload else self.flavor

    @property
    def arguments(self) -> Mapping[str, str]:
        """The build arguments that make it what it is; a workload's BASE is its variant."""
        if self.workload:
            return {"BASE": f"{self.family.repository}:{self.variant}", **self.workload.arguments}
        deprecated = {"DEPRECATED": str(self.family.deprecated)} if self.family.deprecated else {}
        return {**self.family.arguments, **deprecated}

    @property
    def always(self) -> bool:
        """Whether `nox -s tests` builds and checks it."""
        return self.family.always and not self.left_out

    @property
    def kind(self) -> Mapping[str, str]:
        """The labels that tell it apart from the other images of its sessions."""
        if self.workload:
            return {"accelerator": self.family.accelerator, "flavor": self.flavor, "workload": self.workload.name}
        return {"flavor": self.flavor, "workload": ""}

    @property
    def mode(self) -> str:
        """What a container without a command runs."""
        return self.workload.mode if self.workload else "serve"

    @property
    def ports(self) -> tuple[int, ...]:
        """Where its modes listen, the default mode's port first."""
        return (*(self.workload.ports if self.workload else ()), PORT)

    @property
    def variant_locks(self) -> list[Path]:
        """The lock file of each layer of the variant, the lowest first."""
        layers = (layer for flavor in self.lineage for layer in LAYERS[self.family.accelerator][flavor])
        return [ROOT / "requirements" / f"{self.family.locks}-{layer}.txt" for layer in layers]

    @property
    def lock_text(self) -> str:
        """The variant's locks, one after the other: every Python distribution of the variant."""
        return "".join(file.read_text(encoding="utf-8") for file in self.variant_locks)

    @property
    def locks(self) -> list[Path]:
        """Every lock file that the image is installed from: the variant's, and those of each target on it."""
        return [*self.variant_locks, *(self.workload.locks(self.family.accelerator) if self.workload else ())]

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
        """The folders of tests/images that check it: what every image must be, then its ancestors, then itself.

        A folder such as `torch_runtime` concerns the families that promise that version, `cuda_tensorflow_runtime`
        those of them that have this accelerator.
        """
        accelerator = self.family.accelerator
        kinds = [name for version in self.family.versions for name in (version, f"{accelerator}_{version}")]
        names = ["every", accelerator]
        for flavor in self.lineage:
            names += [flavor, *(f"{kind}_{flavor}" for kind in dict.fromkeys([accelerator, *kinds]))]
        names += self.workload.targets if self.workload else ()
        folders = (ROOT / "tests" / "images" / name for name in names)
        return [folder for folder in folders if folder.is_dir()]


@dataclass(frozen=True)
class Deprecation:
    """Since when a family is kept only for those who still use it, why, and which one takes its place."""

    since: str
    reason: str
    successor: str

    def __str__(self) -> str:
        """Return the sentence that who builds or runs it is told, after `is` and without a full stop."""
        return f"deprecated since {self.since}: {self.reason}; use {self.successor} instead"


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
    deprecated: Deprecation | None
    base: Base
    always: bool
    unavailable: Mapping[str, str]
    not_on: Mapping[str, str]
    images: Mapping[str, Image]

    def variant(self, flavor: str) -> str:
        """Return the name of a flavor's image: the flavor stands before the Python version."""
        accelerator, *python = self.name.split("-")
        return "-".join((accelerator, flavor, *python))

    def why_not(self, flavor: str) -> str:
        """Return the sentence that who asks for an unavailable flavor is told."""
        return f"there is no {self.variant(flavor)}: {self.unavailable[flavor]}"


@dataclass(frozen=True)
class Scan:
    """What a scan may rest on: the age in days of its database and of the locks, and what no database knows."""

    database_days: int
    lock_days: int
    unknown: Mapping[str, str]


@dataclass(frozen=True)
class Matrix:
    """All of images.toml."""

    repository: str
    release: str
    source: str
    apt_date: str
    free_disk_gb: int
    scan: Scan
    bases: Mapping[str, Base]
    families: Mapping[str, Family]
    workloads: tuple[Image, ...]

    @property
    def base(self) -> Base:
        """The base of every family that names no other: the first of the file."""
        return next(iter(self.bases.values()))

    @property
    def variants(self) -> list[Image]:
        """The image of each flavor of each family, in the order of the file."""
        return [image for family in self.families.values() for image in family.images.values()]

    @property
    def images(self) -> list[Image]:
        """Every image, in the order of the file: the variants, then the workloads."""
        return [*self.variants, *self.workloads]

    def on_platform(self, image: Image, platform: str) -> Image:
        """Return an image's counterpart for a platform; SlipwayError says why there is none."""
        family = image.family
        if platform == family.base.platform:
            return image
        if platform not in PLATFORMS:
            raise SlipwayError(f"there is no platform {platform!r}; choose one of {', '.join(PLATFORMS)}")
        if image.workload:
            raise SlipwayError(f"there is no {image.name} for {platform}: workloads are built for {PLATFORMS[0]} alone")
        other = self.families.get(f"{family.name}-{platform.rpartition('/')[2]}")
        if other is None:
            reason = family.not_on.get(platform, "images.toml has no family of it")
            raise SlipwayError(f"there is no {image.name} for {platform}: {reason}")
        if image.flavor not in other.images:
            raise SlipwayError(other.why_not(image.flavor))
        return other.images[image.flavor]

    def image(self, name: str) -> Image:
        """Return the image of a name such as `cuda-devel`; SlipwayError lists the names there are."""
        images = {image.name: image for image in self.images}
        for family in self.families.values():
            for flavor in family.unavailable:
                if name == family.variant(flavor):
                    raise SlipwayError(family.why_not(flavor))
        if name not in images:
            raise SlipwayError(f"there is no image {name!r} in images.toml; choose one of {', '.join(images)}")
        return images[name]


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


def read_bases(table: Table) -> dict[str, Base]:
    """Return the base images, one for each Debian release; the first is the default."""
    if not table.content:
        raise SlipwayError("images.toml: there is no [base.NAME] table; name at least one")
    bases = {}
    for name in table.content:
        row = table.table(name)
        row.only("image", "suite", "glibc", "platform")
        bases[name] = Base(
            name=name,
            image=row.text("image", r"[\w./:@-]+", 'an image reference such as "debian:trixie-slim"'),
            suite=row.text("suite", r"[a-z]+", 'a Debian suite such as "trixie"'),
            glibc=row.text("glibc", r"2\.\d+", 'the version of its C library, such as "2.36"'),
            platform=row.choice("platform", PLATFORMS) if "platform" in row.content else PLATFORMS[0],
        )
    return bases


def read_unavailable(table: Table, flavors: Table) -> dict[str, str]:
    """Return the flavors that a family cannot have, each with the reason."""
    unavailable = table.table("unavailable")
    unavailable.only(*(flavor for flavor in FLAVORS if flavor not in flavors.content))
    for flavor in unavailable.content:
        unavailable.text(flavor, r"\S.*[^\s.]", "one line that says why, without a full stop")
    return unavailable.content


def read_not_on(table: Table) -> dict[str, str]:
    """Return the platforms that a family cannot be had for, each with the reason."""
    not_on = table.table("not_on")
    not_on.only(*PLATFORMS)
    for platform in not_on.content:
        not_on.text(platform, r"\S.*[^\s.]", "one line that says why, without a full stop")
    return not_on.content


def read_strings(table: Table) -> dict[str, str]:
    """Return a table whose values are all strings."""
    for key in table.content:
        table.text(key, r".+", "a string in quotes")
    return table.content


def read_architectures(table: Table, accelerator: str) -> tuple[str, ...]:
    """Return the GPU architectures that a compiler must serve; a CPU family has none."""
    value = table.content.get("architectures", [])
    pattern = {"cuda": r"sm_\d+[af]?", "rocm": r"gfx[0-9a-f]+"}.get(accelerator)
    names = isinstance(value, list) and all(isinstance(n, str) for n in value)
    if not names or (value and not pattern) or not all(re.fullmatch(str(pattern), n) for n in value):
        raise table.fail("architectures", 'a list such as ["sm_80", "sm_90"], and only in a family with a GPU')
    return tuple(value)


def read_deprecation(table: Table) -> Deprecation | None:
    """Return since when and why a family is deprecated, None when it is not."""
    if "deprecated" not in table.content:
        return None
    row = table.table("deprecated")
    row.only("since", "reason", "successor")
    return Deprecation(
        since=read_date(row, "since"),
        reason=row.text("reason", r"\S.*[^\s.]", "one line that says why, without a full stop"),
        successor=row.text("successor", r"\S+", "the name of another family"),
    )


def require_successors(families: Table, rows: Mapping[str, Family]) -> None:
    """Refuse a deprecated family whose successor is no other family, or is deprecated itself."""
    current = [family.name for family in rows.values() if not family.deprecated]
    for family in rows.values():
        if family.deprecated:
            families.table(family.name).table("deprecated").choice("successor", current)


FAMILY = (
    "dockerfile",
    "accelerator",
    "base",
    "locks",
    "arguments",
    "versions",
    "architectures",
    "always",
    "deprecated",
    "unavailable",
    "not_on",
    "flavor",
)


def read_always(table: Table) -> bool:
    """Return whether `nox -s tests` takes it in; true when nothing is said."""
    value = table.content.get("always", True)
    if not isinstance(value, bool):
        raise table.fail("always", "true, or false: `nox -s tests` leaves it out")
    return value


def read_family(name: str, table: Table, repository: str, bases: Mapping[str, Base]) -> Family:
    """Return one family and its images."""
    table.only(*FAMILY)
    accelerator = table.choice("accelerator", ACCELERATORS)
    versions = table.table("versions")
    versions.only(*VERSIONS)
    base = bases[table.choice("base", bases)] if "base" in table.content else next(iter(bases.values()))
    python = re.escape(str(versions.content.get("python")))
    platform = "" if base.platform == PLATFORMS[0] else f"-{base.architecture}"
    if not re.fullmatch(rf"{accelerator}(\d+\.\d+)?(-py{python})?{platform}", name):
        raise SlipwayError(
            f"images.toml: {table.name} must be named {accelerator}, or {accelerator} and a version; "
            "-py and its Python's version may follow" + (f", and {platform} must" if platform else "")
        )
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
        deprecated=read_deprecation(table),
        base=base,
        always=read_always(table),
        unavailable=read_unavailable(table, table.table("flavor")),
        not_on=read_not_on(table),
        images=images,
    )
    images.update(read_images(family, table.table("flavor")))
    return family


def read_arguments(table: Table) -> dict[str, str]:
    """Return build arguments, NAME = "value"."""
    for key in table.content:
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", key):
            raise SlipwayError(
                f"images.toml: {table.name} has the key {key!r}; a build argument is written in capitals"
            )
    return read_strings(table)


def read_ports(table: Table) -> list[int]:
    """Return the ports that a workload adds, its default mode's first."""
    value = table.content.get("ports", [])
    if not isinstance(value, list) or not all(type(port) is int and 0 < port < 2**16 for port in value):
        raise table.fail("ports", "a list of port numbers, its default mode's first")
    return value


def read_workload(name: str, table: Table, known: Mapping[str, Workload]) -> Workload:
    """Return one workload; the one that it stands on is written above it."""
    table.only("target", "stands_on", "mode", "ports", "arguments", "on")
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise SlipwayError(f"images.toml: {table.name} must be named in lower-case letters, digits and -")
    parent = table.choice("stands_on", known) if "stands_on" in table.content else ""
    return Workload(
        name=name,
        target=table.choice("target", TARGETS),
        mode=table.text("mode", r"[a-z-]+", "the name of its default mode"),
        ports=(*read_ports(table), *(known[parent].ports if parent else ())),
        arguments=read_arguments(table.table("arguments")),
        parent=known[parent] if parent else None,
    )


def read_workloads(table: Table, variants: Mapping[str, Image]) -> Iterator[Image]:
    """Yield the image of each workload on each variant that its table names."""
    known: dict[str, Workload] = {}
    for name in table.content:
        row = table.table(name)
        known[name] = read_workload(name, row, known)
        on = row.table("on")
        on.only(*variants)
        for variant in on.content:
            own = on.table(variant)
            own.only("size_gb", "always")
            least, most = read_size(own)
            left_out = not read_always(own)
            yield replace(variants[variant], least_size=least, most_size=most, workload=known[name], left_out=left_out)


def read_days(table: Table, key: str) -> int:
    """Return a number of days."""
    value = table.content.get(key)
    if type(value) is not int or value < 1:
        raise table.fail(key, "a whole number of days, at least 1")
    return value


def read_scan(table: Table) -> Scan:
    """Return the limits of scans."""
    table.only("database_days", "lock_days", "unknown")
    unknown = table.table("unknown")
    for kind in unknown.content:
        unknown.text(kind, r"\S.*[^\s.]", "one line that says why, without a full stop")
    return Scan(read_days(table, "database_days"), read_days(table, "lock_days"), unknown.content)


def read_matrix(text: str) -> Matrix:
    """Return the matrix of a TOML text; SlipwayError names the table, the key and what is allowed."""
    try:
        top = Table("the top level", tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SlipwayError(f"images.toml is not valid TOML: {error}") from None
    tables = ("scan", "base", "family", "workload", "licences")
    top.only("repository", "release", "source", "apt_date", "free_disk_gb", *tables)
    bases = read_bases(top.table("base"))
    repository = top.text("repository", r"[a-z0-9]+([._/-][a-z0-9]+)*", "a lower-case repository name without a tag")
    families = top.table("family")
    if not families.content:
        raise SlipwayError("images.toml: there is no [family.NAME] table; name at least one")
    free = top.content.get("free_disk_gb")
    if not isinstance(free, int) or isinstance(free, bool) or free < 1:
        raise top.fail("free_disk_gb", "a whole number of GB, at least 1")
    rows = {name: read_family(name, families.table(name), repository, bases) for name in families.content}
    require_successors(families, rows)
    # The locks of workloads are for the default base's Python and platform.
    default = (family for family in rows.values() if family.base == next(iter(bases.values())))
    below_workloads = {image.name: image for family in default for image in family.images.values()}
    return Matrix(
        repository=repository,
        release=top.text("release", r"\d+\.\d+\.\d+", 'a version such as "1.2.3"'),
        source=top.text("source", r"https?://\S+", "a URL"),
        apt_date=read_date(top, "apt_date"),
        free_disk_gb=free,
        scan=read_scan(top.table("scan")),
        bases=bases,
        families=rows,
        workloads=tuple(read_workloads(top.table("workload"), below_workloads)),
    )


def load(file: Path = FILE) -> Matrix:
    """Return the matrix of this repository; SlipwayError when the file is missing or wrong."""
    try:
        return read_matrix(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SlipwayError(f"{file} is missing; it is part of the repository: git checkout -- images.toml") from None
    except UnicodeDecodeError as error:
        raise SlipwayError(f"images.toml is not UTF-8 text: {error}") from None


def main(words: list[str] | None = None) -> int:
    """Print the rows of the matrix as JSON, as a CI system wants them."""
    parser = argparse.ArgumentParser(prog="python -m slipway.matrix", description=__doc__.partition("\n")[0])
    parser.add_argument("--all", action="store_true", help="also images that `nox -s tests` leaves out")
    everything = parser.parse_args(words).all
    images = [image for image in load().images if image.always or everything]
    rows = [{"image": i.name, "session": i.session, "platform": i.family.base.platform} for i in images]
    print(json.dumps({"include": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
