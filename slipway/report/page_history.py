"""The sizes and times of an image over its builds, in dist/IMAGE/history.json: a row for each image ID.

`report` adds the row of the image that is there; a build does not forget the rows of earlier images.
"""

from pydantic import NonNegativeFloat, NonNegativeInt

from slipway import results
from slipway.build.labels import COMMIT
from slipway.report.page_results import Found, Part, Results, read_result


class Measurement(Part):
    """An image as it was built: bytes and seconds, None where they were not measured."""

    image: str
    built: str
    commit: str
    bytes: NonNegativeInt | None
    compressed_bytes: NonNegativeInt | None
    build_seconds: NonNegativeFloat
    check_seconds: NonNegativeFloat | None


class History(Part):
    """All rows, the oldest first."""

    measurements: list[Measurement]


def measure(found: Results) -> Measurement | None:
    """Return the row of an image; None without a build."""
    build, checks, contents = found.build.value, found.checks.value, found.contents.value
    if build is None:
        return None
    return Measurement(
        image=build.image,
        built=build.built.isoformat(timespec="seconds"),
        commit=build.labels.get(COMMIT, ""),
        bytes=found.size or None,
        compressed_bytes=contents.compressed_bytes if contents else None,
        build_seconds=build.seconds,
        check_seconds=checks.seconds if checks and checks.is_whole else None,
    )


def update_history(found: Results) -> Found[list[Measurement]]:
    """Add an image's row, or complete it, and return all; a damaged file is left as it is, with the reason."""
    file = found.image.results / "history.json"
    earlier: list[Measurement] = []
    if file.exists():
        read = read_result(file, History, "report")
        if read.value is None:
            return Found(None, f"{read.reason.partition(': nox')[0]}: remove it to begin again")
        earlier = read.value.measurements
    row = measure(found)
    if row is None:
        return Found(earlier)
    known = {each.image: each for each in earlier}
    if row.image in known:  # a figure that was measured once stays
        old = known[row.image].model_dump()
        row = Measurement(**old | {key: value for key, value in row.model_dump().items() if value is not None})
    rows = [*(each for each in earlier if each.image != row.image), row]
    if rows != earlier:
        results.write_json(file, History(measurements=rows).model_dump())
    return Found(rows)
