"""The table of docs/choosing.md: what is in each image of images.toml, and what was measured of it.

    python -m slipway.report.image_table    writes it

Versions come from images.toml. Figures come from docs/measurements.json; those that are not recorded from the results
in dist/, and stay as they are in the table for an image without results. A cell that was never measured is empty.
"""

from slipway import junit
from slipway.errors import SlipwayError, run
from slipway.matrix import Image, load_matrix
from slipway.report import measurements
from slipway.report.markdown_tables import DOCS, Rows, read_rows, replace_table, write_document
from slipway.report.page_results import Build, Contents, read_result

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
FIGURES = ("GB", "GB to pull", "build, s", "start, s")
HEADER = ("image", *VERSIONS, *FIGURES)


def list_versions(image: Image) -> list[str]:
    """Return the cells with the versions in an image."""
    lacks = FRAMEWORKS if image.flavor == "base" else ()
    return ["" if name in lacks else image.variant.versions.get(name, "") for name in VERSIONS.values()]


def read_recorded() -> dict[str, list[str]]:
    """Return the cells with the figures of each image as docs/measurements.json has them; none has a start."""
    recorded = measurements.read_measurements(DOCS / measurements.FILE.name)
    return {
        name: format_figures(row["bytes"], row.get("compressed_bytes"), row.get("build_seconds"), None)
        for name, row in recorded.items()
    }


def format_figures(size: int | None, pull: int | None, build: float | None, start: float | None) -> list[str]:
    """Return the cells of figures; empty for what is not known."""
    sizes = [f"{figure / GB:.2f}" if figure else "" for figure in (size, pull)]
    return [*sizes, f"{build:.0f}" if build else "", f"{start:.2f}" if start else ""]


def measure(image: Image) -> list[str]:
    """Return the cells with the figures of an image as its results have them; empty where they have none."""
    build = read_result(image.results / "build.json", Build, "build").value
    built = build.image if build else ""
    contents = read_result(image.results / "contents.json", Contents, "contents").value
    try:
        checks = junit.read_report(image.results / junit.WHOLE)
    except SlipwayError:
        checks = None
    size = pull = start = None
    if built and checks and checks.is_whole and checks.image == built:
        size, start = checks.size, checks.start
    if contents and contents.image == built:
        size, pull = contents.bytes, contents.compressed_bytes
    return format_figures(size, pull, build.cold_seconds if build else None, start)


def make_rows(known: Rows) -> Rows:
    """Return the rows of all images; figures that are not measured now stay as they are known."""
    rows: Rows = {}
    recorded = read_recorded()
    for image in load_matrix().images:
        name = f"`{image.name}`"
        old = known.get(name, ("",) * len(FIGURES))[-len(FIGURES) :]
        sources = (recorded.get(image.name, [""] * len(FIGURES)), measure(image), old)
        figures = [next(filter(None, cells), "") for cells in zip(*sources, strict=True)]
        rows[name] = (*list_versions(image), *figures)
    return rows


def main() -> int:
    """Bring the table up to date."""
    text = DOCUMENT.read_text(encoding="utf-8")
    write_document(DOCUMENT, replace_table(text, "images", HEADER, make_rows(read_rows(text, "images"))))
    return 0


if __name__ == "__main__":
    run(main)
