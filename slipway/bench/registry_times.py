"""Times with a registry on this machine: publishing what is published already, and pulling gzip and zstd.

crane pulls, because the engine that has built an image has its layers and would unpack nothing.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import which

from slipway import docker, files, results
from slipway.bench import timing
from slipway.bench.figures import Figure, Goal
from slipway.errors import SlipwayError
from slipway.matrix import Image
from slipway.publish import cosign, oci_layout, publish, registry, release_checks

TIMES = 3
PROGRAM = "docker-registry"
PATIENCE = 60  # seconds for a registry to start
PORTS = 3
CONFIGURATION = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "{host}"}}
"""


def explain_missing() -> str:
    """Return why there can be no registry on this machine; empty when there can."""
    return "" if which(PROGRAM) else f"there is no {PROGRAM}: nox -s setup -- --registry"


# --- publishing ----------------------------------------------------------------------------------


def measure_publish(image: Image) -> Iterator[Figure]:
    """Publish an image, then measure publishing it again, beside `docker push`."""
    what = f"publish an unchanged {image.name}"
    goal = Goal(3)
    if reasons := [reason for reason in (explain_missing(), *list_reasons(image)) if reason]:
        yield Figure(what, goal=goal, note=reasons[0])
        return
    with files.temporary_folder() as name, start_registry(Path(name)) as host, keep_record(publish.find_record(image)):
        key = make_key(Path(name))
        options = (f"--registry={host}/bench", f"--key={key}", "--allow-local-base", image.name)
        command = (sys.executable, "-m", "slipway.publish", *options)
        timing.run_command(*command, COSIGN_PASSWORD="")
        with push_by_docker(image, f"{host}/bench:docker") as push:
            pairs = timing.measure_in_turns(
                lambda: timing.time_command(*command, COSIGN_PASSWORD=""), lambda: timing.time_command(*push), TIMES
            )
    yield Figure(what, **pairs, against="docker push", goal=goal)


def list_reasons(image: Image) -> list[str]:
    """Return why an image cannot be published; whatever its base image is."""
    try:
        return release_checks.list_problems(release_checks.find_candidate(image), allow_local_base=True)
    except SlipwayError as error:
        return [str(error)]


def make_key(folder: Path) -> Path:
    """Make a key without a password in a temporary folder."""
    prefix = folder / "cosign"
    cosign.run_cosign("generate-key-pair", f"--output-key-prefix={prefix}")
    return prefix.with_suffix(".key")


@contextlib.contextmanager
def push_by_docker(image: Image, tag: str) -> Iterator[tuple[str, ...]]:
    """Push an image by docker, which compresses with gzip; yield the command that pushes it again."""
    command = ("docker", "push", "--quiet", tag)
    try:
        timing.run_command("docker", "tag", image.tag, tag)
        timing.run_command(*command)
        yield command
    finally:
        docker.call("image", "rm", tag)


@contextlib.contextmanager
def keep_record(file: Path) -> Iterator[None]:
    """Restore the record of the last real publication at the end."""
    before = file.read_text(encoding="utf-8") if file.is_file() else None
    try:
        yield
    finally:
        if before is None:
            file.unlink(missing_ok=True)
        else:
            results.write(file, before)


# --- pulling -------------------------------------------------------------------------------------


def measure_pull(image: Image) -> Iterator[Figure]:
    """Yield the seconds and the bytes of pulling and unpacking an image as it is published, and as docker pushes it."""
    what = f"pull {image.name} (zstd)"
    if reason := explain_missing():
        yield Figure(what, note=reason)
        return
    timing.print_progress(f"pulling {image.tag}")
    with files.temporary_folder() as name, start_registry(Path(name)) as host:
        repository = registry.Repository(f"{host}/bench")
        with oci_layout.temporary_layout() as layout:
            if not (local := oci_layout.inspect_image(image.tag)):
                raise SlipwayError(f"{image.tag} is gone: nox -s build -- {image.name}")
            manifest = oci_layout.pack_image(local, layout)
            repository.push(layout.folder, manifest.digest)
        tags = (repository.refer(manifest.digest), repository.refer("gzip"))
        with push_by_docker(image, tags[1]):
            pass
        manifests = (repository.require_manifest(each) for each in (manifest.digest, "gzip"))
        sizes = [sum(layer["size"] for layer in each.json["layers"]) / 1e6 for each in manifests]
        pairs = timing.measure_in_turns(lambda: time_pull(tags[0]), lambda: time_pull(tags[1]), TIMES)
    yield Figure(what, **pairs, against="gzip")
    yield Figure(f"{what}, bytes", sizes[0], "MB", sizes[1], "gzip")


def time_pull(reference: str) -> float:
    """Return the seconds of crane for downloading an image, unpacking its layers and putting them together."""
    started = time.monotonic()
    registry.read_output(registry.call_crane("export", reference, os.devnull, seconds=None))
    return time.monotonic() - started


# --- a registry of this run ---------------------------------------------------------------------


@contextlib.contextmanager
def start_registry(folder: Path) -> Iterator[str]:
    """Run a registry on a free port of this machine; yield its host.

    Another program may take the port before it does, which ends it: then it is started on another port.
    """
    for _ in range(PORTS):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = free.getsockname()
        host = f"127.0.0.1:{address[1]}"
        file = folder / "config.yml"
        file.write_text(CONFIGURATION.format(folder=folder / "data", host=host), encoding="utf-8")
        command = [PROGRAM, "serve", str(file)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                if serves(process, address):
                    yield host
                    return
            finally:
                process.kill()
    raise SlipwayError(f"{PROGRAM} ends as soon as it is started")


def serves(process: subprocess.Popen[bytes], address: tuple[str, int]) -> bool:
    """Wait until a process answers on a port; False when it has ended, SlipwayError when it never answers."""
    end = time.monotonic() + PATIENCE
    while not answers(address) and process.poll() is None:
        if time.monotonic() > end:
            raise SlipwayError(f"{PROGRAM} does not answer within {PATIENCE} s")
        time.sleep(0.05)
    time.sleep(0.05)  # what cannot have its port ends at once
    return process.poll() is None


def answers(address: tuple[str, int]) -> bool:
    """Tell whether something listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(address) == 0
