"""The matrix of images.toml: variants, flavors and images, strictly validated.

    python -m slipway.matrix [--all | --release TAG] [--names] [IMAGE...]

prints one JSON object for each image, for CI: those named, or of `nox -s tests`, or all, or those of a release.
"""

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from slipway import repository
from slipway.errors import SlipwayError, run, suggest
from slipway.images_toml import LAYERS, PLATFORMS, Deprecation, Distro, ImagesToml, VariantTable, WorkloadTable
from slipway.toml import join_names, read_toml, require_choice

FILE = repository.ROOT / "images.toml"
WORKLOADS = "Dockerfile"  # the one that has a stage for each target
PORT = 8000  # the service's
PLACEHOLDER = "example.com"  # the host of `source` until a team names its own


@dataclass(frozen=True)
class Workload:
    """A target of WORKLOADS with its build arguments, and its parent workload, if any."""

    name: str
    target: str
    mode: str
    ports: tuple[int, ...]
    arguments: Mapping[str, str]
    parent: "Workload | None"

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets it contains, in the order of their layers."""
        return (*(self.parent.targets if self.parent else ()), self.target)

    def list_locks(self, accelerator: str) -> list[Path]:
        """Return the lock files of its targets: for all, for an accelerator, and of each toggle that is on."""
        layers = [layer for target in self.targets for layer in LAYERS.get(target, {}).get(target, ())]
        parts = [
            *layers,
            accelerator,
            *(name.lower().replace("_", "-") for name, on in self.arguments.items() if on == "true"),
        ]
        names = (name for target in self.targets for name in (target, *(f"{target}-{part}" for part in parts)))
        files = (repository.ROOT / "requirements" / f"{name}.txt" for name in names)
        return [file for file in files if file.is_file()]


@dataclass(frozen=True)
class Image:
    """An image of the matrix and its contract: a variant's, or a workload's. Sizes are in bytes."""

    variant: "Variant"
    flavor: str
    least_size: int
    most_size: int
    workload: Workload | None = None
    in_tests: bool = True

    @property
    def variant_image(self) -> str:
        """The name of the variant's image that it is, or is built on: `cuda-devel`, `cuda-devel-py3.11`."""
        return self.variant.name_image(self.flavor)

    @property
    def name(self) -> str:
        """Its name, tag and folder of results: `cuda-devel`, `cuda-devel-training`."""
        return f"{self.variant_image}-{self.workload.name}" if self.workload else self.variant_image

    @property
    def parent(self) -> str:
        """The name of the image in FROM; empty for a base flavor."""
        if self.workload:
            return f"{self.variant_image}-{self.workload.parent.name}" if self.workload.parent else self.variant_image
        smaller = self.flavors[:-1]
        return self.variant.images[smaller[-1]].name if smaller else ""

    @property
    def tag(self) -> str:
        """The local tag, `slipway:cuda-devel`."""
        return f"{self.variant.repository}:{self.name}"

    @property
    def dockerfile(self) -> str:
        """The Dockerfile it is built from."""
        return WORKLOADS if self.workload else self.variant.dockerfile

    @property
    def target(self) -> str:
        """The stage of its Dockerfile."""
        return self.workload.target if self.workload else self.flavor

    @property
    def arguments(self) -> Mapping[str, str]:
        """The build arguments; a workload's BASE is its variant's image."""
        if self.workload:
            return {"BASE": f"{self.variant.repository}:{self.variant_image}", **self.workload.arguments}
        deprecated = {"DEPRECATED": str(self.variant.deprecated)} if self.variant.deprecated else {}
        return {**self.variant.arguments, **deprecated}

    @property
    def mode(self) -> str:
        """The mode that a container without a command runs."""
        return self.workload.mode if self.workload else "serve"

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports of its modes, the default mode's first."""
        return (*(self.workload.ports if self.workload else ()), PORT)

    @property
    def variant_locks(self) -> list[Path]:
        """The lock file of each layer of the variant, the lowest first."""
        layers = (layer for flavor in self.flavors for layer in LAYERS[self.variant.accelerator][flavor])
        return [repository.ROOT / "requirements" / f"{self.variant.locks}-{layer}.txt" for layer in layers]

    @property
    def locks(self) -> list[Path]:
        """Every lock file that the image is installed from: the variant's, and those of each target on it."""
        return [*self.variant_locks, *(self.workload.list_locks(self.variant.accelerator) if self.workload else ())]

    @property
    def results(self) -> Path:
        """The folder of all results about this image: records, SBOMs, reports."""
        return repository.ROOT / "dist" / self.name

    @property
    def flavors(self) -> tuple[str, ...]:
        """The flavors it contains, the smallest first and its own last."""
        all_flavors = tuple(self.variant.images)
        return all_flavors[: all_flavors.index(self.flavor) + 1]


@dataclass(frozen=True)
class Variant:
    """An accelerator in one version, with its flavors in the order in which they are built on each other."""

    name: str
    repository: str
    dockerfile: str
    accelerator: str
    locks: str
    arguments: Mapping[str, str]
    versions: Mapping[str, str]
    architectures: tuple[str, ...]
    deprecated: Deprecation | None
    distro: Distro
    excluded: Mapping[str, str]
    images: Mapping[str, Image]

    @property
    def gpu(self) -> str:
        """The GPU architecture that its name has, where it is for one; empty for another variant."""
        return next((name for name in self.architectures if f"-{name}" in self.name), "")

    def name_image(self, flavor: str) -> str:
        """Return the name of a flavor's image: the flavor comes before the GPU and the Python version."""
        accelerator, *python = self.name.split("-")
        return "-".join((accelerator, flavor, *python))

    def explain_exclusion(self, flavor: str) -> str:
        """Return why there is no image of an excluded flavor."""
        return f"there is no {self.name_image(flavor)}: {self.excluded[flavor]}"


@dataclass(frozen=True)
class Matrix:
    """All of images.toml."""

    repository: str
    release: str
    source: str
    apt_date: str
    results_days: int
    free_disk_gb: int
    published: tuple[Image, ...]
    distros: Mapping[str, Distro]
    variants: Mapping[str, Variant]
    workloads: tuple[Image, ...]

    @property
    def default_distro(self) -> Distro:
        """The distro of each variant that names none: the first of the file."""
        return next(iter(self.distros.values()))

    @property
    def variant_images(self) -> list[Image]:
        """The image of each flavor of each variant, in the order of the file."""
        return [image for variant in self.variants.values() for image in variant.images.values()]

    @property
    def images(self) -> list[Image]:
        """Every image, in the order of the file: those of variants, then those of workloads."""
        return [*self.variant_images, *self.workloads]

    def list_released(self, tag: str) -> list[Image]:
        """Return the images that a release publishes; SlipwayError unless the tag and `source` fit it."""
        if tag != f"v{self.release}":
            raise SlipwayError(f"the tag {tag} is not v{self.release}: {FILE.name} has release = {self.release!r}")
        if urlsplit(self.source).hostname == PLACEHOLDER:
            raise SlipwayError(f"{FILE.name}: source is still {self.source}; name the place of this repository")
        return list(self.published)

    def find_for_platform(self, image: Image, platform: str) -> Image:
        """Return an image's counterpart for a platform; SlipwayError says why there is none."""
        variant = image.variant
        if platform == variant.distro.platform:
            return image
        if platform not in PLATFORMS:
            raise SlipwayError(f"there is no platform {platform!r}; choose one of {', '.join(PLATFORMS)}")
        if image.workload:
            raise SlipwayError(f"there is no {image.name} for {platform}: workloads are built for {PLATFORMS[0]} alone")
        other = self.variants.get(f"{variant.name}-{platform.rpartition('/')[2]}")
        if other is None:
            reason = variant.excluded.get(platform, "images.toml has no variant of it")
            raise SlipwayError(f"there is no {image.name} for {platform}: {reason}")
        if image.flavor not in other.images:
            raise SlipwayError(other.explain_exclusion(image.flavor))
        return other.images[image.flavor]

    def find_image(self, name: str) -> Image:
        """Return the image of a name such as `cuda-devel`; SlipwayError gives the reason or close names."""
        images = {image.name: image for image in self.images}
        if name in images:
            return images[name]
        for variant in self.variants.values():
            for flavor in variant.excluded:
                if name == variant.name_image(flavor):
                    raise SlipwayError(variant.explain_exclusion(flavor))
        close = suggest(name.lower().replace("_", "-"), images) or ";"
        raise SlipwayError(f"there is no image {name!r}{close} `nox -s matrix -- --all` lists all")


def check_variant_name(name: str, row: VariantTable, distro: Distro) -> None:
    """Raise SlipwayError for a name that does not contain the variant's accelerator, GPU, Python and platform."""
    python = re.escape(str(row.versions.get("python")))
    platform = "" if distro.platform == PLATFORMS[0] else f"-{distro.architecture}"
    gpu = f"(-{row.architectures[0]})?" if len(row.architectures) == 1 else ""
    if not re.fullmatch(rf"{row.accelerator}(\d+\.\d+)?{gpu}(-py{python})?{platform}", name):
        raise SlipwayError(
            f"{FILE.name}: {join_names(['variant', name])} must be named {row.accelerator}, or {row.accelerator} and a "
            f"version; {'its GPU, and ' if gpu else ''}-py and its Python's version may follow"
            + (f", and {platform} must" if platform else "")
        )


def make_variants(content: ImagesToml) -> dict[str, Variant]:
    """Return the variants by name, with their images; SlipwayError for a name that refers to nothing."""
    current = [name for name, row in content.variant.items() if not row.deprecated]
    variants = {}
    for name, row in content.variant.items():
        distro_name = row.distro or next(iter(content.distro))
        require_choice(FILE.name, ("variant", name, "distro"), distro_name, content.distro)
        distro = content.distro[distro_name]
        check_variant_name(name, row, distro)
        if row.deprecated:
            place = ("variant", name, "deprecated", "successor")
            require_choice(FILE.name, place, row.deprecated.successor, current)
        fields = {key: value for key, value in row if key not in ("distro", "flavor")}
        images: dict[str, Image] = {}
        variants[name] = Variant(name=name, repository=content.repository, distro=distro, images=images, **fields)
        for flavor, own in row.flavor.items():
            images[flavor] = Image(variants[name], flavor, *count_bytes(own.size_gb), in_tests=own.in_tests)
    return variants


def count_bytes(size_gb: tuple[float, float]) -> tuple[int, int]:
    """Return the least and the most bytes of a budget in GB."""
    return round(size_gb[0] * 1e9), round(size_gb[1] * 1e9)


def make_workloads(rows: Mapping[str, WorkloadTable], variant_images: Mapping[str, Image]) -> Iterator[Image]:
    """Yield the image of each workload on each variant's image that it names; SlipwayError for unknown names."""
    known: dict[str, Workload] = {}
    for name, row in rows.items():
        if row.parent is not None:
            require_choice(FILE.name, ("workload", name, "parent"), row.parent, known)
        parent = known[row.parent] if row.parent else None
        ports = (*row.ports, *(parent.ports if parent else ()))
        known[name] = Workload(name, row.target, row.mode, ports, row.arguments, parent)
        for variant_name, own in row.on.items():
            if variant_name not in variant_images:
                place = join_names(["workload", name, "on"])
                allowed = ", ".join(variant_images)
                raise SlipwayError(f"{FILE.name}: {place} has an unknown key {variant_name!r}; allowed: {allowed}")
            below = variant_images[variant_name]
            least, most = count_bytes(own.size_gb)
            in_tests = below.in_tests and own.in_tests
            yield replace(below, least_size=least, most_size=most, workload=known[name], in_tests=in_tests)


def make_matrix(content: ImagesToml) -> Matrix:
    """Return the matrix of the content of images.toml; SlipwayError for a name that refers to nothing."""
    variants = make_variants(content)
    # The locks of workloads are for the default distro's Python and platform.
    default = next(iter(content.distro.values()))
    images = {i.name: i for v in variants.values() if v.distro == default for i in v.images.values()}
    fields = {key: value for key, value in content if key not in ("distro", "variant", "workload", "published")}
    workloads = tuple(make_workloads(content.workload, images))
    whole = Matrix(distros=content.distro, variants=variants, workloads=workloads, published=(), **fields)
    for name in content.published:
        require_choice(FILE.name, ("published",), name, [image.name for image in whole.images])
    return replace(whole, published=tuple(image for image in whole.images if image.name in content.published))


@cache
def load_matrix(file: Path = FILE) -> Matrix:
    """Return the matrix of images.toml, read once in a process; SlipwayError when it is missing or wrong."""
    return make_matrix(read_toml(file, ImagesToml))


def main(words: list[str] | None = None) -> int:
    """Print the images as JSON for a CI system's matrix."""
    parser = argparse.ArgumentParser(prog="python -m slipway.matrix", description=__doc__.partition("\n")[0])
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--all", action="store_true", help="also images that `nox -s tests` leaves out")
    chosen.add_argument("--release", metavar="TAG", help="those to publish; an error unless the tag fits images.toml")
    parser.add_argument("--names", action="store_true", help="only the names, in one line")
    parser.add_argument("images", metavar="IMAGE", nargs="*", help="these alone")
    options, matrix = parser.parse_args(words), load_matrix()
    images = [matrix.find_image(name) for name in options.images]
    images = images or [image for image in matrix.images if image.in_tests or options.all]
    if options.release:
        images = matrix.list_released(options.release)
    listed = [{"image": image.name, "platform": image.variant.distro.platform} for image in images]
    print(" ".join(image.name for image in images) if options.names else json.dumps({"include": listed}))
    return 0


if __name__ == "__main__":
    run(main)
