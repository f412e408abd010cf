"""The time of publishing an image that is published already, beside `docker push`.

Both use a registry started on this machine. If something is missing, the figure has the reason and no value.
"""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import which

from slipway import docker, files, results
from slipway.bench import measurements
from slipway.bench.measurements import Figure
from slipway.errors import SlipwayError
from slipway.matrix import Image, Matrix
from slipway.publish import cosign, publish, release_checks

IMAGE = "cpu-base"
TIMES = 3
PROGRAM = "docker-registry"
PATIENCE = 20  # seconds for a registry to start
CONFIGURATION = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "{host}"}}
"""


def measure_unchanged(matrix: Matrix) -> Iterator[Figure]:
    """Publish an image, then measure publishing it again."""
    what = f"publish an unchanged {IMAGE}"
    image = matrix.find_image(IMAGE)
    reasons = list_reasons(image)
    if not which(PROGRAM):
        reasons.append(f"there is no {PROGRAM}: nox -s setup -- --registry")
    if reasons:
        yield Figure(what, note=reasons[0])
        return
    with (
        files.temporary_folder() as name,
        start_registry(Path(name)) as host,
        keep_record(publish.find_record(image)),
    ):
        key = make_key(Path(name))
        command = (
            sys.executable,
            "-m",
            "slipway.publish",
            f"--registry={host}/bench",
            f"--key={key}",
            "--allow-local-base",
            image.name,
        )
        measurements.run_command(*command, COSIGN_PASSWORD="")
        with push_by_docker(image, host) as push:
            times = measurements.measure_in_turns(
                lambda: measurements.time_command(*command, COSIGN_PASSWORD=""),
                lambda: measurements.time_command(*push),
                TIMES,
            )
    yield Figure(what, times[0], baseline=times[1], against="docker push")


def list_reasons(image: Image) -> list[str]:
    """Return why an image cannot be published; whatever its base image is."""
    try:
        return release_checks.list_problems(release_checks.find_candidate(image), allow_local_base=True)
    except SlipwayError as error:
        return [str(error)]


@contextlib.contextmanager
def start_registry(folder: Path) -> Iterator[str]:
    """Run a registry on a free port of this machine; yield its host."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    file = folder / "config.yml"
    file.write_text(CONFIGURATION.format(folder=folder / "data", host=host), encoding="utf-8")
    with subprocess.Popen([PROGRAM, "serve", file], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for_registry(host)
            yield host
        finally:
            process.kill()


def wait_for_registry(host: str) -> None:
    """Wait until a registry answers."""
    name, _, port = host.partition(":")
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex((name, int(port))) == 0:
                return
        time.sleep(0.05)
    raise SlipwayError(f"{PROGRAM} does not answer within {PATIENCE} s")


def make_key(folder: Path) -> Path:
    """Make a key without a password in a temporary folder."""
    prefix = folder / "cosign"
    cosign.run_cosign("generate-key-pair", f"--output-key-prefix={prefix}")
    return prefix.with_suffix(".key")


@contextlib.contextmanager
def push_by_docker(image: Image, host: str) -> Iterator[tuple[str, ...]]:
    """Push an image by docker; yield the command that pushes it again."""
    tag = f"{host}/bench:docker"
    command = ("docker", "push", "--quiet", tag)
    try:
        measurements.run_command("docker", "tag", image.tag, tag)
        measurements.run_command(*command)
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
