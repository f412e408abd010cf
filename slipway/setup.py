"""Makes this machine able to build: a Docker engine with BuildKit, proved once, and the base image.

    python -m slipway.setup [--pull]

images.toml says which base image it takes and how much free disk it wants. What serves already is left as it is;
what is changed is said.
"""

import argparse
import sys

from slipway import base_image, engine, host, install, matrix
from slipway.base_image import BaseImage
from slipway.engine import Engine, NoEngineError
from slipway.errors import SlipwayError, run
from slipway.matrix import Base


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m slipway.setup", description=__doc__)
    parser.add_argument("--pull", action="store_true", help="refresh the base image")
    return parser.parse_args(words)


def provide_engine() -> Engine:
    """Return an engine that answers and has BuildKit, after installing what is missing."""
    try:
        found = engine.ask()
    except NoEngineError as reason:
        found = install.provide_engine(reason)
        install.say(f"the Docker engine {found.version} answers")
    engine.require_buildkit(found)
    return found if found.buildx else provide_buildx()


def provide_buildx() -> Engine:
    """Give the docker command its plug-in buildx."""
    reason = "the docker command has no buildx plug-in"
    install.install("docker-buildx", reason=reason)
    again = engine.ask()
    if not again.buildx:
        raise SlipwayError(
            f"{reason}, also after installing the package docker-buildx: is the docker command of "
            "another origin first on PATH? Link the plug-in, "
            "/usr/libexec/docker/cli-plugins/docker-buildx, into ~/.docker/cli-plugins."
        )
    return again


def main(words: list[str] | None = None) -> int:
    """Look at everything a build needs; install, start, pull or make what is missing."""
    options = arguments(words)
    wanted = matrix.load()
    serving = provide_engine()
    free = engine.require_space(serving, wanted.free_disk_gb)
    base = provide_base(serving, wanted.base, refresh=options.pull)
    report(serving, free, base)
    return 0


def provide_base(serving: Engine, wanted: Base, *, refresh: bool) -> BaseImage:
    """Return the base image, with the proof that a container on it has network."""
    base = base_image.find(wanted.image)
    if base and engine.is_proved(serving) and not refresh:
        return base
    settings = host.find(wanted.suite)
    base = base_image.provide(wanted.image, wanted.suite, settings, refresh=refresh)
    if not engine.is_proved(serving):
        install.say("running a container with network, once for this engine")
        engine.prove(serving, base.name, settings)
    return base


def report(serving: Engine, free: float | None, base: BaseImage) -> None:
    """Say in two lines what there is."""
    space = "" if free is None else f", {free:.0f} GB free"
    identity = base.digest or base.id
    print(f"setup: Docker engine {serving.version}, buildx {serving.buildx}{space}")
    print(f"setup: base image {base.name}, {base.origin}, {identity[:19]}, {base.created[:10]}")


if __name__ == "__main__":
    sys.exit(run(main))
