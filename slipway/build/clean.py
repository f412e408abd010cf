"""Removes what Slipway made on this machine, and nothing else.

    python -m slipway.build.clean

What the tests labelled and left behind, the images of the matrix, BuildKit's records of their RUN steps and cache
mounts, dist/, and Slipway's folder of the user's cache. The engine, the base image and what users keep in volumes stay;
so does an image that a user built on one of these, which has their labels, and with it the records that it is built on.
"""

import argparse
import os
import shutil
from pathlib import Path

from slipway import docker, repository
from slipway.build import build_cache
from slipway.build.dockerfiles import Dockerfiles
from slipway.build.record import REPRODUCED, TAG_ENDS
from slipway.errors import SlipwayError, run
from slipway.matrix import Matrix, load_matrix

DEVCONTAINER = "-devcontainer"  # the end of the tags that .devcontainer/image makes


def remove_labelled() -> None:
    """Remove what tests that were killed left behind: containers, volumes and networks, then images."""
    for kind, options in (("container", ("--all",)), ("volume", ()), ("network", ()), ("image", ())):
        found = docker.output(kind, "ls", "--quiet", f"--filter=label={docker.TEST_LABEL}", *options).split()
        for identifier in dict.fromkeys(found):
            docker.output(kind, "rm", "--force", identifier)
            print(f"{kind} {identifier}")


def remove_images(matrix: Matrix) -> None:
    """Remove the tags of the matrix; the engine deletes images without any other tag."""
    present = docker.output("image", "ls", "--format={{.Repository}}:{{.Tag}}").split()
    names = {f"{image.tag}{end}" for image in matrix.images for end in ("", DEVCONTAINER, *TAG_ENDS, *REPRODUCED)}
    for tag in sorted(names & set(present)):
        docker.output("image", "rm", "--force", tag)
        print(f"image {tag}")


def find_own(records: build_cache.Records) -> set[str]:
    """Return the records of the repository's Dockerfiles that mount a cache of theirs, with all that is built on them.

    Those on which a step of another project's Dockerfile is built are left out.
    """
    dockerfiles = Dockerfiles(file.read_text(encoding="utf-8") for file in repository.ROOT.glob("Dockerfile*"))
    found = build_cache.add_children(records, build_cache.find_steps(records, dockerfiles))
    foreign = {each for each in found if build_cache.is_foreign(records[each].description, dockerfiles)}
    return found - build_cache.add_parents(records, foreign)


def remove_build_cache() -> None:
    """Remove the records of the repository's Dockerfiles."""
    records = build_cache.read_records()
    build_cache.remove_records(records, find_own(records))
    print(f"build cache: {len(records) - len(build_cache.read_records())} records")


def require_removable(folder: Path) -> None:
    """Raise SlipwayError for a link to a folder, and for one in which this user may not delete."""
    if folder.is_symlink():
        raise SlipwayError(f"{folder} is a link; remove it, and what it leads to. Nothing was removed yet")
    for place, _, _ in os.walk(folder):
        if not os.access(place, os.W_OK | os.X_OK):
            raise SlipwayError(f"{place} is not yours to write: sudo chown -R $USER {folder}. Nothing was removed yet")


def remove_folder(folder: Path) -> None:
    """Delete a folder that only Slipway writes to."""
    if folder.is_dir():
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise SlipwayError(f"cannot remove {folder}: {error}") from None
        print(folder)


def main() -> int:
    """Remove everything and print it."""
    folders = (repository.ROOT / "dist", repository.cache_folder())
    for folder in folders:
        require_removable(folder)
    remove_labelled()
    remove_images(load_matrix())
    remove_build_cache()
    for folder in folders:
        remove_folder(folder)
    return 0


if __name__ == "__main__":
    argparse.ArgumentParser(prog="nox -s clean", description=__doc__.partition("\n")[0]).parse_args()
    run(main)
