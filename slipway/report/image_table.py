"""The table of docs/choosing.md: what is in each image of images.toml, and what was measured of it.

    python -m slipway.report.image_table    writes it

Versions come from images.toml, sizes from docs/measurements.json, other figures from the results in dist/; those of an
image without results stay as they are in the table. A cell that was never measured is empty.
"""

from slipway import junit, results
from slipway.errors import SlipwayError, run
from slipway.matrix import Image, load_matrix
from slipway.report.markdown_tables import DOCS, Rows, read_rows, replace_table, write_document

DOCUMENT = DOCS / "choosing.md"
GB = 10**9
# The columns of versions, and their keys in images.toml.
VERSIONS = {
    "Python": "python",
    "CUDA": "cuda",
    "HIP": "hip",
    "PyTorch": "torch",
    "TensorFlow": "tensorflow",
    "ONNX Runtime": "onnxruntime",
}
FRAMEWORKS = ("torch", "tensorflow")  # in runtime and devel alone
FIGURES = ("GB", "GB to pull", "start, s")
HEADER = ("image", *VERSIONS, *FIGURES)


def list_versions(image: Image) -> list[str]:
    """Return the cells with the versions in an image."""
    lacks = FRAMEWORKS if image.flavor == "base" else ()
    return ["" if name in lacks else image.variant.versions.get(name, "") for name in VERSIONS.values()]


def read_recorded() -> dict[str, str]:
    """Return the cell with the size of each image that is recorded in docs/measurements.json."""
    images = results.read_json(DOCS / "measurements.json").get("images", {})
    return {name: f"{row['bytes'] / GB:.2f}" for name, row in images.items()}


def measure(image: Image) -> list[str]:
    """Return the cells with the figures of an image as its results have them; empty where they have none."""
    built = results.read_json(image.results / "build.json").get("image")
    contents = results.read_json(image.results / "contents.json")
    try:
        checks = junit.read_report(image.results / junit.WHOLE)
    except SlipwayError:
        checks = None
    size = pull = start = 0.0
    if built and checks and checks.is_whole and checks.image == built:
        size, start = checks.size / GB, checks.start
    if built and contents.get("id") == built:
        size, pull = contents["bytes"] / GB, (contents["compressed_bytes"] or 0) / GB
    return [f"{figure:.2f}" if figure else "" for figure in (size, pull, start)]


def make_rows(known: Rows) -> Rows:
    """Return the rows of all images; figures that are not measured now stay as they are known."""
    rows: Rows = {}
    recorded = read_recorded()
    for image in load_matrix().images:
        name = f"`{image.name}`"
        old = known.get(name, ("",) * len(FIGURES))[-len(FIGURES) :]
        size, *others = [new or before for new, before in zip(measure(image), old, strict=True)]
        rows[name] = (*list_versions(image), recorded.get(image.name, size), *others)
    return rows


def main() -> int:
    """Bring the table up to date."""
    text = DOCUMENT.read_text(encoding="utf-8")
    write_document(DOCUMENT, replace_table(text, "images", HEADER, make_rows(read_rows(text, "images"))))
    return 0


if __name__ == "__main__":
    run(main)
