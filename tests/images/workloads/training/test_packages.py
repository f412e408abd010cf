"""The training set: every package imports, in the version of the lock, and says what it lacks."""

import json
import re

import pytest

from slipway import repository
from slipway.matrix import Image
from tests.images.helpers.containers import Python, Run
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


@pytest.fixture(scope="module")
def versions(python: Python) -> dict[str, str]:
    """The version of each package; one process for all, because imports are slow."""
    return dict(json.loads(python(f"NAMES = {PACKAGES}\n{IMPORTED}").splitlines()[-1]))


@pytest.mark.requirement("U3")
@pytest.mark.parametrize("package", PACKAGES)
def test_package_imports_in_the_version_of_the_lock(versions: dict[str, str], package: str) -> None:
    """As the image's user, without network, a compiler or a GPU."""
    assert versions[package] == read_pins(LOCK)[package.replace("_", "-")]


@pytest.mark.requirement("U3", "C3")
def test_flash_attention_is_what_the_toggle_says(python: Python, contract: Image) -> None:
    """The wheel on CUDA only, and with the toggle the one that is compiled."""
    wanted = ["4"] if contract.variant.accelerator == "cuda" else []
    if is_on(contract, "FLASH_ATTN_2"):
        wanted.append("2")
    assert json.loads(python(FLASH_ATTENTION).splitlines()[-1]) == wanted


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
