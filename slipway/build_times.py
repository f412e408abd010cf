"""The times of builds: when nothing changed, beside plain docker; with no cache at all, beside a bare installation.

For the cold build both sides download everything: the build has cache mounts of its own, uv's cache in
the container is empty. What either leaves in the engine is removed.
"""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator

from slipway import clean, engine, evidence, host, measure, saved_image
from slipway.errors import SlipwayError
from slipway.host import CA_IN_BUILD, Host
from slipway.matrix import ROOT, Image, Matrix
from slipway.measure import Figure

FAMILY = "cuda"
BUILDS = 3
COLD = "cuda-runtime"

# Unpacks its input, the host's settings and the lock, and installs the lock as anyone would.
INSTALL = """
set -eu
tar -x -C /
uv pip install --quiet --compile-bytecode --require-hashes --requirements=/slipway/lock.txt
du --summarize --bytes /opt/venv
"""


# --- builds when nothing changed -----------------------------------------------------------------


def build_command(rows: Matrix, image: Image, settings: Host, *options: str) -> list[str]:
    """Return the plain `docker buildx build` of an image, without labels and tag."""
    return [
        "docker",
        "buildx",
        "build",
        f"--build-arg=BASE_IMAGE={image.family.base.image}",
        f"--build-arg=APT_DATE={rows.apt_date}",
        *(f"--build-arg={name}={value}" for name, value in image.family.arguments.items()),
        *settings.build_arguments(),
        "--load",
        "--provenance=false",
        *options,
        ".",
    ]


def plain_build(rows: Matrix, image: Image) -> float:
    """Return the seconds of the plain build of an image; its result is removed."""
    settings = host.find(image.family.base.suite)
    tag = f"{measure.new_name()}:{image.name}"
    options = [f"--file={image.family.dockerfile}", f"--target={image.flavor}", f"--tag={tag}"]
    command = build_command(rows, image, settings, *options)
    try:
        return measure.seconds(*command, **settings.environment())
    finally:
        engine.docker("image", "rm", "--force", tag)


def unchanged(rows: Matrix) -> Iterator[Figure]:
    """Yield the seconds that the build session takes for a flavor when nothing changed, beside the plain build."""
    images = list(rows.families[FAMILY].images.values())
    command = [sys.executable, "-m", "nox", "-s", f"build-{FAMILY}"]

    def plain() -> float:
        return sum(plain_build(rows, image) for image in images)

    with kept_results(images):
        nox, buildx = measure.alternate(lambda: measure.seconds(*command), plain, BUILDS)
    for what in ("a flavor", "what nox and slipway add"):
        yield Figure(
            f"nothing changed, {what}",
            nox / len(images),
            yardstick=buildx / len(images),
            against="docker buildx build",
            note=f"median of {BUILDS}",
        )


@contextlib.contextmanager
def kept_results(images: list[Image]) -> Iterator[None]:
    """Keep the results of checks over a build, which forgets them, where it makes the same image again."""
    tested = [image for image in images if (image.evidence / "tests.xml").is_file()]
    before = [(image, image_id(image), (image.evidence / "tests.xml").read_text()) for image in tested]
    try:
        yield
    finally:
        for image, identity, text in before:
            if image_id(image) == identity:
                evidence.write(image.evidence / "tests.xml", text)


def image_id(image: Image) -> str:
    """Return what the image's tag points at; empty without one."""
    return engine.docker("image", "inspect", "--format={{.Id}}", image.tag).stdout.strip()


# --- with no cache at all -------------------------------------------------------------------------


def cold(rows: Matrix, *, wanted: bool) -> Iterator[Figure]:
    """Yield the seconds of a cold build beside those of the bare installation, and both sizes."""
    if not wanted:
        yield Figure(f"cold build {COLD}", note="nox -s bench -- --cold measures it")
        return
    image = rows.image(COLD)
    settings = host.find(image.family.base.suite)
    measure.say(f"building {COLD} with no cache")
    ours = cold_build(rows, image, settings)
    measure.say("installing the same lock in a bare environment")
    bare, size = bare_install(rows, image, settings)
    yield Figure(f"cold build {COLD}", ours, yardstick=bare, against="uv pip install")
    whole = saved_image.read_image(image.tag).size / 1e9
    yield Figure(f"size {COLD}, the whole system", whole, "GB", size / 1e9, "uv pip install")


def marked(dockerfile: str, mark: str) -> str:
    """Return a Dockerfile with cache mounts of its own, whose steps can be told from others in BuildKit's cache."""
    own_mounts = dockerfile.replace("id=slipway-", f"id={mark}-").replace("set -eux\n", f"set -eux # {mark}\n")
    return re.sub(r"(?m)^    (?=/\w+/[\w-]+ |/pip-install )", f"    : {mark} && ", own_mounts)


def cold_build(rows: Matrix, image: Image, settings: Host) -> float:
    """Return the seconds of a build that finds nothing in any cache; its traces are removed."""
    mark = measure.new_name()
    dockerfile = marked((ROOT / image.family.dockerfile).read_text(), mark)
    tag = f"{mark}:{image.name}"
    options = ["--file=-", "--no-cache", f"--target={image.flavor}", f"--tag={tag}"]
    try:
        return shown(build_command(rows, image, settings, *options), dockerfile.encode(), settings)
    finally:
        engine.docker("image", "rm", "--force", tag)
        forget(mark)


def shown(command: list[str], data: bytes, settings: Host) -> float:
    """Return the seconds of a long command that shows its own progress."""
    started = time.monotonic()
    environment = {**os.environ, **settings.environment()}
    if subprocess.run(command, input=data, cwd=ROOT, env=environment, check=False).returncode:
        raise SlipwayError("the build failed: docker's message is above")
    return time.monotonic() - started


# --- the traces in BuildKit's cache --------------------------------------------------------------


def traces(records: dict[str, clean.Record], mark: str) -> set[str]:
    """Return the records that bear a mark, and those that stand on them."""
    found = {record.identifier for record in records.values() if mark in record.description}
    while above := {r.identifier for r in records.values() if found & set(r.parents)} - found:
        found |= above
    return found


def forget(mark: str) -> None:
    """Remove a build's records, the last steps first: one that others stand on cannot go."""
    records = clean.read_records()
    left = traces(records, mark)
    while left:
        below = {parent for identifier in left for parent in records[identifier].parents}
        for identifier in left - below:
            engine.docker("buildx", "prune", "--all", "--force", f"--filter=id={identifier}")
        left &= below


# --- the yardstick -------------------------------------------------------------------------------


def bare_install(rows: Matrix, image: Image, settings: Host) -> tuple[float, float]:
    """Return the seconds and the bytes of the lock installed in a container that has uv and nothing else."""
    name = measure.new_name()
    tag = f"{name}:system"
    options = [f"--file={image.family.dockerfile}", "--target=system", f"--tag={tag}"]
    try:
        measure.output(*build_command(rows, image, settings, *options), **settings.environment())
        started = time.monotonic()
        printed = install(name, tag, image, settings)
        return time.monotonic() - started, int(printed.split()[0])
    finally:
        engine.docker("rm", "--force", "--volumes", name)
        engine.docker("image", "rm", "--force", tag)


def install(name: str, tag: str, image: Image, settings: Host) -> str:
    """Run the bare installation and return what it printed; SlipwayError when it fails."""
    files = [("slipway/lock.txt", image.lock_text.encode()), ("etc/uv/uv.toml", settings.uv_toml.encode())]
    variables = [*settings.proxies, "UV_CACHE_DIR=/tmp/uv"]
    if settings.ca_bundle:
        files.append((CA_IN_BUILD.lstrip("/"), settings.ca_bundle.read_bytes()))
        variables.append(f"SSL_CERT_FILE={CA_IN_BUILD}")
    options = ["--interactive", f"--name={name}", "--entrypoint=sh", *(f"--env={variable}" for variable in variables)]
    result = engine.docker("run", *options, tag, "-c", INSTALL, data=engine.tar_of(files))
    if result.returncode:
        lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
        raise SlipwayError(f"the bare installation failed: {lines[-1]}")
    return result.stdout
