"""With a GPU of AMD: a program that hipcc built computes on it."""

from pathlib import Path
from typing import Any

import pytest

from tests.images.conftest import Run

SOURCE = Path(__file__).parent / "sources" / "twice.hip"
SCRIPT = (
    'printf %s "$SOURCE" >/tmp/twice.hip && hipcc --offload-arch=native -o /tmp/twice /tmp/twice.hip && exec /tmp/twice'
)


@pytest.mark.requirement("A2", "A12")
def test_program_of_hipcc_computes_on_the_gpu(run: Run, amd_gpu: dict[str, Any]) -> None:
    """Compiled for the GPU that is there."""
    environment = {"SOURCE": SOURCE.read_text(encoding="utf-8")}
    finished = run("sh", "-c", SCRIPT, environment=environment, **amd_gpu)
    assert finished.exit_code == 0, finished
    assert finished.output.split() == ["2", "4", "6", "8"]
