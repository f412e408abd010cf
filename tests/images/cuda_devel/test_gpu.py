"""With a GPU: a program that nvcc built computes on it."""

from pathlib import Path

import pytest
from docker.types import DeviceRequest

from tests.images.conftest import Run

SOURCE = Path(__file__).parent / "sources" / "twice.cu"
SCRIPT = 'printf %s "$SOURCE" >/tmp/twice.cu && nvcc -arch=native -o /tmp/twice /tmp/twice.cu && exec /tmp/twice'


@pytest.mark.requirement("A2", "A12")
def test_program_of_nvcc_computes_on_the_gpu(run: Run, gpu: list[DeviceRequest]) -> None:
    """Compiled for the GPU that is there."""
    environment = {"SOURCE": SOURCE.read_text(encoding="utf-8")}
    finished = run("sh", "-c", SCRIPT, environment=environment, device_requests=gpu)
    assert finished.exit_code == 0, finished
    assert finished.output.split() == ["2", "4", "6", "8"]
