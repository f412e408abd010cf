"""What the page shows across images: shared layers, published sizes, when it ran, the data of its script."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from slipway.report.page_images import View

Refs = dict[tuple[Any, ...], int]


def measure_shares(images: Iterable[View]) -> View:
    """Return the bytes to pull for each image, alone and beside all others, and for all of them together.

    A layer is pulled once, however many images have it.
    """
    pulled = {
        image["name"]: {layer["diff_id"]: layer["pulled"] for layer in image["contents"]["layers"]}
        for image in images
        if image["contents"]
    }
    having = Counter(digest for layers in pulled.values() for digest in layers)
    rows = []
    for name, layers in pulled.items():
        own = sum(size for digest, size in layers.items() if having[digest] == 1)
        rows.append({"name": name, "alone": sum(layers.values()), "own": own, "layers": len(layers)})
    once = {digest: size for layers in pulled.values() for digest, size in layers.items()}
    return {"rows": rows, "sum": sum(row["alone"] for row in rows), "once": sum(once.values())}


def list_times(images: Iterable[View]) -> list[View]:
    """Return what ran when, in the order of the beginnings: image, step, begin, end, seconds."""
    rows = []
    for image in images:
        for step, finished, seconds in image["times"]:
            end = datetime.fromisoformat(finished)
            begin = (end - timedelta(seconds=seconds)).isoformat(timespec="seconds")
            rows.append({"image": image["name"], "step": step, "begin": begin, "end": finished, "seconds": seconds})
    return sorted(rows, key=lambda row: row["begin"])


def add_reference(known: Refs, *values: Any) -> int:  # noqa: ANN401 - JSON
    """Return the index of values in a list that several images share."""
    return known.setdefault(values, len(known))


def pack_data(images: Sequence[View], times: list[View]) -> View:
    """Return what the script of the page reads: components and checks that several images have are there once."""
    components: Refs = {}
    checks: Refs = {}
    packed = []
    for image in images:
        contents = image["contents"]
        own = {
            key: image[key] for key in ("name", "tree", "size", "least", "most", "history", "not_listed", "published")
        }
        own["layers"] = [
            [layer["diff_id"], layer["pulled"], layer["bytes"]] for layer in (contents["layers"] if contents else ())
        ]
        own["components"] = [
            [
                add_reference(components, *(each[key] for key in ("kind", "name", "version")), *map(tuple, texts)),
                each["bytes"],
                each["pull"],
            ]
            for each in image["components"]
            for texts in [(each["licenses"], each["advisories"])]
        ]
        own["checks"] = [
            [
                add_reference(checks, each["name"], tuple(each["requirements"])),
                *(each[key] for key in ("outcome", "reason", "seconds", "output")),
            ]
            for each in image["checks"]
        ]
        packed.append(own)
    return {"images": packed, "components": list(components), "checks": list(checks), "times": times}
