"""The contents of made-up images, as `nox -s contents` finds them."""

from typing import Any

from slipway.report import contents
from slipway.report.image_sources import Source
from tests.helpers.archives import Step, file_system

Json = dict[str, Any]


def describe(*steps: Step) -> Json:
    """Return the contents of an image of these instructions and files."""
    image = file_system(*steps).image
    return contents.describe_image(Source("test:image", image))


def sizes(found: Json) -> dict[str, int]:
    """Return the bytes of each component by kind, name and version."""
    return {f"{row['kind']} {row['name']} {row['version']}".strip(): row["bytes"] for row in found["components"]}
