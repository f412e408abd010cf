"""The times of builds: of nothing changed, of a line changed, without any cache; and of checks of two images at a time.

In the cold build both sides download everything: the build has its own cache mounts, and uv's cache in the container is
empty. Everything that they leave in the engine is removed.
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from slipway import docker, files, repository
from slipway.bench import timing
from slipway.bench.figures import Figure, Goal
from slipway.build import bake, build_cache
from slipway.build.dockerfiles import Dockerfiles
from slipway.build.reproduce import copy_context
from slipway.errors import SlipwayError
from slipway.host import downloads
from slipway.host.apt import CA_IN_BUILD
from slipway.host.downloads import Host
from slipway.image import saved_image
from slipway.matrix import Image, Matrix

BUILDS = 3
GOALS = {1: 2, 3: 4, 9: 18}  # images of a build in which nothing has changed, and the seconds that it may take
COLD = "cuda-runtime"
UPDATED = Path("app", "info.py")

# Unpacks its input, the host's settings and the lock, and installs the lock.
INSTALL = """
set -eu
tar -x -C /
uv pip install --quiet --compile-bytecode --require-hashes --requirements=/slipway/lock.txt
du --summarize --bytes /opt/venv
"""


def call_nox(*words: str) -> list[str]:
    """Return the command of a session."""
    return [sys.executable, "-m", "nox", "-s", *words]


# --- builds by docker alone ----------------------------------------------------------------------


@contextmanager
def temporary_builds(matrix: Matrix, images: list[Image], **changes: object) -> Iterator[dict[str, Any]]:
    """Yield the definition of builds with tags of their own, which are removed at the end; fields may be changed."""
    definition = bake.make_definition(matrix, images)
    name = timing.make_name()
    tags = [f"{name}:{image.name}" for image in images]
    for image, tag in zip(images, tags, strict=True):
        definition["target"][bake.name_target(image)] |= {"tags": [tag], **changes}
    try:
        yield definition
    finally:
        docker.call("image", "rm", "--force", *tags)


def time_bake(definition: Mapping[str, Any], settings: Host) -> float:
    """Return the seconds of `docker buildx bake`."""
    command = ["docker", "buildx", "bake", f"--builder={docker.own_builder()}", "--file=-"]
    environment = settings.environment()
    return timing.time_command(*command, *bake.pass_settings(settings), data=json.dumps(definition), **environment)


# --- nothing changed, a line changed -------------------------------------------------------------


def measure_unchanged(matrix: Matrix, images: list[Image]) -> Iterator[Figure]:
    """Yield the seconds of the build session without changes for a few and for many images, beside docker's own."""
    settings = downloads.find(matrix.default_distro.suite)
    for count, goal in GOALS.items():
        chosen = images[:count]
        what = f"nothing changed, {count} image{'s' if count > 1 else ''}"
        if len(chosen) < count:
            yield Figure(what, note=f"{len(chosen)} are built")
            continue
        timing.print_progress(what)
        command = call_nox("build", "--", *(image.name for image in chosen))
        timing.run_command(*command)
        with temporary_builds(matrix, chosen) as definition:
            nox, plain = partial(timing.time_command, *command), partial(time_bake, definition, settings)
            pairs = timing.measure_in_turns(nox, plain, BUILDS)
        yield Figure(what, **pairs, against="docker buildx bake", goal=Goal(goal), note=f"median of {BUILDS}")


def measure_update(matrix: Matrix, image: Image) -> Iterator[Figure]:
    """Yield the seconds of a build after a line of the service has changed, and the bytes that it changes."""
    settings = downloads.find(image.variant.distro.suite)
    timing.print_progress(f"changing a line of {UPDATED}")
    with files.temporary_folder() as folder, temporary_builds(matrix, [image]) as plain:
        copy_context(image, Path(folder))
        unchanged = time_bake(plain, settings)
        with (Path(folder) / UPDATED).open("a", encoding="utf-8") as file:
            file.write(f"# {timing.make_name()}\n")
        with temporary_builds(matrix, [image], context=folder) as definition:
            seconds = time_bake(definition, settings)
            [target] = definition["target"].values()
            new, whole = compare_layers(image.tag, target["tags"][0])
    yield Figure(f"a line of app/, {image.name}", seconds, baseline=unchanged, against="nothing changed")
    yield Figure(f"a line of app/, {image.name}, new layers", new, "MB", whole, "the image")


def compare_layers(before: str, after: str) -> tuple[float, float]:
    """Return the MB of the layers that only the second image has, and of all its layers."""
    known = {layer.diff_id for layer in saved_image.read_image(before).layers}
    layers = saved_image.read_image(after).layers
    sizes = [(sum(entry.size for entry in layer.entries) / 1e6, layer.diff_id) for layer in layers]
    return sum(size for size, diff_id in sizes if diff_id not in known), sum(size for size, _ in sizes)


def measure_two_at_a_time(images: list[Image]) -> Iterator[Figure]:
    """Yield the seconds of the checks of two images beside each other, beside one after the other."""
    names = [image.name for image in images]
    timing.print_progress(f"checks of {' and '.join(names)}")
    seconds = timing.time_command(*call_nox("test", "--", *names))
    one_by_one = sum(timing.time_command(*call_nox("test", "--", name)) for name in names)
    yield Figure(f"checks of {' and '.join(names)}", seconds, baseline=one_by_one, against="one by one")


# --- the cold build ------------------------------------------------------------------------------


def measure_cold(matrix: Matrix, *, wanted: bool) -> Iterator[Figure]:
    """Yield the seconds of a build without any cache, and its size, beside those of a bare installation."""
    what = f"cold build {COLD}"
    goal = Goal(1.35, "ratio")
    if not wanted:
        yield Figure(what, goal=goal, note="nox -s bench -- --cold")
        return
    image = matrix.find_image(COLD)
    settings = downloads.find(image.variant.distro.suite)
    timing.print_progress(f"building {COLD} without any cache: some minutes")
    ours, whole = time_cold_build(matrix, image, settings)
    timing.print_progress("installing the same lock in a bare environment")
    with temporary_builds(matrix, [image], target="system") as definition:
        time_bake(definition, settings)
        [target] = definition["target"].values()
        bare, size = run_bare_install(target["tags"][0], settings, image)
    yield Figure(what, ours, baseline=bare, against="uv pip install", goal=goal)
    yield Figure(f"size {COLD}, the whole system", whole / 1e9, "GB", size / 1e9, "uv pip install")


def time_cold_build(matrix: Matrix, image: Image, settings: Host) -> tuple[float, int]:
    """Return the seconds and the bytes of a build without any cache, and remove what it leaves in the engine."""
    before = build_cache.read_records()
    with temporary_builds(matrix, [image], **{"no-cache": True}) as definition:
        [target] = definition["target"].values()
        [tag] = target["tags"]
        target["args"] = target["args"] | {"BUILDKIT_CACHE_MOUNT_NS": tag.partition(":")[0]}  # empty cache mounts
        try:
            return time_bake(definition, settings), saved_image.read_image(tag).size
        finally:
            remove_new_records(set(before), repository.ROOT / image.dockerfile)


def remove_new_records(before: set[str], dockerfile: Path) -> None:
    """Remove the records of a Dockerfile from the build cache that were not there before."""
    records = build_cache.read_records()
    own = build_cache.find_steps(records, Dockerfiles([dockerfile.read_text(encoding="utf-8")]))
    build_cache.remove_records(records, build_cache.add_children(records, own) - before)


def run_bare_install(tag: str, settings: Host, image: Image) -> tuple[float, int]:
    """Install the lock in a container with only uv; return the seconds and the bytes; SlipwayError when it fails."""
    lock = b"".join(file.read_bytes() for file in image.variant_locks)
    packed = [("slipway/lock.txt", lock), ("etc/uv/uv.toml", settings.uv_toml.encode())]
    variables = [*settings.proxies, "UV_CACHE_DIR=/tmp/uv"]
    if settings.ca_bundle:
        packed.append((CA_IN_BUILD.lstrip("/"), settings.ca_bundle.read_bytes()))
        variables.append(f"SSL_CERT_FILE={CA_IN_BUILD}")
    name = timing.make_name()
    options = ["--interactive", f"--name={name}", "--entrypoint=sh", *(f"--env={variable}" for variable in variables)]
    started = time.monotonic()
    try:
        result = docker.call("run", *options, tag, "-c", INSTALL, data=docker.pack(packed), variables=settings.proxies)
        seconds = time.monotonic() - started
    finally:
        docker.call("rm", "--force", "--volumes", name)
    if result.returncode:
        lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
        raise SlipwayError(f"the bare installation failed: {lines[-1]}")
    return seconds, int(result.stdout.split()[0])
