"""The options that give a container the GPUs of this machine."""

from pathlib import Path

import pytest

from slipway.host import devices
from tests.helpers.programs import write_program


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the files of NVIDIA's driver, and for programs; docker knows no runtime of NVIDIA's."""
    for name in ("DRIVER", "WSL_DRIVER"):
        monkeypatch.setattr(devices, name, tmp_path / name)
    write_program(tmp_path / "docker", """echo '{"runc": {}}'""")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_nvidias_driver_on_linux(machine: Path) -> None:
    assert devices.gpu_options("cuda") == []
    (machine / "DRIVER").touch()
    assert devices.gpu_options("cuda") == ["--gpus=all"]
    assert devices.gpu_options("cpu") == []


@pytest.mark.parametrize(
    ("program", "script"),
    [("nvidia-container-runtime", ""), ("docker", """echo '{"nvidia": {}, "runc": {}}'""")],
    ids=["toolkit in WSL", "Docker Desktop"],
)
def test_the_driver_of_windows_needs_nvidias_toolkit(machine: Path, program: str, script: str) -> None:
    """WSL shows it as a library, also where docker could give a container no GPU and would end with an error."""
    (machine / "WSL_DRIVER").touch()
    assert devices.gpu_options("cuda") == []
    write_program(machine / program, script)
    assert devices.gpu_options("cuda") == ["--gpus=all"]
