"""Removes what Slipway made on this machine, and nothing else.

    python -m slipway.build.clean

The images of the matrix, BuildKit's records of their RUN steps and cache mounts, dist/, and
Slipway's folder of the user's cache. The engine, the base image and what users keep in volumes stay.
"""

import argparse
import shutil
from pathlib import Path

from slipway import docker, repository
from slipway.build.build_cache import Records, add_children, add_steps_below, find_steps, read_records, remove_records
from slipway.build.dockerfiles import Dockerfiles
from slipway.build.record import TAG_ENDS
from slipway.errors import run
from slipway.matrix import Matrix, load_matrix

DEVCONTAINER = "-devcontainer"  # the end of the tags that .devcontainer/image makes


def remove_images(matrix: Matrix) -> None:
    """Remove the tags of the matrix; the engine deletes images without any other tag."""
    present = docker.output("image", "ls", "--format={{.Repository}}:{{.Tag}}").split()
    names = {f"{image.tag}{end}" for image in matrix.images for end in ("", DEVCONTAINER, *TAG_ENDS)}
    broken = f"{matrix.repository}-sabotage/"  # left behind by a run that was killed
    for tag in sorted(tag for tag in present if tag in names or tag.startswith(broken)):
        docker.output("image", "rm", "--force", tag)
        print(f"image {tag}")


def find_own(records: Records) -> set[str]:
    """Return the records of the repository's Dockerfiles: their steps, with parents and children."""
    texts = [file.read_text(encoding="utf-8") for file in repository.ROOT.glob("Dockerfile*")]
    return add_children(records, add_steps_below(records, find_steps(records, Dockerfiles(texts))))


def remove_build_cache() -> None:
    """Remove the records of the repository's Dockerfiles."""
    records = read_records()
    remove_records(records, find_own(records))
    print(f"build cache: {len(records) - len(read_records())} records")


def remove_folder(folder: Path) -> None:
    """Delete a folder that only Slipway writes to."""
    if folder.is_dir():
        shutil.rmtree(folder)
        print(folder)


def main() -> int:
    """Remove everything and print it."""
    remove_images(load_matrix())
    remove_build_cache()
    remove_folder(repository.ROOT / "dist")
    remove_folder(repository.cache_folder())
    return 0


if __name__ == "__main__":
    argparse.ArgumentParser(prog="nox -s clean", description=__doc__.partition("\n")[0]).parse_args()
    run(main)
