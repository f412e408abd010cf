"""Builds images twice without cache and compares their layers.

The second build is later, and of a copy of the files in another folder, with the modes that umask 077 gives on a file
system where every file is a program; as root, also with another owner. Both use the cache mounts of downloads.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from slipway import docker, repository, results
from slipway.build import bake, images
from slipway.build.commit import list_context
from slipway.build.dockerfiles import read_each_dockerfile
from slipway.build.record import REPRODUCED, remove_tags
from slipway.errors import SlipwayError, run
from slipway.host import downloads, setup
from slipway.image import saved_image
from slipway.image.layer_tar import OPAQUE
from slipway.image.layers import Entry, Kind, Layer
from slipway.matrix import Image, Matrix, load_matrix
from slipway.tables import escape

MODE, OWNER = 0o700, 12345
MOST = 20  # differences of a layer that are printed
ASPECTS: dict[str, Callable[[Entry], str]] = {
    "kind": lambda entry: entry.kind,
    "content": lambda entry: f"{entry.size} bytes {entry.sha256[:12]}",
    "target": lambda entry: entry.target,
    "mode": lambda entry: f"{entry.mode:04o}",
    "owner": lambda entry: f"{entry.uid}:{entry.gid}",
    "date": lambda entry: f"{datetime.fromtimestamp(entry.mtime, UTC):%Y-%m-%d %H:%M:%S}",
    "extended attributes": lambda entry: entry.xattrs,
}


# --- the comparison ------------------------------------------------------------------------------


def compare_layers(first: Layer, second: Layer) -> list[str]:
    """Return a line for each difference of two layers whose diff IDs differ."""
    # A layer may have a directory and the mark that empties it.
    paths = [
        {f"{each.path}/{OPAQUE}" if each.kind is Kind.OPAQUE else each.path: each for each in layer.entries}
        for layer in (first, second)
    ]
    found = [
        f"{path}  {difference}"
        for path in sorted(paths[0] | paths[1])
        for difference in compare_entries(*(entries.get(path) for entries in paths))
    ]
    return found or ["the order of the entries, fractions of a second, or values of extended attributes"]


def compare_entries(first: Entry | None, second: Entry | None) -> Iterator[str]:
    """Yield what differs between the entries of a path; None where a build has none."""
    if first is None or second is None:
        yield f"only in the {'second' if first is None else 'first'} build"
        return
    for name, show in ASPECTS.items():
        if show(first) != show(second):
            yield f"{name}: {show(first)}, {show(second)}"


def find_lines(image: Image, recorded: str) -> str:
    """Return the places of an instruction in the Dockerfiles of an image, `Dockerfile.cpu:87`; several may be alike."""
    files = read_each_dockerfile(image).items()
    places = [f"{name}:{line}" for name, file in files for line in file.find_lines(recorded)]
    return ", ".join(places) or "no line of the Dockerfiles"


def compare_images(image: Image, first: Sequence[Layer], second: Sequence[Layer]) -> list[str]:
    """Return the lines about each layer that differs between two builds of an image."""
    if len(first) != len(second):
        return [f"{len(first)} layers, {len(second)} layers"]
    lines = []
    for number, pair in enumerate(zip(first, second, strict=True), 1):
        if pair[0].diff_id == pair[1].diff_id:
            continue
        made = pair[0].created_by
        lines.append(f"layer {number} of {len(first)}, {find_lines(image, made)}: {' '.join(made.split())[:100]}")
        found = compare_layers(*pair)
        lines += [f"    {line}" for line in found[:MOST]]
        lines += [f"    and {len(found) - MOST:,} more"] if len(found) > MOST else []
    return lines


def compare_builds(image: Image, first: str, second: str) -> list[str]:
    """Return the lines about the differences of two tags, whose layers are only read if their diff IDs differ."""
    diff_ids = [docker.require_image(tag)["RootFS"]["Layers"] for tag in (first, second)]
    if diff_ids[0] == diff_ids[1]:
        return []
    return compare_images(image, saved_image.read_image(first).layers, saved_image.read_image(second).layers)


# --- the builds ----------------------------------------------------------------------------------


def copy_context(image: Image, folder: Path) -> None:
    """Copy the files that the builds of an image read, with their modes."""
    for name in list_context(image):
        source, target = repository.ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        elif source.exists():
            shutil.copy(source, target)


def change_rights(folder: Path) -> None:
    """Give all files of a folder other modes and, as root, another owner."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(MODE)
        if os.geteuid() == 0:
            os.chown(path, OWNER, OWNER, follow_symlinks=False)


def build_image(matrix: Matrix, image: Image, folder: Path, tag: str) -> None:
    """Build an image without cache from the files of a folder; SlipwayError when that fails."""
    settings = downloads.find(image.variant.distro.suite)
    definition = bake.make_definition(matrix, [image])
    definition["target"][bake.name_target(image)] |= {"context": str(folder), "tags": [tag], "no-cache": True}
    command = ["docker", "buildx", "bake", f"--builder={docker.own_builder()}", "--file=-"]
    built = subprocess.run(
        [*command, *bake.pass_settings(settings)],
        env=docker.make_environment(settings.environment()),
        input=json.dumps(definition),
        text=True,
        check=False,
    )
    if built.returncode:
        raise SlipwayError(f"{image.name} was not built from {folder}; docker says why above")


def reproduce(matrix: Matrix, image: Image) -> list[str]:
    """Build an image twice; return the lines about their differences."""
    if image.workload:
        images.require_built(matrix.find_image(image.variant_image))
    setup.prepare_build(matrix, image, refresh=False)
    first, second = (f"{image.tag}{end}" for end in REPRODUCED)
    with results.exclusive(image), tempfile.TemporaryDirectory(prefix="slipway-") as folder:
        try:
            build_image(matrix, image, repository.ROOT, first)
            copy_context(image, Path(folder) / "copy")
            change_rights(Path(folder) / "copy")
            build_image(matrix, image, Path(folder) / "copy", second)
            return compare_builds(image, first, second)
        finally:
            remove_tags(first, second)


def main(words: Sequence[str] | None = None) -> int:
    """Print for each image whether its layers are the same, or what differs; return 1 where something does."""
    parser = argparse.ArgumentParser(prog="nox -s reproduce --", description=__doc__)
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="an image of images.toml, such as cpu-base")
    matrix = load_matrix()
    chosen = [matrix.find_image(name) for name in parser.parse_args(words).images]
    found = {image.name: reproduce(matrix, image) for image in chosen}
    for name, lines in found.items():
        print(f"{name}: two builds have {'different' if lines else 'the same'} layers", *map(escape, lines), sep="\n")
    return int(any(found.values()))


if __name__ == "__main__":
    run(main)
