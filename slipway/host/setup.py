"""Makes this machine able to build: a Docker engine with BuildKit, proved once, and the base image.

    python -m slipway.host [--pull] [--image NAME] [--compose] [--browser] [--registry] [--yes]
    python -m slipway.host --undo [--yes]

images.toml says which base images there are and how much free disk a build needs. A working engine is left alone;
every change is reported, and noted so that --undo can take it back.
"""

import argparse
import functools
import math
from shutil import which

from slipway.errors import SlipwayError
from slipway.host import base_image, downloads, emulation, engine, packages, start
from slipway.host.base_image import BaseImage
from slipway.host.commands import say
from slipway.host.engine import Engine, NoEngineError
from slipway.host.undo import undo_setup
from slipway.images_toml import Distro
from slipway.matrix import Image, Matrix, load_matrix

BROWSERS = ("chromium", "chromium-browser", "google-chrome")  # any of them serves
REGISTRY = ("docker-registry", "zstd")  # what the tests of publishing run on loopback, and what packs layers
REFRESHED: set[str] = set()  # tags of base images: all images of a process start from the same one


def read_arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m slipway.host", description=__doc__)
    parser.add_argument("--pull", action="store_true", help="refresh the base image")
    parser.add_argument("--image", metavar="NAME", help="the image to be built: its base image, and disk for its size")
    parser.add_argument("--compose", action="store_true", help="also provide the compose plug-in, for compose.yaml")
    parser.add_argument("--browser", action="store_true", help="also provide a Chromium, for the checks of desktops")
    parser.add_argument("--registry", action="store_true", help="also provide docker-registry and zstd, for the tests")
    parser.add_argument("--yes", action="store_true", help="let apt upgrade or remove packages without a question")
    parser.add_argument("--undo", action="store_true", help="remove what setup added to this machine")
    return parser.parse_args(words)


def choose_base(matrix: Matrix, name: str | None) -> tuple[Distro, int]:
    """Return what an image starts from and the GB of free disk that its build needs; the default base without a name.

    A large image takes twice its size: itself, and its wheels unpacked in the cache.
    """
    if name is None:
        return matrix.default_distro, matrix.free_disk_gb
    image = matrix.find_image(name)
    return image.variant.distro, max(matrix.free_disk_gb, math.ceil(2 * image.most_size / 1e9))


def provide_engine() -> Engine:
    """Return an engine that answers and has BuildKit, after installing what is missing."""
    try:
        found = engine.find_engine()
    except NoEngineError as reason:
        found = start.provide_engine(reason)
        say(f"the Docker engine {found.version} answers")
    engine.require_buildkit(found)
    found = provide_plugin(found, "buildx")
    engine.require_buildx(found)
    return found


def provide_plugin(found: Engine, name: str) -> Engine:
    """Give the docker command one of its plug-ins, where it lacks it."""
    if name in found.plugins:
        return found
    reason = f"the docker command has no {name} plug-in"
    packages.install(f"docker-{name}", reason=reason)
    again = engine.find_engine()
    if name not in again.plugins:
        raise SlipwayError(
            f"{reason}, also after installing the package docker-{name}: is the docker command of "
            "another origin first on PATH? Link the plug-in, "
            f"/usr/libexec/docker/cli-plugins/docker-{name}, into ~/.docker/cli-plugins."
        )
    return again


def main(words: list[str] | None = None) -> int:
    """Look at everything a build needs; install, start, pull or make what is missing."""
    options = read_arguments(words)
    packages.is_agreed = options.yes
    if options.undo:
        undo_setup()
        return 0
    chosen, gb = choose_base(load_matrix(), options.image)
    serving = provide_engine()
    if options.compose:
        serving = provide_plugin(serving, "compose")
    if options.browser and not any(map(which, BROWSERS)):
        packages.install("chromium", reason="the checks of a desktop need Chromium, which is not installed")
    for program in REGISTRY if options.registry else ():
        if not which(program):
            packages.install(program, reason=f"the tests of publishing need {program}, which is not installed")
    prepare(serving, chosen, gb, refresh=options.pull)
    return 0


@functools.cache
def provide_engine_once() -> Engine:
    """Return the engine, which is looked at once for all builds of a process."""
    return provide_engine()


def prepare_build(rows: Matrix, image: Image, *, refresh: bool) -> None:
    """Make this machine able to build an image; `refresh` renews its base image, once in a process."""
    distro, gb = choose_base(rows, image.name)
    prepare(provide_engine_once(), distro, gb, refresh=refresh and distro.tag not in REFRESHED)
    if refresh:
        REFRESHED.add(distro.tag)


def prepare(serving: Engine, chosen: Distro, gb: int, *, refresh: bool) -> None:
    """Require free disk and provide the base image; print both."""
    free = engine.require_space(serving, gb)
    emulation.provide_emulation(serving, chosen)
    base = provide_base(serving, chosen, refresh=refresh)
    emulation.prove_emulation(serving, chosen)
    space = "" if free is None else f", {free:.0f} GB free"
    say(f"Docker engine {serving.version}, buildx {serving.plugins['buildx']}{space}")
    say(f"base image {base.name}, {base.origin}, {(base.digest or base.id)[:19]}, {base.created[:10]}")


def provide_base(serving: Engine, wanted: Distro, *, refresh: bool) -> BaseImage:
    """Return the base image, with the proof that a container on it has network."""
    base = base_image.find_image(wanted)
    if base and base.origin != base_image.OTHER and engine.is_proved(serving) and not refresh:
        return base
    settings = downloads.find(wanted.suite)
    base = base_image.provide_image(wanted, settings, load_matrix().apt_date, refresh=refresh)
    if not engine.is_proved(serving):
        say("running a container with network, once for this engine")
        engine.prove_network(serving, base.name, settings)
    return base
