"""The tables of GPUs in docs/choosing.md, by versions of CUDA and HIP and by GPU, from the labels of built images.

    python -m slipway.report.gpu_table    writes the columns of the versions that are built

A check of each image for GPUs compares its column with what is inside.
"""

import re
from collections.abc import Mapping

from slipway import results
from slipway.errors import run
from slipway.matrix import Image, load_matrix
from slipway.report import markdown_tables
from slipway.report.markdown_tables import DOCS, Rows

DOCUMENT = DOCS / "choosing.md"
# The tables by the label of their versions: the name in the document, what a version is of, and the rows, of which each
# is a label without `slipway.` and what it is about.
TABLES = {
    "cuda": (
        "gpus",
        "CUDA",
        {
            "driver": "least driver",
            "gpus.cuda": "cuBLAS, cuRAND",
            "gpus.cudnn": "cuDNN",
            "gpus.onnxruntime": "ONNX Runtime",
            "gpus.torch": "PyTorch",
            "gpus.torch-linalg": "torch.linalg",
            "gpus.tensorflow": "TensorFlow",
        },
    ),
    "hip": ("amd-gpus", "HIP", {"gpus.rocblas": "rocBLAS", "gpus.rocrand": "rocRAND", "gpus.rccl": "RCCL"}),
}


def read_columns(text: str, label: str) -> dict[str, dict[str, str]]:
    """Return what a table of the document says about each version: labels without `slipway.`, empty ones left out."""
    name, title, rows = TABLES[label]
    head = markdown_tables.find_table(text, name)[2].partition("\n")[0]
    versions = [cell.strip().removeprefix(f"{title} ") for cell in head.split("|")[2:-1]]
    cells = markdown_tables.read_rows(text, name)
    columns = {key: dict(zip(versions, cells[row], strict=True)) for key, row in rows.items() if row in cells}
    return {version: {key: row[version] for key, row in columns.items() if row[version]} for version in versions}


def name_column(labels: Mapping[str, str], image: Image, label: str) -> str:
    """Return the column of an image's labels: its version, and the GPU of a variant for one, `5.7 gfx90a`."""
    return f"{labels[f'slipway.{label}']} {image.variant.gpu}".rstrip()


def replace_columns(text: str, label: str, columns: dict[str, dict[str, str]]) -> str:
    """Return the document's text with other columns in a table."""
    name, title, rows = TABLES[label]
    versions = sorted(columns, key=lambda column: [int(part) for part in re.findall(r"\d+", column)])
    cells: Rows = {row: tuple(columns[version].get(key, "") for version in versions) for key, row in rows.items()}
    return markdown_tables.replace_table(text, name, ["", *(f"{title} {version}" for version in versions)], cells)


def main() -> int:
    """Bring the tables up to date."""
    text = DOCUMENT.read_text(encoding="utf-8")
    built = [
        (image, results.read_json(image.results / "build.json").get("labels", {})) for image in load_matrix().images
    ]
    for label, (_, _, rows) in TABLES.items():
        columns = read_columns(text, label)
        for image, labels in built:
            if found := {name: labels[f"slipway.{name}"] for name in rows if f"slipway.{name}" in labels}:
                columns.setdefault(name_column(labels, image, label), {}).update(found)
        text = replace_columns(text, label, columns)
    markdown_tables.write_document(DOCUMENT, text)
    return 0


if __name__ == "__main__":
    run(main)
