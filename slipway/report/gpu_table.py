"""The table of docs/choosing.md: the least driver and the GPUs of each CUDA version, from the labels of built images.

    python -m slipway.report.gpu_table    writes the columns of the versions that are built

A check of each CUDA image compares its column with what is inside.
"""

import re

from slipway import repository, results
from slipway.errors import SlipwayError, run
from slipway.matrix import load_matrix

DOCUMENT = repository.ROOT / "docs" / "choosing.md"
TABLE = re.compile(r"(?<=<!-- gpus: python -m slipway.report.gpu_table -->\n).*?(?=<!-- /gpus -->)", re.DOTALL)
# The rows: a label without `slipway.`, and what it is about.
ROWS = {
    "driver": "least driver",
    "gpus.cuda": "cuBLAS, cuRAND",
    "gpus.cudnn": "cuDNN",
    "gpus.onnxruntime": "ONNX Runtime",
    "gpus.torch": "PyTorch",
    "gpus.torch-linalg": "torch.linalg",
    "gpus.tensorflow": "TensorFlow",
}


def find_table(text: str) -> str:
    """Return the table in the text of the document; SlipwayError without its markers."""
    if not (found := TABLE.search(text)):
        raise SlipwayError(f"{DOCUMENT} has lost the markers of its table of GPUs")
    return found[0]


def read_columns(table: str) -> dict[str, dict[str, str]]:
    """Return what the table says about each CUDA version: the labels without `slipway.`, those of no value left out."""
    head, _, *rows = [[cell.strip() for cell in line.split("|")[2:-1]] for line in table.splitlines()] or [[], []]
    return {
        version.removeprefix("CUDA "): {name: row[index] for name, row in zip(ROWS, rows, strict=True) if row[index]}
        for index, version in enumerate(head)
    }


def write_table(columns: dict[str, dict[str, str]]) -> str:
    """Return the table."""
    versions = sorted(columns, key=lambda version: [int(part) for part in version.split(".")])
    lines = [f"| | {' | '.join(f'CUDA {version}' for version in versions)} |", f"|---{'|---' * len(versions)}|"]
    lines += [
        f"| {title} | {' | '.join(columns[version].get(name, '') for version in versions)} |"
        for name, title in ROWS.items()
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Bring the table up to date."""
    text = DOCUMENT.read_text(encoding="utf-8")
    columns = read_columns(find_table(text))
    for image in load_matrix().images:
        labels = results.read_json(image.results / "build.json").get("labels", {})
        found = {name: labels[f"slipway.{name}"] for name in ROWS if f"slipway.{name}" in labels}
        if found:
            columns.setdefault(labels["slipway.cuda"], {}).update(found)
    results.write(DOCUMENT, TABLE.sub(lambda _: write_table(columns), text))
    return 0


if __name__ == "__main__":
    run(main)
