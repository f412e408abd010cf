"""The times of builds: without changes, beside plain docker; and without any cache, beside a bare installation.

In the cold build both sides download everything: the build has its own cache mounts, and uv's cache in the container is
empty. Everything that they leave in the engine is removed.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from slipway import docker, repository
from slipway.bench import measurements
from slipway.bench.measurements import Figure
from slipway.build import build_cache
from slipway.build.dockerfiles import Dockerfiles
from slipway.build.images import list_arguments
from slipway.errors import SlipwayError
from slipway.host import downloads
from slipway.host.apt import CA_IN_BUILD
from slipway.host.downloads import Host
from slipway.image import saved_image
from slipway.matrix import Image, Matrix

VARIANT = "cuda"
BUILDS = 3
COLD = "cuda-runtime"

# Unpacks its input, the host's settings and the lock, and installs the lock.
INSTALL = """
set -eu
tar -x -C /
uv pip install --quiet --compile-bytecode --require-hashes --requirements=/slipway/lock.txt
du --summarize --bytes /opt/venv
"""


# --- builds without changes ----------------------------------------------------------------------


def make_build_command(matrix: Matrix, image: Image, settings: Host, *options: str) -> list[str]:
    """Return the plain `docker buildx build` command of an image, without labels and tag."""
    return [
        "docker",
        "buildx",
        "build",
        *(f"--build-arg={name}={value}" for name, value in list_arguments(matrix, image).items()),
        *settings.build_arguments(),
        "--load",
        "--provenance=false",
        *options,
        ".",
    ]


def time_plain_build(matrix: Matrix, image: Image) -> float:
    """Return the seconds of the plain build of an image, and remove the built image."""
    settings = downloads.find(image.variant.distro.suite)
    tag = f"{measurements.make_name()}:{image.name}"
    options = [f"--file={image.variant.dockerfile}", f"--target={image.flavor}", f"--tag={tag}"]
    command = make_build_command(matrix, image, settings, *options)
    try:
        return measurements.time_command(*command, **settings.environment())
    finally:
        docker.call("image", "rm", "--force", tag)


def measure_unchanged(matrix: Matrix) -> Iterator[Figure]:
    """Yield the seconds per flavor of the build session without changes, beside the plain build."""
    images = list(matrix.variants[VARIANT].images.values())
    command = [sys.executable, "-m", "nox", "-s", f"build-{VARIANT}"]

    def plain() -> float:
        return sum(time_plain_build(matrix, image) for image in images)

    nox, buildx = measurements.measure_in_turns(lambda: measurements.time_command(*command), plain, BUILDS)
    for what in ("a flavor", "what nox and slipway add"):
        yield Figure(
            f"nothing changed, {what}",
            nox / len(images),
            baseline=buildx / len(images),
            against="docker buildx build",
            note=f"median of {BUILDS}",
        )


# --- builds without any cache ---------------------------------------------------------------------


def measure_cold(matrix: Matrix, *, wanted: bool) -> Iterator[Figure]:
    """Yield the seconds and the size of a cold build beside those of the bare installation."""
    if not wanted:
        yield Figure(f"cold build {COLD}", note="nox -s bench -- --cold measures it")
        return
    image = matrix.find_image(COLD)
    settings = downloads.find(image.variant.distro.suite)
    measurements.print_progress(f"building {COLD} with no cache")
    ours = time_cold_build(matrix, image, settings)
    measurements.print_progress("installing the same lock in a bare environment")
    bare, size = time_bare_install(matrix, image, settings)
    yield Figure(f"cold build {COLD}", ours, baseline=bare, against="uv pip install")
    whole = saved_image.read_image(image.tag).size / 1e9
    yield Figure(f"size {COLD}, the whole system", whole, "GB", size / 1e9, "uv pip install")


def time_cold_build(matrix: Matrix, image: Image, settings: Host) -> float:
    """Return the seconds of a build without any cache, and remove what it leaves in the engine."""
    name = measurements.make_name()
    tag = f"{name}:{image.name}"
    options = [f"--file={image.variant.dockerfile}", "--no-cache", f"--target={image.flavor}", f"--tag={tag}"]
    options += [f"--build-arg=BUILDKIT_CACHE_MOUNT_NS={name}"]  # empty cache mounts
    before = build_cache.read_records()
    try:
        return time_build(make_build_command(matrix, image, settings, *options), settings)
    finally:
        docker.call("image", "rm", "--force", tag)
        remove_new_records(set(before), repository.ROOT / image.variant.dockerfile)


def time_build(command: list[str], settings: Host) -> float:
    """Return the seconds of a build that prints its own progress."""
    started = time.monotonic()
    environment = {**os.environ, **settings.environment()}
    if subprocess.run(command, cwd=repository.ROOT, env=environment, check=False).returncode:
        raise SlipwayError("the build failed: docker's message is above")
    return time.monotonic() - started


def remove_new_records(before: set[str], dockerfile: Path) -> None:
    """Remove the records of a Dockerfile from the build cache that were not there before."""
    records = build_cache.read_records()
    own = build_cache.find_steps(records, Dockerfiles([dockerfile.read_text(encoding="utf-8")]))
    build_cache.remove_records(records, build_cache.add_children(records, own) - before)


# --- the baseline --------------------------------------------------------------------------------


def time_bare_install(matrix: Matrix, image: Image, settings: Host) -> tuple[float, float]:
    """Return the seconds and the bytes of the lock's packages installed in a container with only uv."""
    name = measurements.make_name()
    tag = f"{name}:system"
    options = [f"--file={image.variant.dockerfile}", "--target=system", f"--tag={tag}"]
    try:
        measurements.run_command(*make_build_command(matrix, image, settings, *options), **settings.environment())
        started = time.monotonic()
        printed = run_bare_install(name, tag, image, settings)
        return time.monotonic() - started, int(printed.split()[0])
    finally:
        docker.call("rm", "--force", "--volumes", name)
        docker.call("image", "rm", "--force", tag)


def run_bare_install(name: str, tag: str, image: Image, settings: Host) -> str:
    """Run the bare installation and return its output; SlipwayError when it fails."""
    files = [("slipway/lock.txt", image.lock_text.encode()), ("etc/uv/uv.toml", settings.uv_toml.encode())]
    variables = [*settings.proxies, "UV_CACHE_DIR=/tmp/uv"]
    if settings.ca_bundle:
        files.append((CA_IN_BUILD.lstrip("/"), settings.ca_bundle.read_bytes()))
        variables.append(f"SSL_CERT_FILE={CA_IN_BUILD}")
    options = ["--interactive", f"--name={name}", "--entrypoint=sh", *(f"--env={variable}" for variable in variables)]
    result = docker.call("run", *options, tag, "-c", INSTALL, data=docker.pack(files))
    if result.returncode:
        lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
        raise SlipwayError(f"the bare installation failed: {lines[-1]}")
    return result.stdout
