"""PyTorch from its own index: the locks of `nox -s lock -- --index`, and images built with LOCKS=cpu-index, rocm-index.

That index is not reached everywhere, so a proxy on this machine answers in its name, with a torch of a few bytes.
"""

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from slipway import docker, matrix
from slipway.build import locks
from slipway.host import downloads
from slipway.python_locks import read_lock
from tests.helpers import reasons
from tests.helpers.bridge import find_bridge
from tests.helpers.buildkit import certificates as certificates
from tests.helpers.builds import build
from tests.helpers.built_images import require_built
from tests.helpers.checkout import copy_repository
from tests.helpers.torch_index import TorchIndex, serve_torch_index
from tests.helpers.wheels import compute_digest, write_wheel

MATRIX = matrix.load_matrix()
VERSION = MATRIX.variants["cpu"].versions["torch"]  # Debian's, which requirements/cpu-index-torch.in asks for, too
# The torch of each index, with some of what the real one asks for.
TORCH = {
    "cpu": (f"{VERSION}+cpu", ["filelock", "jinja2"]),
    "rocm": ("2.9.1+rocm6.4", ["filelock", "pytorch-triton-rocm==3.5.1"]),
}
TRITON = ("pytorch-triton-rocm", "3.5.1")
FOUND = """
import importlib.metadata, json, subprocess
def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
packages = subprocess.check_output(["dpkg-query", "--show", "--showformat=${Package} "], text=True).split()
debian = [name for name in packages if "torch" in name]
print(json.dumps({"torch": version("torch"), "triton": version("pytorch-triton-rocm"), "debian": debian}))
"""
DEFAULTS: dict[str, dict[str, object]] = {
    "cpu": {"torch": f"{VERSION}+debian", "triton": None, "debian": [f"libtorch{VERSION.rpartition('.')[0]}"]},
    "rocm": {"torch": None, "triton": None, "debian": []},
}
CACHE = "type=cache,id=slipway-uv,target=/root/.cache/uv"

pytestmark = pytest.mark.timeout(600)
both = pytest.mark.parametrize("accelerator", TORCH)


@dataclass(frozen=True)
class Locked:
    """A copy of the repository with locks for the index, and the wheel of torch there for each accelerator."""

    folder: Path
    wheels: dict[str, Path]

    def build(self, accelerator: str, tag: str) -> subprocess.CompletedProcess[str]:
        """Build the runtime flavor as docs/building.md says."""
        image = MATRIX.find_image(f"{accelerator}-runtime")
        return build(self.folder, image, tag, f"--build-arg=LOCKS={accelerator}{locks.INDEX}")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Iterator[TorchIndex]:
    """The index, on the bridge where builds reach it; downloads of this process and of builds go by its proxy."""
    host = downloads.find(MATRIX.default_distro.suite)
    if host.proxies:
        pytest.skip(reasons.OWN_PROXY)
    bundle = certificates / "bundle.pem"
    known = host.ca_bundle.read_text() if host.ca_bundle else ""
    bundle.write_text(known + (certificates / "ca.pem").read_text())
    bridge = find_bridge()
    with (
        serve_torch_index(tmp_path_factory.mktemp("index"), certificates, bridge) as running,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("HTTPS_PROXY", running.proxy)
        patch.setenv("SSL_CERT_FILE", str(bundle))
        yield running


def shorten(folder: Path) -> None:
    """Leave out of a copy what no argument changes: TensorFlow, the data-science set, ROCm's libraries, their trims.

    Wheels of this index do not get into the cache of real builds.
    """
    for name in ("cpu-tensorflow.in", "data-science.in"):
        (folder / "requirements" / name).write_text("# nothing\n")
    for accelerator in TORCH:
        trims = folder / "docker" / "trims" / f"{accelerator}.toml"
        head, *rows = trims.read_text().split("[[trim]]")
        trims.write_text("[[trim]]".join([head, *(row for row in rows if 'layer = "base"' in row)]))
        dockerfile = folder / f"Dockerfile.{accelerator}"
        text = re.sub(r"(?m)^(FROM base-packages AS rocm-libraries\n)(?:.+\n)+", r"\1", dockerfile.read_text())
        assert "/rocblas" not in text
        before, stage, after = text.partition(f"# torch-{accelerator}-index:")
        assert CACHE in after
        dockerfile.write_text(before + stage + after.replace(CACHE, "type=tmpfs,target=/root/.cache/uv"))


@pytest.fixture(scope="module")
def locked(index: TorchIndex, tmp_path_factory: pytest.TempPathFactory) -> Locked:
    """A copy for which `nox -s lock -- --index` has asked the index. Each run has wheels of its own: none is cached."""
    folder, code, backends = tmp_path_factory.mktemp("copy"), f"# {uuid.uuid4()}\n", locks.TORCH_BACKENDS
    copy_repository(folder)
    shorten(folder)
    wheels = {
        name: index.add_wheel(backends[name], "torch", version, code, requires)
        for name, (version, requires) in TORCH.items()
    }
    index.add_wheel(backends["rocm"], *TRITON, code, [])
    # The user's cache would have the pages of this index for those of the real one.
    own_cache = {"UV_CACHE_DIR": str(tmp_path_factory.mktemp("cache"))}
    command = [sys.executable, "-m", "slipway.build.locks", "--index"]
    finished = subprocess.run(
        command, cwd=folder, env=os.environ | own_cache, capture_output=True, text=True, check=False
    )
    if finished.returncode and index.unreached:
        pytest.skip(reasons.NO_PYPI)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return Locked(folder, wheels)


def find_torch(reference: str) -> dict[str, object]:
    """Return the torch of an image's environment, and Debian's packages of PyTorch."""
    options = ("--rm", "--network=none", f"--label={docker.TEST_LABEL}", "--entrypoint=python")
    found: dict[str, object] = json.loads(docker.output("run", *options, reference, "-c", FOUND))
    return found


@both
def test_lock_takes_pytorch_from_its_index(locked: Locked, accelerator: str) -> None:
    """Not PyPI's build of torch, which brings CUDA; no address of an index is in the lock."""
    lock = locked.folder / "requirements" / f"{accelerator}{locks.INDEX}-torch.txt"
    pins = {pin.name: pin for pin in read_lock(lock)}
    assert pins["torch"].version == TORCH[accelerator][0]
    assert re.findall(r"sha256:(\w{64})", pins["torch"].text) == [compute_digest(locked.wheels[accelerator])]
    assert not re.search(r"nvidia|cuda|://", lock.read_text())


@both
def test_build_refuses_a_changed_wheel(locked: Locked, tag: str, accelerator: str) -> None:
    """The index serves another wheel of the same name; the build names the package and both hashes."""
    wheel, (version, requires) = locked.wheels[accelerator], TORCH[accelerator]
    original, expected = wheel.read_bytes(), compute_digest(wheel)
    write_wheel(wheel.parent, "torch", version, "changed = True\n", requires)
    computed = compute_digest(wheel)
    try:
        built = locked.build(accelerator, tag)
    finally:
        wheel.write_bytes(original)
    assert built.returncode != 0
    assert f"Hash mismatch for `torch=={version}`" in built.stdout, built.stdout
    assert re.findall(r"sha256:(\w{64})", built.stdout)[-2:] == [expected, computed]
    assert docker.inspect(tag) is None


@pytest.mark.requirement("T2", "C3")
@both
def test_argument_selects_pytorch(locked: Locked, tag: str, accelerator: str) -> None:
    """LOCKS takes PyTorch from its index and nothing of it from Debian; by default it is Debian's, for ROCm none."""
    default = MATRIX.find_image(f"{accelerator}-runtime")
    require_built(default)
    assert find_torch(default.tag) == DEFAULTS[accelerator]
    built = locked.build(accelerator, tag)
    assert built.returncode == 0, built.stdout
    triton = TRITON[1] if accelerator == "rocm" else None
    assert find_torch(tag) == {"torch": TORCH[accelerator][0], "triton": triton, "debian": []}
