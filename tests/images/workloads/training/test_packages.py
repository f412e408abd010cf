"""The training set: every package imports, in the version of the lock, and says what it lacks."""

import json
import re
from typing import Any

import pytest
from docker.models.containers import Container

from slipway import repository
from slipway.matrix import Image
from tests.images.helpers.containers import Run, inside
from tests.images.helpers.distributions import read_pins
from tests.images.helpers.scope import applies
from tests.images.helpers.workbench import is_on

pytestmark = applies(workload="training")

LOCK = repository.ROOT / "requirements" / "training.txt"
PACKAGES = ["accelerate", "datasets", "deepspeed", "huggingface_hub", "peft", "transformers", "trl"]
IMPORTED = """
import importlib, json
print(json.dumps({name: importlib.import_module(name).__version__ for name in NAMES}))
"""
FLASH_ATTENTION = """
import json
from importlib import import_module, util
modules = {"4": "flash_attn.cute", "2": "flash_attn_2_cuda"}
there = {version: util.find_spec(name.partition(".")[0]) is not None for version, name in modules.items()}
print(json.dumps([version for version in modules if there[version] and import_module(modules[version])]))
"""
KERNEL = """
from deepspeed.ops.op_builder import CPUAdamBuilder
CPUAdamBuilder().load()
"""


def imported(idle: Container, program: str) -> Any:
    """Return what a program prints in its last line, as JSON.

    The entry point has caches in /tmp for it where no volume is writable: PyTorch 2.13 makes its cache when it is
    imported whole.
    """
    return json.loads(inside(idle, "entrypoint", "python", "-c", program).splitlines()[-1])


@pytest.fixture(scope="module")
def versions(idle: Container) -> dict[str, str]:
    """The version of each package; one process for all, because imports are slow."""
    return dict(imported(idle, f"NAMES = {PACKAGES}\n{IMPORTED}"))


@pytest.mark.requirement("U3")
@pytest.mark.parametrize("package", PACKAGES)
def test_package_imports_in_the_version_of_the_lock(versions: dict[str, str], package: str) -> None:
    """As the image's user, without network, a compiler or a GPU."""
    assert versions[package] == read_pins(LOCK)[package.replace("_", "-")]


@pytest.mark.requirement("U3", "C3")
def test_flash_attention_is_what_the_toggle_says(idle: Container, contract: Image) -> None:
    """The wheel on CUDA only, and with the toggle the one that is compiled."""
    wanted = ["4"] if contract.variant.accelerator == "cuda" else []
    if is_on(contract, "FLASH_ATTN_2"):
        wanted.append("2")
    assert imported(idle, FLASH_ATTENTION) == wanted


@pytest.mark.requirement("U3")
def test_deepspeed_names_the_compiler_that_it_lacks(run: Run) -> None:
    """It imports without one. A program that needs a kernel gets the name of the compiler to install."""
    without = {"entrypoint": ["/opt/venv/bin/python"], "environment": {"PATH": "/opt/venv/bin"}}
    assert run("-c", "import deepspeed", **without).exit_code == 0
    finished = run("-c", KERNEL, **without)
    assert finished.exit_code != 0
    assert re.search(r"(c|g)\+\+: (command )?not found|No such file or directory: '(c|g)\+\+'", finished.output), (
        finished
    )
