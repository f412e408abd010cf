"""The real Dockerfiles: what a change makes the build do again, and what it refuses."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from slipway import matrix, repository
from slipway.build import locks
from tests.helpers.builds import build
from tests.helpers.built_images import read_layers, require_built
from tests.helpers.checkout import copy_repository

MATRIX = matrix.load_matrix()
UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
MOST_CONTEXT = 10**6  # bytes
VARIANTS = [image for image in MATRIX.variant_images if image.in_tests]
BASES = [image for image in VARIANTS if image.variant.name in ("cpu", "cuda") and image.flavor == "base"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the repository to change, at a path with spaces."""
    copy_repository(tmp_path / "a checkout")
    return tmp_path / "a checkout"


@pytest.mark.requirement("T1", "C9")
@pytest.mark.parametrize("image", BASES, ids=lambda image: image.name)
def test_plain_docker_gives_the_layers_of_the_session(tree: Path, image: matrix.Image, tag: str) -> None:
    """The Dockerfile is the source of truth: nox adds labels and nothing else."""
    require_built(image)
    result = build(tree, image, tag)
    assert result.returncode == 0, result.stdout
    assert read_layers(tag) == read_layers(image.tag)


@pytest.mark.requirement("N6")
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "image",
    [pytest.param(image, marks=[] if image is BASES[0] else pytest.mark.whole, id=image.name) for image in VARIANTS],
)
def test_a_new_build_of_a_checkout_under_another_umask_has_the_same_layers(
    tree: Path, image: matrix.Image, tag: str
) -> None:
    """Nothing of the checkout's modes, of its owner, of the time or of chance is in a layer.

    The modes are those of umask 077 on a file system that makes every file a program.
    """
    require_built(image)
    for path in tree.rglob("*"):
        path.chmod(0o700)
        if os.geteuid() == 0:
            os.chown(path, 12345, 12345)
    result = build(tree, image, tag, "--no-cache")
    assert result.returncode == 0, result.stdout
    assert read_layers(tag) == read_layers(image.tag)


@pytest.mark.requirement("T14")
def test_the_build_context_is_small(tree: Path, tag: str) -> None:
    """What .dockerignore does not let through stays here, a large file beside the Dockerfile too."""
    (tree / "app" / "__pycache__").mkdir(exist_ok=True)
    (tree / "large").write_bytes(bytes(10 * MOST_CONTEXT))
    (tree / "app" / "__pycache__" / "large.pyc").write_bytes(bytes(10 * MOST_CONTEXT))
    output = build(tree, BASES[0], tag).stdout
    sizes = re.findall(r"transferring context: ([\d.]+)(B|kB|MB|GB)", output)
    assert sizes
    assert all(float(number) * UNITS[unit] < MOST_CONTEXT for number, unit in sizes), sizes


@pytest.mark.requirement("T5", "C9")
@pytest.mark.parametrize("image", VARIANTS, ids=lambda image: image.name)
def test_an_edit_of_the_application_changes_its_own_layer_alone(tree: Path, image: matrix.Image, tag: str) -> None:
    require_built(image)
    (tree / "app" / "edited.py").write_text('"""An edit."""\n')
    result = build(tree, image, tag)
    assert result.returncode == 0, result.stdout
    before, after = read_layers(image.tag), read_layers(tag)
    assert len(before) == len(after)
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]


@pytest.mark.requirement("T5")
def test_a_changed_dependency_downloads_only_itself(tree: Path, tag: str) -> None:
    """The wheels of all others come from the cache mount."""
    image = BASES[0]
    file = tree / "requirements" / image.variant_locks[0].name
    pinned = re.search(r"(?m)^idna==(\S+)", file.read_text())
    assert pinned
    limit = tree / "limit.in"
    limit.write_text(f"idna<{pinned[1]}\n")
    command = [shutil.which("uv") or "uv", "pip", "compile", "--quiet", "--generate-hashes", "--no-header"]
    command += [*next(locks.list_variant_locks(image.variant)).options, f"--constraints={limit}"]
    text = re.sub(r"(?ms)^idna==.*?(?=^\w|\Z)", "", file.read_text())
    (tree / "new.in").write_text("idna\n")
    entry = subprocess.check_output([*command, str(tree / "new.in")], text=True)
    file.write_text(text + entry)
    result = build(tree, image, tag)
    assert result.returncode == 0, result.stdout
    assert re.search(r"\+ idna==(?!" + re.escape(pinned[1]) + ")", result.stdout), result.stdout
    prepared = re.findall(r"Prepared (\d+) package", result.stdout)
    assert prepared in ([], ["1"]), result.stdout  # none where this very version was fetched before


@pytest.mark.requirement("U8")
@pytest.mark.parametrize("image", [image for image in VARIANTS if image.flavor == "base"], ids=lambda image: image.name)
def test_a_wheel_whose_hash_differs_is_refused(tree: Path, image: matrix.Image, tag: str) -> None:
    """Nothing is installed that the lock does not vouch for."""
    file = tree / "requirements" / image.variant_locks[0].name
    head, entry, rest = re.split(r"(?m)^(idna==.*(?:\n .*)*)", file.read_text(), maxsplit=1)
    file.write_text(head + re.sub(r"sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, entry) + rest)
    result = build(tree, image, tag)
    assert result.returncode != 0
    assert "Hash mismatch for `idna" in result.stdout


@pytest.mark.requirement("T2")
@pytest.mark.parametrize(("gpus", "message"), [("gfx1030", ""), ("gfx1030,gfx000", "no kernels for gfx000")])
def test_a_gpu_without_kernels_ends_the_build(gpus: str, message: str) -> None:
    """ROCM_ARCHITECTURES is a list of GPUs; rocBLAS, whose package has no kernels for one, would end the program."""
    image = MATRIX.find_image("rocm-runtime")
    require_built(image)
    script = (repository.ROOT / "docker" / "build" / "rocblas").read_text(encoding="utf-8")
    command = ["docker", "run", "--rm", "--interactive", "--entrypoint=sh", image.tag, "-s", "check", gpus]
    result = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    assert (result.returncode, message in result.stdout) == (int(bool(message)), True), result.stderr
