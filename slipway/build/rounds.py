"""The images of `tests -- --all` that nothing needs after their checks, in rounds: not all fit on a disk at once.

A round is a variant that `tests` leaves out with all that is built on it, or one workload on an image that stays.
"""

import tomllib
from collections.abc import Iterable

from slipway import repository
from slipway.matrix import Image, Matrix


def list_staying(chosen: Iterable[Image]) -> list[Image]:
    """Return the images that the other sessions of `tests` need: those of each run, and those that a case breaks."""
    files = (repository.ROOT / "tests" / "sabotage").glob("*.toml")
    tables = [table for file in files for table in tomllib.loads(file.read_text(encoding="utf-8")).values()]
    broken = {table.get("image") for table in tables}
    return [image for image in chosen if image.in_tests or image.name in broken]


def plan_rounds(chosen: Iterable[Image]) -> list[list[Image]]:
    """Return the images that do not stay, in their order."""
    chosen = list(chosen)
    staying = {image.name for image in list_staying(chosen)}
    rounds: dict[str, list[Image]] = {}
    for image in chosen:
        if image.name not in staying:
            is_alone = image.workload and image.variant_image in staying
            rounds.setdefault(image.name if is_alone else image.variant.name, []).append(image)
    return list(rounds.values())


def add_below(matrix: Matrix, images: Iterable[Image]) -> list[Image]:
    """Return the images with those that their checks compare them with: the flavors before, a workload's variant."""
    wanted = {image.name for image in images}
    for image in reversed(matrix.images):
        if image.name in wanted:
            wanted.add(image.variant_image if image.workload else image.parent)
    return [image for image in matrix.images if image.name in wanted]
