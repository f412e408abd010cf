"""The lock files of requirements/: which there are, compile them, and tell when one no longer matches its inputs.

    python -m slipway.build.locks           compiles every lock
    python -m slipway.build.locks cpu       compiles those of a variant
    python -m slipway.build.locks --index   compiles those that take PyTorch from its own index (LOCKS=cpu-index)
    python -m slipway.build.locks --check   says which are out of date; needs no network

A lock's first line holds a digest of the inputs that it was compiled from. requirements/resolved.toml has the day of
each: a lock that finds the same versions again is as new as one that changes, and its layer stays as it is.
"""

import argparse
import datetime
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway import repository, results
from slipway.build.lock_layers import split_layers
from slipway.errors import SlipwayError, run
from slipway.images_toml import LAYERS, TARGETS, Distro
from slipway.matrix import Image, Matrix, Variant, load_matrix
from slipway.python_locks import Requirement, read_lock

FOLDER = repository.ROOT / "requirements"
TOOLS = ("slipway", "report", "checks", "tests", "lint", "docs", "go", "uv", "build")
RESOLVED = FOLDER / "resolved.toml"
RESOLVED_HEAD = "# The day on which the versions of each lock were resolved, in UTC. Written by nox -s lock.\n"
STAMP = "# inputs: sha256:"
BOUNDS = "bounds.in"  # for the packages of every image
# PyTorch's own index for each accelerator, as uv and the Dockerfiles' UV_TORCH_BACKEND name it.
TORCH_BACKENDS = {"cpu": "cpu", "rocm": "rocm6.4"}
INDEX = "-index"  # ends LOCKS where PyTorch comes from that index


@dataclass(frozen=True)
class Lock:
    """A lock file: its input, the files that constrain its versions, and uv's options."""

    name: str
    source: str
    constraints: tuple[str, ...]
    options: tuple[str, ...]
    layer: str = ""

    @property
    def file(self) -> Path:
        """The compiled lock."""
        return FOLDER / f"{self.name}.txt"

    @property
    def session(self) -> str:
        """The command that compiles it."""
        return f"nox -s lock{' -- --index' if INDEX in self.name else ''}"

    def list_inputs(self) -> list[Path]:
        """Return the hand-written files that it is compiled from, in a fixed order."""
        hand_written = [self.source, *(name for name in self.constraints if name.endswith(".in"))]
        return sorted({file for name in hand_written for file in iterate_inputs(FOLDER / name)})

    def compute_digest(self) -> str:
        """Return the digest of its inputs."""
        digest = hashlib.sha256()
        for file in self.list_inputs():
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
        return digest.hexdigest()

    def is_current(self) -> bool:
        """Whether it was compiled from the inputs as they are."""
        return self.file.is_file() and self.file.read_text().startswith(STAMP + self.compute_digest())


def iterate_inputs(file: Path) -> Iterator[Path]:
    """Yield an input and, line by line, those it includes by -r; SlipwayError when one is missing."""
    if not file.is_file():
        raise SlipwayError(f"{file} is missing; a lock is compiled from it")
    yield file
    for name in re.findall(r"^-r\s+(\S+)", file.read_text(), re.MULTILINE):
        yield from iterate_inputs(file.with_name(name))


def make_python_options(version: str, distro: Distro) -> tuple[str, ...]:
    """Return uv's options for the Python of an image on a distro."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[distro.architecture]
    return (f"--python-version={version}", f"--python-platform={machine}-manylinux_{distro.glibc.replace('.', '_')}")


def list_variant_locks(variant: Variant, suffix: str = "") -> Iterator[Lock]:
    """Yield a variant's locks, one for each layer, the lowest first; with "-index" those with PyTorch's own index."""
    python = make_python_options(variant.versions["python"], variant.distro)
    # Wheels need no Python of that version: without --python, uv looks for one on this host, then downloads it.
    options = (*python, "--only-binary=:all:", f"--python={sys.executable}")
    if suffix:
        options = (*options, f"--torch-backend={TORCH_BACKENDS[variant.accelerator]}")
    own_versions = f"{variant.locks}.in"
    versions = (BOUNDS, own_versions) if (FOLDER / own_versions).is_file() else (BOUNDS,)
    layers = [layer for flavor in variant.images for layer in LAYERS[variant.accelerator + suffix][flavor]]
    for layer in layers:
        names = [f"{start}-{layer}.in" for start in (f"{variant.locks}{suffix}", variant.accelerator)]
        source = next((name for name in names if (FOLDER / name).is_file()), f"{layer}.in")
        yield Lock(f"{variant.locks}{suffix}-{layer}", source, versions, options, layer)


def list_workload_locks() -> Iterator[Lock]:
    """Yield the locks of Dockerfile's targets, with the versions that the variants have and that one another has.

    By their names, which is what asks for most first. overrides.in keeps out what each variant has in its own version.
    """
    matrix = load_matrix()
    python = make_python_options(matrix.variants["cpu"].versions["python"], matrix.default_distro)
    options = (*python, "--overrides=overrides.in")
    variants = [file.name for name in ("cpu-runtime", "cuda-devel") for file in matrix.find_image(name).variant_locks]
    larger: tuple[str, ...] = (BOUNDS, *variants)
    for file in sorted(file for target in TARGETS for file in FOLDER.glob(f"{target}*.in")):
        layers = LAYERS.get(file.stem, {}).get(file.stem, ("",))
        for layer in layers:
            source = f"{layer}.in" if (FOLDER / f"{layer}.in").is_file() else file.name
            name = f"{file.stem}-{layer}" if layer else file.stem
            yield Lock(name, source, larger, options, layer)
        larger = (*larger, *(f"{file.stem}-{layer}.txt" if layer else f"{file.stem}.txt" for layer in layers))
    # Elyra's environment is its own: it wants older packages than the variants have.
    yield Lock("elyra", "elyra.in", (), python)


def list_index_locks(matrix: Matrix) -> Iterator[Lock]:
    """Yield the locks that take PyTorch from its own index, which is not reached everywhere."""
    for variant in matrix.variants.values():
        if variant.name in TORCH_BACKENDS:
            yield from list_variant_locks(variant, INDEX)


def list_other_locks() -> Iterator[Lock]:
    """Yield the locks of Dockerfile's targets and of tools, in the order in which they are compiled."""
    yield from list_workload_locks()
    for name in TOOLS:
        yield Lock(name, f"{name}.in", (), ("--universal", "--python-version=3.11"))


def list_locks(matrix: Matrix) -> Iterator[Lock]:
    """Yield every lock of the repository except those of list_index_locks."""
    for variant in choose_variants(matrix):
        yield from list_variant_locks(variant)
    yield from list_other_locks()


def resolve_lock(sources: Iterable[str], constraints: Iterable[str], options: Iterable[str], name: str) -> str:
    """Return the lock that uv compiles from the inputs, with hashes; SlipwayError when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "lock.txt"
        command = [os.environ.get("UV", "uv"), "pip", "compile", "--quiet", "--upgrade", "--generate-hashes"]
        command += ["--no-header", f"--output-file={output}", *(f"--constraints={file}" for file in constraints)]
        command += [*options, *sources]
        if subprocess.run(command, cwd=FOLDER, stdout=subprocess.DEVNULL, check=False).returncode:
            raise SlipwayError(f"{name} could not be compiled: uv's message is above")
        return output.read_text()


def write_lock(lock: Lock, text: str) -> None:
    """Write a lock with the digest of its inputs; the old one stays when it could not be resolved."""
    head = f"{STAMP}{lock.compute_digest()}\n# Compiled from {lock.source} by: {lock.session}\n"
    results.write(lock.file, head + text)
    days = read_days() | {lock.file.stem: datetime.datetime.now(datetime.UTC).date()}
    results.write(RESOLVED, RESOLVED_HEAD + "".join(f'"{name}" = {day}\n' for name, day in sorted(days.items())))
    print(f"requirements/{lock.file.name}", flush=True)


def read_days() -> dict[str, datetime.date]:
    """Return the day on which each lock was resolved, by its name; SlipwayError when the file is damaged."""
    try:
        found = tomllib.loads(RESOLVED.read_text()) if RESOLVED.exists() else {}
    except ValueError as error:  # tomllib's own error, an impossible date, bytes that are no text
        raise SlipwayError(f"{RESOLVED} cannot be read ({error}): run nox -s lock") from None
    if wrong := [name for name, day in found.items() if type(day) is not datetime.date]:
        raise SlipwayError(f"{RESOLVED} has no date for {wrong[0]}: run nox -s lock")
    return found


def compile_variant(locks: Sequence[Lock], flavors: Mapping[str, Sequence[str]]) -> None:
    """Resolve the layers of a variant together, the largest flavor first: a smaller one takes the same versions."""
    by_layer = {lock.layer: lock for lock in locks}
    inside = [[by_layer[layer] for layer in flavors[name] if layer in by_layer] for name in flavors]
    inside = [flavor for flavor in inside if flavor]
    pins: list[list[Requirement]] = []
    with tempfile.TemporaryDirectory() as folder:
        larger: list[str] = []
        for number in range(len(inside), 0, -1):
            together = [lock for flavor in inside[:number] for lock in flavor]
            sources = dict.fromkeys(lock.source for lock in together)
            constraints = (*together[0].constraints, *larger)
            text = resolve_lock(sources, constraints, together[0].options, together[-1].file.name)
            file = Path(folder) / f"{number}.txt"
            file.write_text(text)
            larger.append(str(file))
            pins.insert(0, read_lock(file))
    layers = [[(lock.layer, [file.name for file in lock.list_inputs()]) for lock in flavor] for flavor in inside]
    for layer, text in split_layers(zip(layers, pins, strict=True)):
        write_lock(by_layer[layer], text)


def choose_variants(matrix: Matrix, names: Sequence[str] = ()) -> list[Variant]:
    """Return the variants of these names, or each that has locks of its own; SlipwayError for an unknown name."""
    # A lock holds the hashes of each platform's wheels: one platform's is the others' as well, and so is one GPU's.
    variants: dict[str, Variant] = {}
    for name, variant in matrix.variants.items():
        if variant.locks not in {each.locks for each in variants.values()}:
            variants[name] = variant
    if unknown := [name for name in names if name not in variants]:
        raise SlipwayError(f"no variant {unknown[0]!r} has locks of its own; these have: {', '.join(variants)}")
    return [variants[name] for name in names] or list(variants.values())


def compile_others() -> None:
    """Compile the locks of Dockerfile's targets and of tools."""
    locks = list(list_other_locks())
    for lock in locks:
        if not lock.layer:
            write_lock(lock, resolve_lock([lock.source], lock.constraints, lock.options, lock.file.name))
    compile_variant([lock for lock in locks if lock.layer], LAYERS["workbench"])


def check_locks() -> int:
    """Print the locks that do not match their inputs; return exit code 1 if there are any."""
    matrix = load_matrix()
    stale = [lock for lock in list_locks(matrix) if not lock.is_current()]
    stale += [lock for lock in list_index_locks(matrix) if lock.file.exists() and not lock.is_current()]
    for lock in stale:
        inputs = ", ".join(file.name for file in lock.list_inputs())
        print(f"error: requirements/{lock.file.name} does not match {inputs}: run {lock.session}", file=sys.stderr)
    return 1 if stale else 0


def require_current(image: Image) -> None:
    """Raise SlipwayError when a lock of an image does not match its inputs."""
    wanted = image.locks
    for lock in (*list_variant_locks(image.variant), *(list_workload_locks() if image.workload else ())):
        if lock.file in wanted and not lock.is_current():
            raise SlipwayError(f"requirements/{lock.file.name} does not match {lock.source}: run {lock.session}")


def main() -> int:
    """Compile the locks, or check them."""
    parser = argparse.ArgumentParser(prog="python -m slipway.build.locks")
    parser.add_argument("--check", action="store_true", help="say which are out of date")
    parser.add_argument("--index", action="store_true", help="compile those that take PyTorch from its own index")
    parser.add_argument("variants", metavar="VARIANT", nargs="*", help="compile the locks of this variant alone")
    options = parser.parse_args()
    if options.check:
        return check_locks()
    matrix = load_matrix()
    suffix = INDEX if options.index else ""
    for variant in choose_variants(matrix, options.variants):
        if not suffix or variant.name in TORCH_BACKENDS:
            compile_variant(list(list_variant_locks(variant, suffix)), LAYERS[variant.accelerator + suffix])
    if not suffix and not options.variants:
        compile_others()
    return 0


if __name__ == "__main__":
    run(main)
