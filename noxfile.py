"""Builds, tests and runs the images of images.toml.

    nox -s build-cuda test-cuda          build and test each CUDA flavor
    nox -s "build-cuda(devel)"           one flavor
    nox -s build-cuda13.2                another CUDA version
    nox -s test-cuda -- --image REF      test an image that somebody else built
    nox -s tests                         everything that CI runs

What stands after `--` are options; `nox -s build-cuda -- --help` lists them.
"""

import argparse
import contextlib
import datetime
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nox

# nox does not put this folder on the path.
sys.path.insert(0, str(Path(__file__).parent))
from slipway import contents, evidence, host, lock, matrix
from slipway.errors import SlipwayError
from slipway.matrix import Family, Image

nox.needs_version = ">=2026.4"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True
nox.options.sessions = ["tests"]

PYTHON = sys.executable
NOT_SCANNED = 3  # slipway.scan's exit code
CLEANING_UP = 20  # seconds that Ctrl-C leaves to the checks, to remove their containers

try:
    MATRIX = matrix.load()
except SlipwayError as error:
    sys.exit(f"error: {error}")


# --- options and errors --------------------------------------------------------------------------


def read_options(session: nox.Session) -> argparse.Namespace:
    """Read what stands after `--`; what stands after a second `--` is pytest's."""
    parser = argparse.ArgumentParser(prog=f"nox -s '{session.name}' --", allow_abbrev=False)
    build = parser.add_argument_group("builds")
    build.add_argument("--no-cache", action="store_true", help="build every layer anew")
    build.add_argument("--pull", action="store_true", help="refresh the base image first")
    build.add_argument("--builder", metavar="NAME", help="build by this builder of docker buildx")
    build.add_argument("--push", metavar="HOST/NAME", help="push the image there, without evidence, by its name as tag")
    parser.add_argument("--platform", metavar="NAME", help="take the image of another platform: linux/arm64")
    test = parser.add_argument_group("tests")
    test.add_argument("--image", metavar="REF", help="test this image instead of the one built here")
    test.add_argument("--require-gpu", action="store_true", help="GPU checks fail where there is no GPU")
    test.add_argument("--allow-not-run", action="store_true", help="succeed although checks were not run")
    scan = parser.add_argument_group("scans")
    scan.add_argument("--db-repository", metavar="REF", help="where Trivy's vulnerability database is mirrored")
    scan.add_argument("--database", metavar="PATH", help="a folder with Trivy's database, or an archive of it")
    scan.add_argument("--allow-not-scanned", action="store_true", help="succeed although an image was not scanned")
    words = list(session.posargs)
    own = words[: words.index("--")] if "--" in words else words
    options = parser.parse_args(own)
    options.pytest = words[len(own) + 1 :]
    return options


@contextlib.contextmanager
def clear_errors(session: nox.Session) -> Iterator[None]:
    """End the session with the message of an error that the user can mend."""
    try:
        yield
    except SlipwayError as error:
        session.error(str(error))


def is_named(image: Image) -> bool:
    """Whether the command line asks for this image alone: `nox -s "test-cuda(devel)"`."""
    return any(f"({image.session.partition('(')[2]}" in word for word in sys.argv)


def find_flavor(session: nox.Session, family: Family, flavor: str) -> Image:
    """Return a family's image; where it cannot have one the session is skipped, or ends where that one was named."""
    if flavor not in family.images and any(f"({flavor})" in word for word in sys.argv):
        session.error(family.why_not(flavor))
    if flavor not in family.images:
        session.skip(family.why_not(flavor))
    return family.images[flavor]


def find_platform(session: nox.Session, image: Image, platform: str | None) -> Image:
    """Return the image for a platform that was asked for; the session ends with the reason where there is none."""
    with clear_errors(session):
        return MATRIX.on_platform(image, platform) if platform else image


# --- what the sessions of one image do -----------------------------------------------------------


def prepare(session: nox.Session, *options: str) -> None:
    """Make this machine able to build."""
    session.run(PYTHON, "-m", "slipway.setup", *options, external=True)


def docker_build(session: nox.Session, image: Image, *options: str) -> None:
    """Run one `docker buildx build`; the host's own settings for downloads come along as secrets."""
    settings = host.find(image.family.base.suite)
    session.run(
        "docker",
        "buildx",
        "build",
        f"--file={image.dockerfile}",
        f"--target={image.target}",
        f"--build-arg=BASE_IMAGE={image.family.base.tag}",
        *([f"--platform={image.family.base.platform}"] if image.family.base.tag != image.family.base.image else []),
        f"--build-arg=APT_DATE={MATRIX.apt_date}",
        *(f"--build-arg={name}={value}" for name, value in image.arguments.items()),
        *settings.build_arguments(),
        "--load",
        "--provenance=false",
        *options,
        ".",
        external=True,
        env=settings.environment(),
    )


def tell_deprecation(session: nox.Session, image: Image) -> None:
    """Warn who builds or runs an image that has a successor."""
    if image.family.deprecated:
        session.warn(f"{image.name} is {image.family.deprecated}")


def build_image(session: nox.Session, image: Image) -> None:
    """Build an image, read what it holds, and build it again from the cache with that on its labels."""
    options = read_options(session)
    image = find_platform(session, image, options.platform)
    tell_deprecation(session, image)
    prepare(session, f"--image={image.name}", *(["--pull"] if options.pull else []))
    started = time.monotonic()
    with clear_errors(session), evidence.exclusive(image):
        forget_image(image)
        lock.require_current(image)
        id_file = image.evidence / "image-id"
        unlabelled = f"{image.tag}-unlabelled"
        own = [f"--builder={options.builder}"] if options.builder else []
        cache = ["--no-cache"] if options.no_cache else []
        try:
            docker_build(session, image, f"--tag={unlabelled}", f"--iidfile={id_file}", *own, *cache)
            labels = contents.labels(MATRIX, image, id_file.read_text())
            flags = [f"--label={key}={value}" for key, value in labels.items()]
            docker_build(session, image, f"--tag={image.tag}", f"--iidfile={id_file}", *own, *flags)
        finally:
            remove_tag(unlabelled)
        record_build(image, id_file.read_text(), labels, time.monotonic() - started)
    if options.push:
        push_image(session, image, f"{options.push}:{image.name}")


def push_image(session: nox.Session, image: Image, reference: str) -> None:
    """Push an image as docker does; the tag for it is gone afterwards."""
    try:
        session.run("docker", "image", "tag", image.tag, reference, external=True)
        session.run("docker", "image", "push", reference, external=True)
    finally:
        remove_tag(reference)


def build_workload(session: nox.Session, image: Image) -> None:
    """Build a workload; the variant below it first, where there is none yet."""
    if subprocess.run(
        ["docker", "image", "inspect", image.arguments["BASE"]], capture_output=True, check=False
    ).returncode:
        build_image(session, MATRIX.image(image.variant))
    build_image(session, image)


def forget_image(image: Image) -> None:
    """Untag the image of an earlier build, so that a build that fails leaves none to be tested in its place."""
    for name in ("build.json", "tests.xml", "audit.json", "scan.json", "trivy.json"):
        (image.evidence / name).unlink(missing_ok=True)
    remove_tag(image.tag)


def remove_tag(tag: str) -> None:
    """Remove a tag, and the image when it has no other; it may be gone already."""
    subprocess.run(["docker", "image", "rm", "--force", tag], capture_output=True, check=False)


def record_build(image: Image, image_id: str, labels: dict[str, str], seconds: float) -> None:
    """Leave dist/<image>/build.json and close with a line that says what there is now."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    record = {"image": image_id, "tag": image.tag, "built": now, "seconds": round(seconds, 1), "labels": labels}
    evidence.write_json(image.evidence / "build.json", record)
    print(f"{image.tag}  {image_id.removeprefix('sha256:')[:12]}  built in {seconds:.1f} s")


def inspect_labels(session: nox.Session, reference: str) -> dict[str, str] | None:
    """Return an image's labels, None when there is no such image; the session ends when the engine does not answer."""
    command = ["docker", "image", "inspect", "--format={{json .Config.Labels}}", reference]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode and "no such image" not in result.stderr.lower():
        session.error(result.stderr.strip())
    return None if result.returncode else json.loads(result.stdout) or {}


def find_image(session: nox.Session, image: Image) -> str:
    """Return the tag of the image built here; the session ends when it is not there."""
    if inspect_labels(session, image.tag) is None:
        build = f"nox -s 'build-{image.session}'"
        session.error(f"there is no {image.tag}: it was never built, or its last build failed. Run: {build}")
    return image.tag


def find_other(session: nox.Session, image: Image, reference: str) -> str:
    """Return the user's reference; the session ends when it is not there, or is skipped when it is of another kind."""
    labels = inspect_labels(session, reference)
    if labels is None:
        session.error(f"{reference} is not an image of this engine: docker pull {reference}")
    found = {name: labels.get(f"slipway.{name}", "") for name in image.kind}
    if not is_named(image) and not found["flavor"]:
        own = f"nox -s 'test-{image.session}' -- --image {reference}"
        session.error(f"{reference} does not say its flavor: name it, {own}")
    if not is_named(image) and found != image.kind:
        session.skip(f"{reference} is a {' '.join(filter(None, found.values()))} image")
    return reference


def test_image(session: nox.Session, image: Image) -> None:
    """Check an image against its contract; nothing is built."""
    options = read_options(session)
    image = find_platform(session, image, options.platform)
    reference = find_other(session, image, options.image) if options.image else find_image(session, image)
    results = "tests-of-another.xml" if options.image else "tests.xml"
    session.install("--quiet", "--require-hashes", "--requirement=requirements/checks.txt")
    session.run(
        "pytest",
        *(str(folder.relative_to(matrix.ROOT)) for folder in image.checks),
        f"--image={reference}",
        f"--contract={image.name}",
        f"--junit-xml={image.evidence / results}",
        "--quiet",
        *(["--require-gpu"] if options.require_gpu else []),
        *(["--allow-not-run"] if options.allow_not_run else []),
        *(["--timeout=600"] if image.family.base.platform != matrix.PLATFORMS[0] else []),  # where it is emulated
        *options.pytest,
        interrupt_timeout=CLEANING_UP,
    )


def audit_image(session: nox.Session, image: Image) -> None:
    """List what is in an image, and compare it with its locks; nothing is built."""
    find_image(session, image)
    session.run(PYTHON, "-m", "slipway.audit", image.name, external=True)


def is_alone(image: Image) -> bool:
    """Whether the command line asks for a session of this image and for nothing else."""
    words = sys.argv[1 : sys.argv.index("--")] if "--" in sys.argv else sys.argv[1:]
    return is_named(image) and len([word for word in words if not word.startswith("-")]) == 1


def scan_image(session: nox.Session, image: Image) -> None:
    """Scan an image. nox knows one exit code for failures: "not scanned" gets its own where nothing else is to run."""
    options = read_options(session)
    image = find_platform(session, image, options.platform)
    find_image(session, image)
    # What is scanned is counted against the SBOM; where there can be none, the scan's verdict says so.
    session.run(PYTHON, "-m", "slipway.sbom", image.name, external=True, success_codes=[0, 1])
    session.run(
        PYTHON,
        "-m",
        "slipway.scan",
        image.name,
        *([f"--db-repository={options.db_repository}"] if options.db_repository else []),
        *([f"--database={options.database}"] if options.database else []),
        *(["--allow-not-scanned"] if options.allow_not_scanned else []),
        external=True,
        success_codes=[0, NOT_SCANNED],
    )
    result = evidence.read_json(image.evidence / "scan.json")
    if result["verdict"] == "not scanned" and not result["allow_not_scanned"]:
        if is_alone(image):
            sys.exit(NOT_SCANNED)
        session.error(f"{image.name} was not scanned")


def forget_results() -> None:
    """Remove what earlier runs said of checks, so that the summary tells of this one alone."""
    for results in Path("dist").glob("*/tests.xml"):
        results.unlink()
    evidence.write_json(Path("dist", "tests.json"), {"started": time.time()})


def gpu_options(accelerator: str) -> list[str]:
    """Return what gives a container this host's GPUs, nothing where there are none."""
    if accelerator == "cuda" and Path("/dev/nvidiactl").exists():
        return ["--gpus=all"]
    if accelerator == "rocm" and Path("/dev/kfd").exists():
        # The numbers of the host's groups: the image need not know them.
        devices = (Path("/dev/kfd"), *Path("/dev/dri").glob("render*"))
        groups = {device.stat().st_gid for device in devices}
        return ["--device=/dev/kfd", "--device=/dev/dri", *(f"--group-add={group}" for group in sorted(groups))]
    return []


def run_image(session: nox.Session, image: Image) -> None:
    """Start an image with port, volumes and the GPU where there is one; what stands after `--` is its command."""
    if not is_named(image):
        session.skip(f"one at a time: nox -s '{session.name}' starts this one")
    tell_deprecation(session, image)
    session.run(
        "docker",
        "run",
        "--rm",
        "--interactive",
        *(["--tty"] if sys.stdin.isatty() else []),
        *gpu_options(image.family.accelerator),
        *(f"--publish={port}:{port}" for port in image.ports),
        "--volume=slipway-data:/data",
        "--volume=slipway-cache:/cache",
        image.tag,
        *session.posargs,
        external=True,
    )


# --- sessions of the matrix ----------------------------------------------------------------------


def define_sessions(family: Family) -> None:
    """Give a family its sessions build-, test-, sbom-, scan- and run-, each with its flavors as a parameter."""
    names = (*family.images, *family.unavailable)
    flavors = nox.parametrize("flavor", [nox.param(flavor, id=flavor) for flavor in names])

    @nox.session(name=f"build-{family.name}", venv_backend="none", tags=["build"])
    @flavors
    def build(session: nox.Session, flavor: str) -> None:
        """Build an image: docker buildx build, then labels that tell what is in it."""
        build_image(session, find_flavor(session, family, flavor))

    @nox.session(name=f"test-{family.name}", tags=["test"])
    @flavors
    def test(session: nox.Session, flavor: str) -> None:
        """Check an image against its contract; never builds."""
        test_image(session, find_flavor(session, family, flavor))

    @nox.session(name=f"sbom-{family.name}", venv_backend="none", tags=["sbom"], default=False)
    @flavors
    def sbom(session: nox.Session, flavor: str) -> None:
        """List what is in an image (CycloneDX, SPDX), and compare it with its locks, file by file."""
        audit_image(session, find_flavor(session, family, flavor))

    @nox.session(name=f"scan-{family.name}", venv_backend="none", tags=["scan"])
    @flavors
    def scan(session: nox.Session, flavor: str) -> None:
        """Scan an image by Trivy: vulnerabilities, secrets, misconfigurations, licences."""
        scan_image(session, find_flavor(session, family, flavor))

    @nox.session(name=f"run-{family.name}", venv_backend="none", default=False)
    @flavors
    def run(session: nox.Session, flavor: str) -> None:
        """Start an image: port 8000, volumes, GPU where there is one."""
        run_image(session, find_flavor(session, family, flavor))


for member in MATRIX.families.values():
    define_sessions(member)


if MATRIX.workloads:
    WORKLOADS = {image.name: image for image in MATRIX.workloads}
    on_each_variant = nox.parametrize("name", [nox.param(name, id=name) for name in WORKLOADS])

    @nox.session(name="build-workloads", venv_backend="none", tags=["build"])
    @on_each_variant
    def build_workloads(session: nox.Session, name: str) -> None:
        """Build a workload on a variant, which is built first where it is not there."""
        build_workload(session, WORKLOADS[name])

    @nox.session(name="test-workloads", tags=["test"])
    @on_each_variant
    def test_workloads(session: nox.Session, name: str) -> None:
        """Check a workload: all that its variant is checked for, and what it adds."""
        test_image(session, WORKLOADS[name])

    @nox.session(name="sbom-workloads", venv_backend="none", tags=["sbom"], default=False)
    @on_each_variant
    def sbom_workloads(session: nox.Session, name: str) -> None:
        """List what is in a workload (CycloneDX, SPDX), and compare it with its locks, file by file."""
        audit_image(session, WORKLOADS[name])

    @nox.session(name="scan-workloads", venv_backend="none", tags=["scan"])
    @on_each_variant
    def scan_workloads(session: nox.Session, name: str) -> None:
        """Scan a workload by Trivy, with all that it stands on."""
        scan_image(session, WORKLOADS[name])

    @nox.session(name="run-workloads", venv_backend="none", default=False)
    @on_each_variant
    def run_workloads(session: nox.Session, name: str) -> None:
        """Start a workload: its port, volumes, GPU where there is one."""
        run_image(session, WORKLOADS[name])


# --- sessions of the repository ------------------------------------------------------------------


@nox.session(venv_backend="none", default=False)
def setup(session: nox.Session) -> None:
    """Make this machine able to build: Docker engine, base image."""
    prepare(session, *session.posargs)


@nox.session(name="lock", default=False)
def compile_locks(session: nox.Session) -> None:
    """Recompile requirements/*.txt from requirements/*.in, with hashes; `-- --index`: those for PyTorch's index."""
    session.install("--quiet", "--require-hashes", "--requirement=requirements/uv.txt")
    session.run("python", "-m", "slipway.lock", *session.posargs)
    if not session.posargs:
        session.run("python", "-m", "slipway.records")


@nox.session
def lint(session: nox.Session) -> None:
    """Check every language of the repository."""
    session.install("--quiet", "--require-hashes", "--requirement=requirements/tests.txt")
    session.install("--quiet", "--require-hashes", "--requirement=requirements/lint.txt")
    session.run("python", "-m", "slipway.lock", "--check")
    session.run("python", "-m", "slipway.records", "--check")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy", "slipway", "app", "noxfile.py", "tests")
    session.run("hadolint", "Dockerfile", *sorted({family.dockerfile for family in MATRIX.families.values()}))
    files = [file for file in Path("docker").rglob("*") if file.is_file()]
    health = [str(file) for file in files if file.parent.name == "health"]
    first = (b"#!/bin/sh\n", b"#!/bin/bash\n")
    shell = [str(file) for file in files if file.suffix == ".sh" or file.read_bytes().startswith(first)]
    scripts = [file for file in shell if file not in health]
    session.run("shellcheck", "noxw", ".ci/run", *scripts)
    session.run("shellcheck", "--shell=bash", *health)
    session.run("zizmor", "--offline", "--no-progress", ".github")
    actionlint = session.run("python", "-m", "slipway.tools", "actionlint", silent=True, stderr=None)
    session.run(str(actionlint).strip(), *(str(file) for file in Path(".github/workflows").iterdir()), external=True)


@nox.session(name="test-slipway")
def test_slipway(session: nox.Session) -> None:
    """Test slipway itself: the matrix, set-up, builds, the readers of images, the scanners; builds what scans."""
    session.install("--quiet", "--require-hashes", "--requirement=requirements/tests.txt")
    for tool in ("syft", "trivy"):
        session.run("python", "-m", "slipway.tools", tool)
    session.run(
        "pytest", "tests/slipway", "--quiet", "--junit-xml=dist/slipway/tests.xml", *read_options(session).pytest
    )


@nox.session
def sabotage(session: nox.Session) -> None:
    """Show that each check catches an image that is broken on purpose."""
    session.install("--quiet", "--require-hashes", "--requirement=requirements/tests.txt")
    session.run(
        "pytest",
        "tests/sabotage",
        "--quiet",
        "--junit-xml=dist/sabotage/tests.xml",
        *read_options(session).pytest,
        interrupt_timeout=CLEANING_UP,
    )


@nox.session(name="publish", venv_backend="none", default=False)
def publish_images(session: nox.Session) -> None:
    """Publish images with their evidence and tags: -- --registry HOST/NAME --key FILE IMAGE...; --help lists more."""
    session.run(PYTHON, "-m", "slipway.publish", *session.posargs, external=True)


@nox.session(venv_backend="none", default=False)
def summary(session: nox.Session) -> None:
    """List every image's checks and every requirement: met, failed, not run."""
    session.run(PYTHON, "-m", "slipway.summary", external=True)


@nox.session(venv_backend="none", default=False)
def bench(session: nox.Session) -> None:
    """Measure what is built, each figure beside its yardstick; -- --cold also builds without any cache."""
    session.run(PYTHON, "-m", "slipway.bench", *session.posargs, external=True)


@nox.session(venv_backend="none", default=False)
def tests(session: nox.Session) -> None:
    """Run all that CI runs: build and test each image, the repository's own tests, the broken images."""
    forget_results()
    prepare(session, "--compose", "--browser", "--registry")
    for verb in ("build", "test"):
        for image in MATRIX.images:
            if image.always:
                session.notify(f"{verb}-{image.session}")
    for name in ("sabotage", "test-slipway", "summary"):
        session.notify(name)
    for image in MATRIX.images:
        if not image.always:
            session.warn(f"not run here: {image.name}; nox -s 'build-{image.session}' 'test-{image.session}'")


@nox.session(name="matrix", venv_backend="none", default=False)
def print_matrix(session: nox.Session) -> None:
    """Print the images as JSON for a CI system's matrix; -- --all: also those that `tests` leaves out."""
    session.run(PYTHON, "-m", "slipway.matrix", *session.posargs, external=True, log=False)


@nox.session(venv_backend="none", default=False)
def clean(session: nox.Session) -> None:
    """Free what Slipway made: images, its part of the build cache, dist/ and its folder of the user's cache."""
    session.run(PYTHON, "-m", "slipway.clean", external=True)


if __name__ == "__main__":
    nox.main()
