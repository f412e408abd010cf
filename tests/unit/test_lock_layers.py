"""The lock of a flavor, as uv resolves it, split into one lock for each layer."""

from pathlib import Path

import pytest

from slipway.build import lock_layers, locks
from slipway.errors import SlipwayError
from slipway.matrix import load_matrix
from slipway.python_locks import read_lock

HASH = f"--hash=sha256:{'a' * 64}"
OTHER_HASH = f"--hash=sha256:{'b' * 64}"
RESOLVED = f"""\
cuda-toolkit[cublas]==13.0 \\
    {HASH} \\
    {OTHER_HASH}
    # via
    #   -c larger.txt
    #   torch
filelock==3.1 ; sys_platform == 'linux' \\
    {HASH}
    # via
    #   torch
    #   pandas
nvidia-nccl==2 \\
    {HASH}
    # via torch
pandas==3.0 \\
    {HASH}
    # via -r data-science.in
torch==2.9 \\
    {HASH}
    # via
    #   -r cuda-torch.in
    #   pandas
"""


def test_each_distribution_is_in_the_lowest_layer_that_needs_it(tmp_path: Path) -> None:
    """A layer's lock names only inputs and distributions of its own layer and those below."""
    file = tmp_path / "resolved.txt"
    file.write_text(RESOLVED)
    layers = [("cuda", ["cuda.in"]), ("torch", ["cuda-torch.in"]), ("data-science", ["data-science.in"])]
    assert dict(lock_layers.split_layers([(layers, read_lock(file))])) == {
        "cuda": f"""\
cuda-toolkit[cublas]==13.0 \\
    {HASH} \\
    {OTHER_HASH}
    # via
nvidia-nccl==2 \\
    {HASH}
    # via
""",
        "torch": f"""\
filelock==3.1 ; sys_platform == 'linux' \\
    {HASH}
    # via torch
torch==2.9 \\
    {HASH}
    # via -r cuda-torch.in
""",
        "data-science": f"""\
pandas==3.0 \\
    {HASH}
    # via -r data-science.in
""",
    }


def test_the_largest_flavor_takes_the_rest(tmp_path: Path) -> None:
    """The last layer of a flavor has what no layer below it has."""
    file = tmp_path / "resolved.txt"
    file.write_text(RESOLVED)
    pins = read_lock(file)
    [(base, first), (devel, second)] = lock_layers.split_layers([([("base", [])], pins[:2]), ([("devel", [])], pins)])
    assert (base, devel) == ("base", "devel")
    assert list_names(first) == ["cuda-toolkit[cublas]", "filelock"]
    assert list_names(second) == ["nvidia-nccl", "pandas", "torch"]


def list_names(lock: str) -> list[str]:
    """Return the distributions of a lock as they are written, without their versions."""
    return [line.split("==")[0] for line in lock.splitlines() if not line.startswith(" ")]


def test_locks_of_one_variant_are_compiled_alone() -> None:
    """`nox -s lock -- VARIANT`; a name without locks of its own is an error that lists the others."""
    matrix = load_matrix()
    assert [variant.name for variant in locks.choose_variants(matrix, ["cuda13.2"])] == ["cuda13.2"]
    all_names = [variant.name for variant in locks.choose_variants(matrix)]
    assert all_names == [name for name, each in matrix.variants.items() if not name.endswith("-arm64") and not each.gpu]
    with pytest.raises(SlipwayError, match="no variant 'cpu-arm64' has locks of its own; these have: cpu, "):
        locks.choose_variants(matrix, ["cpu-arm64"])
