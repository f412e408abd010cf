"""docs/measurements.json: the sizes of images as they were reviewed, for comparison with those that are built.

`nox -s contents -- IMAGE --record` writes it, with the compressed bytes and the time of a build without the layer cache
where they are known. A smaller change of an image is named; a larger one fails until it is
recorded, so that somebody sees it in a review.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from slipway import repository, results
from slipway.errors import SlipwayError

FILE = repository.ROOT / "docs" / "measurements.json"
LIMIT = 0.01  # of an image's bytes: the change that fails
LEAST_EFFICIENCY = 0.995
LARGE = 1 << 20  # bytes of a component that has a row of its own
NAMED = 5  # components that a change names
FIGURES = ("compressed_bytes", "build_seconds")  # that are not known of each image

Json = Mapping[str, Any]


def read_measurements(file: Path = FILE) -> dict[str, Json]:
    """Return what is recorded by image; empty without the file, SlipwayError for a damaged one."""
    advice = f"restore it (git checkout docs/{file.name}), or delete it and record: nox -s contents -- --record"
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SlipwayError(f"{file} cannot be read ({error}); {advice}") from None
    try:
        images = json.loads(text)["images"]
        if all(_is_row(row) for row in images.values()):
            return cast("dict[str, Json]", images)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    raise SlipwayError(f"{file} is damaged: it has no bytes and components by image; {advice}")


def _is_row(row: object) -> bool:
    match row:
        case {"bytes": int(), "efficiency": float() | int(), "components": dict(components), **others}:
            figures = [others[name] for name in FIGURES if name in others]
            return all(isinstance(size, int) for size in components.values()) and all(
                isinstance(figure, int | float) for figure in figures
            )
    return False


def make_row(contents: Json) -> Json:
    """Return what is recorded of an image: its size, its efficiency, and the components of a megabyte or more."""
    return {
        "bytes": contents["bytes"],
        "efficiency": contents["efficiency"],
        **{name: contents[name] for name in FIGURES if contents.get(name) is not None},
        "components": dict(sorted(_sum_components(contents, LARGE).items())),
    }


def record(found: Iterable[Json], file: Path = FILE) -> None:
    """Note the sizes of images; those of others stay. So do figures that are not known now of an image as large."""
    images = read_measurements(file)
    for contents in found:
        before = images.get(contents["image"], {"bytes": None})
        known = before.items() if before["bytes"] == contents["bytes"] else ()
        figures = {name: figure for name, figure in known if name in FIGURES and contents.get(name) is None}
        images[contents["image"]] = make_row({**contents, **figures})
    results.write_json(file, {"images": dict(sorted(images.items()))})


def list_changes(row: Json, contents: Json) -> list[str]:
    """Return what differs from the recorded sizes: the image, and its components that changed most."""
    difference = contents["bytes"] - row["bytes"]
    if not difference and row["components"] == make_row(contents)["components"]:
        return []
    before, now = row["components"], _sum_components(contents, 0)
    large = _sum_components(contents, LARGE)
    changes = {name: now.get(name, 0) - before.get(name, 0) for name in {*before, *large}}
    ordered = sorted((name for name in changes if changes[name]), key=lambda name: (-abs(changes[name]), name))
    named = [f"{name} {changes[name]:+,}" for name in ordered[:NAMED]]
    if len(ordered) > NAMED:
        named.append(f"{len(ordered) - NAMED} more")
    return [f"{contents['image']} has {difference:+,} bytes since it was recorded", *named]


def find_failures(row: Json, contents: Json) -> list[str]:
    """Return why an image must be recorded anew or made smaller; empty where it need not."""
    name, size = contents["image"], contents["bytes"]
    found = []
    if abs(size - row["bytes"]) > LIMIT * row["bytes"]:
        found.append(
            f"{name} has {size:,} bytes, {row['bytes']:,} are recorded: more than {LIMIT:.0%} of difference. "
            f"If that is right: nox -s contents -- {name} --record, and commit docs/{FILE.name}"
        )
    if contents["efficiency"] < LEAST_EFFICIENCY <= row["efficiency"]:
        found.append(f"{name} has an efficiency of {contents['efficiency']:.4f}, below {LEAST_EFFICIENCY}")
    return found


def _sum_components(contents: Json, least: int) -> dict[str, int]:
    """Return the bytes of components by kind and name, of all versions; only those of at least some bytes."""
    sizes: dict[str, int] = {}
    for component in contents["components"]:
        name = f"{component['kind']} {component['name']}"
        sizes[name] = sizes.get(name, 0) + component["bytes"]
    return {name: size for name, size in sizes.items() if size >= least}
