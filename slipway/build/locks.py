"""The lock files of requirements/: which there are, compile them, and tell when one no longer matches its inputs.

    python -m slipway.build.locks           compiles every lock
    python -m slipway.build.locks --index   compiles those that take PyTorch from its own index (TORCH_SOURCE=index)
    python -m slipway.build.locks --check   says which are out of date; needs no network

A lock's first line holds a digest of the inputs that it was compiled from.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slipway import results
from slipway.errors import SlipwayError, run
from slipway.images_toml import PLATFORMS, TARGETS, Distro
from slipway.matrix import ROOT, Image, Matrix, Variant, load_matrix

FOLDER = ROOT / "requirements"
TOOLS = ("slipway", "checks", "tests", "lint", "go", "uv", "build")
STAMP = "# inputs: sha256:"
BOUNDS = "bounds.in"  # for the packages of every image
# PyTorch's own index for each accelerator, as uv and the Dockerfiles' UV_TORCH_BACKEND name it.
TORCH_BACKENDS = {"cpu": "cpu", "rocm": "rocm6.4"}


@dataclass(frozen=True)
class Lock:
    """One lock file: its input, what else holds its versions down, and uv's options for it."""

    name: str
    source: str
    constraints: tuple[str, ...]
    options: tuple[str, ...]

    @property
    def file(self) -> Path:
        """The compiled lock."""
        return FOLDER / f"{self.name}.txt"

    def inputs(self) -> list[Path]:
        """Return the hand-written files that decide what is in it, in a fixed order."""
        hand_written = [self.source, *(name for name in self.constraints if name.endswith(".in"))]
        return sorted({file for name in hand_written for file in included(FOLDER / name)})

    def stamp(self) -> str:
        """Return the digest of its inputs."""
        digest = hashlib.sha256()
        for file in self.inputs():
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
        return digest.hexdigest()

    def is_current(self) -> bool:
        """Whether it was compiled from the inputs as they are."""
        return self.file.is_file() and self.file.read_text().startswith(STAMP + self.stamp())


def included(file: Path) -> Iterator[Path]:
    """Yield an input and, line by line, those it includes by -r; SlipwayError when one is missing."""
    if not file.is_file():
        raise SlipwayError(f"{file} is missing; a lock is compiled from it")
    yield file
    for name in re.findall(r"^-r\s+(\S+)", file.read_text(), re.MULTILINE):
        yield from included(file.with_name(name))


def python_options(version: str, base: Distro) -> tuple[str, ...]:
    """Return uv's options for the Python of an image on a base."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[base.architecture]
    return (f"--python-version={version}", f"--python-platform={machine}-manylinux_{base.glibc.replace('.', '_')}")


def variant_locks(variant: Variant) -> Iterator[Lock]:
    """Yield a variant's locks, the largest flavor first: a smaller one takes the same versions."""
    options = python_options(variant.versions["python"], variant.distro)
    own_versions = f"{variant.locks}.in"
    versions = (BOUNDS, own_versions) if (FOLDER / own_versions).is_file() else (BOUNDS,)
    larger: tuple[str, ...] = ()
    for flavor in reversed(tuple(variant.images)):
        name = f"{variant.locks}-{flavor}"
        own = f"{name}.in"
        source = own if (FOLDER / own).is_file() else f"{variant.accelerator}-{flavor}.in"
        yield Lock(name, source, versions + larger, (*options, "--only-binary=:all:"))
        larger = (f"{name}.txt",)


def workload_locks() -> Iterator[Lock]:
    """Yield the locks of Dockerfile's targets, with the versions that the variants have and that one another has.

    By their names, which is what asks for most first. overrides.in keeps out what each variant has in its own version.
    """
    options = ("--python-version=3.13", "--python-platform=x86_64-manylinux_2_40", "--overrides=overrides.in")
    larger: tuple[str, ...] = (BOUNDS, "cpu-runtime.txt", "cuda13.0-devel.txt")
    for file in sorted(file for target in TARGETS for file in FOLDER.glob(f"{target}*.in")):
        yield Lock(file.stem, file.name, larger, options)
        larger = (*larger, f"{file.stem}.txt")
    # Elyra's environment is its own: it wants older packages than the variants have.
    yield Lock("elyra", "elyra.in", (), options[:2])


def index_locks(variant: Variant) -> Iterator[Lock]:
    """Yield a variant's locks that take PyTorch from its own index, which is not reached everywhere."""
    larger: tuple[str, ...] = ()
    for usual in variant_locks(variant):
        name = usual.name.replace(variant.locks, f"{variant.locks}-index", 1)
        if (FOLDER / f"{name}.in").is_file():
            backend = TORCH_BACKENDS[variant.accelerator]
            yield Lock(name, f"{name}.in", larger, (*usual.options, f"--torch-backend={backend}"))
            larger = (f"{name}.txt",)


def locks(matrix: Matrix) -> Iterator[Lock]:
    """Yield every lock of the repository, in the order in which they are compiled."""
    for variant in matrix.variants.values():
        # A lock holds the hashes of each platform's wheels: one platform's is the others' as well.
        if variant.distro.platform == PLATFORMS[0]:
            yield from variant_locks(variant)
    yield from workload_locks()
    for name in TOOLS:
        yield Lock(name, f"{name}.in", (), ("--universal", "--python-version=3.11"))


def compile_lock(lock: Lock) -> None:
    """Resolve a lock anew with hashes; the old one stays when that fails."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / lock.file.name
        command = [
            os.environ.get("UV", "uv"),
            "pip",
            "compile",
            "--quiet",
            "--upgrade",
            "--generate-hashes",
            "--no-header",
            *lock.options,
            *(f"--constraints={name}" for name in lock.constraints),
            f"--output-file={output}",
            lock.source,
        ]
        if subprocess.run(command, cwd=FOLDER, stdout=subprocess.DEVNULL, check=False).returncode:
            raise SlipwayError(f"{lock.file.name} could not be compiled from {lock.source}: uv's message is above")
        header = f"{STAMP}{lock.stamp()}\n# Compiled from {lock.source} by: nox -s lock\n"
        results.write(lock.file, header + output.read_text())


def check() -> int:
    """Name the locks that no longer match their inputs; exit code 1 when there are any."""
    matrix = load_matrix()
    made = (lock for variant in matrix.variants.values() for lock in index_locks(variant) if lock.file.exists())
    stale = [lock for lock in (*locks(matrix), *made) if not lock.is_current()]
    for lock in stale:
        inputs = ", ".join(file.name for file in lock.inputs())
        print(f"error: requirements/{lock.file.name} does not match {inputs}: run nox -s lock", file=sys.stderr)
    return 1 if stale else 0


def require_current(image: Image) -> None:
    """Refuse to build an image from a lock that does not match its inputs."""
    wanted = image.locks
    for lock in (*variant_locks(image.variant), *workload_locks()):
        if lock.file in wanted and not lock.is_current():
            raise SlipwayError(f"requirements/{lock.file.name} does not match {lock.source}: run nox -s lock")


def main() -> int:
    """Compile the locks, or check them."""
    parser = argparse.ArgumentParser(prog="python -m slipway.build.locks")
    parser.add_argument("--check", action="store_true", help="say which are out of date")
    parser.add_argument("--index", action="store_true", help="compile those that take PyTorch from its own index")
    options = parser.parse_args()
    if options.check:
        return check()
    matrix = load_matrix()
    chosen = (
        (lock for variant in matrix.variants.values() for lock in index_locks(variant))
        if options.index
        else locks(matrix)
    )
    for lock in chosen:
        print(f"requirements/{lock.file.name}", flush=True)
        compile_lock(lock)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
