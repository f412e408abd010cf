"""What users pull when one package of an image is updated: the compressed layers that only the new image has.

For each lock that an image has and its parent has not, the first package that has an older release is put back to it,
and the image is built again. No large layer but that package's is to change.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.utils import canonicalize_name

from slipway import files
from slipway.bench import timing
from slipway.bench.build_times import temporary_builds, time_bake
from slipway.bench.figures import Figure, Goal
from slipway.build.locks import list_variant_locks, list_workload_locks, resolve_lock
from slipway.build.reproduce import copy_context
from slipway.errors import SlipwayError
from slipway.host import downloads
from slipway.image import saved_image
from slipway.matrix import Image, Matrix
from slipway.publish import oci_layout
from slipway.python_locks import Requirement, read_lock

GOAL = Goal(1.05, "ratio")


def measure_updates(matrix: Matrix, image: Image) -> Iterator[Figure]:
    """Yield for each lock the MB to pull after a package has changed, beside those of the layer that holds it."""
    before = pack_layers(image.tag)
    whole = sum(size for _, size in before) / 1e6
    for lock in image.workload.list_locks(image.variant.accelerator) if image.workload else image.variant_locks:
        timing.print_progress(f"updating a package of {lock.name} in {image.name}")
        package, older = find_older(image, lock)
        after = rebuild(matrix, image, lock, package.text, older.text)
        new = sum(size for _, size in {*after} - {*before}) / 1e6
        note = f"{package.name} {older.version} for {package.version}; the image is {whole:,.0f} MB"
        own = before[find_layer(image.tag, package)][1] / 1e6
        yield Figure(f"update {lock.stem}, {image.name}", new, "MB", own, "its layer", goal=GOAL, note=note)


def find_older(image: Image, lock: Path) -> tuple[Requirement, Requirement]:
    """Return the first package of a lock that has an older release, and that release with its hashes."""
    known = (*list_variant_locks(image.variant), *list_workload_locks())
    [options] = [each.options for each in known if each.file == lock]
    with files.temporary_folder() as folder:
        file = Path(folder, "older.in")
        for package in read_lock(lock):
            file.write_text(f"{package.name}<{package.version}\n", encoding="utf-8")
            try:
                text = resolve_lock([str(file)], (), ("--no-deps", *options), f"an older {package.name}")
            except SlipwayError:
                continue  # uv has said that there is none
            file.write_text(text, encoding="utf-8")
            [older] = read_lock(file)
            return package, older
    raise SlipwayError(f"uv finds no older release of any package of {lock.name}; its messages are above")


def rebuild(matrix: Matrix, image: Image, lock: Path, old: str, new: str) -> list[tuple[str, int]]:
    """Build an image with lines of a lock replaced; return its layers as `pack_layers` does."""
    settings = downloads.find(image.variant.distro.suite)
    with files.temporary_folder() as folder, temporary_builds(matrix, [image], context=folder) as definition:
        copy_context(image, Path(folder))
        copy = Path(folder, "requirements", lock.name)
        copy.write_text(copy.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
        time_bake(definition, settings)
        [target] = definition["target"].values()
        return pack_layers(target["tags"][0])


def pack_layers(tag: str) -> list[tuple[str, int]]:
    """Return the digest and the bytes of each layer of an image, compressed as `publish` does, the lowest first."""
    if not (local := oci_layout.inspect_image(tag)):
        raise SlipwayError(f"{tag} is gone; build it again")
    with oci_layout.temporary_layout() as layout:
        return [(digest, layout.sizes[digest]) for digest in oci_layout.pack_image(local, layout).layers]


def find_layer(tag: str, package: Requirement) -> int:
    """Return the number of the layer that holds a package."""
    for number, layer in enumerate(saved_image.read_image(tag).layers):
        if package.name in list_packages(entry.path for entry in layer.entries):
            return number
    raise SlipwayError(f"no layer of {tag} has {package.name}")


def list_packages(paths: Iterable[str]) -> list[str]:
    """Return the names of the Python packages whose metadata are among files."""
    folders = (path.rsplit("/", 2)[-2] for path in paths if path.endswith(".dist-info/METADATA"))
    return [canonicalize_name(folder.partition("-")[0]) for folder in folders]
