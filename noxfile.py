# /// script
# requires-python = ">=3.11"
# dependencies = ["docker", "filelock", "license-expression", "nox", "packageurl-python", "packaging", "platformdirs",
#                 "pydantic", "python-debian", "rich", "uv"]
# ///
"""Builds, checks and runs the images of images.toml.

    nox -s build-cuda test-cuda                    build and check each CUDA flavor; "build-cuda(devel)" is one
    nox -s build test -- cuda13.2-devel cpu-base   any images by name
    nox -s tests                                   all that CI runs

Names and options follow `--`; `nox -s build -- --help` lists them.
"""

import sys
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import nox

# nox does not put this folder on the path.
sys.path.insert(0, str(Path(__file__).parent))
from slipway import command_line, sessions
from slipway.build import builder, images, record
from slipway.host import devices, downloads, setup
from slipway.matrix import Image, Variant
from slipway.report import summary

nox.needs_version = ">=2026.4"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True
nox.options.sessions = ["status"]

MATRIX = sessions.load_matrix()
DEFAULTS = [variant for variant in MATRIX.variants.values() if variant.name == variant.accelerator]
INTERRUPT_SECONDS = 20  # for the checks to remove their containers after Ctrl-C


def build_image(session: nox.Session, image: Image, options: Namespace) -> None:
    """Build an image, then label it with what was found in it."""
    sessions.warn_deprecated(session, image)
    setup.prepare_build(MATRIX, image, refresh=options.pull)
    with record.start(MATRIX, image) as build:
        docker_build(session, image, options, build.unlabelled)
        if labels := build.label_options():
            command = ("docker", "buildx", "build", "--quiet", "--provenance=false", *labels, f"--tag={image.tag}")
            session.run(*command, str(build.label_folder), external=True)
    if options.push:
        with record.tagged(image, f"{options.push}:{image.name}") as reference:
            session.run("docker", "image", "push", reference, external=True)


def docker_build(session: nox.Session, image: Image, options: Namespace, tag: str) -> None:
    """Build by docker; the host's own settings for downloads are passed as secrets."""
    settings = downloads.find(image.variant.distro.suite)
    with builder.share_parents(image, options.builder) as contexts:
        session.run(
            *("docker", "buildx", "build", f"--file={image.dockerfile}", f"--target={image.target}", f"--tag={tag}"),
            *(f"--build-arg=BASE_IMAGE={image.variant.distro.tag}", f"--build-arg=APT_DATE={MATRIX.apt_date}"),
            *(f"--build-arg={name}={value}" for name, value in image.arguments.items()),
            *(*images.platform_option(image), *settings.build_arguments()),
            *command_line.make_build_options(options),
            *(*contexts, "--load", "--provenance=false", "."),
            external=True,
            env=settings.environment(),
        )


def test_image(session: nox.Session, image: Image, options: Namespace) -> None:
    """Check an image against its contract; nothing is built."""
    reference = images.find_tested(image, options.image, is_named=bool(options.images))
    if not reference:
        session.skip(f"{options.image} is not a {image.name}, as its labels say")
    install(session, "checks")
    session.run(
        *("pytest", "--quiet", "tests/images", f"--image={reference}", f"--contract={image.name}"),
        f"--junit-xml={image.results / ('of-another/tests.partial.xml' if options.image else 'tests.partial.xml')}",
        *(["--timeout=600"] if images.platform_option(image) else []),  # its programs are emulated
        *command_line.make_test_options(options),
        interrupt_timeout=INTERRUPT_SECONDS,
    )


def audit_image(session: nox.Session, image: Image, options: Namespace) -> None:
    """Compare an image with its locks, file by file, and with its SBOM."""
    run_module(session, "slipway.audit", *command_line.make_audit_options(image, options))


def scan_image(session: nox.Session, image: Image, options: Namespace) -> None:
    """Scan an image by Trivy and compare what was examined with the SBOM."""
    run_module(session, "slipway.audit.syft", image.name, codes=[0, 1])
    run_module(session, "slipway.scan", image.name, *command_line.make_scan_options(options), codes=[0, 3])
    sessions.require_scanned(image)


def run_module(session: nox.Session, module: str, *words: str, codes: Sequence[int] = (0,)) -> None:
    """Run a module of Slipway in nox's own environment."""
    session.run(sys.executable, "-m", module, *words, external=True, success_codes=codes)


def install(session: nox.Session, *locks: str) -> None:
    """Install what locks list into the session's environment."""
    for lock in locks:
        session.install("--quiet", "--require-hashes", f"--requirement=requirements/{lock}.txt")


def define_flavor_sessions(variant: Variant) -> None:
    """Define build- and test- for a default variant, with its flavors as their parameter."""
    flavors = nox.parametrize("flavor", [nox.param(flavor, id=flavor) for flavor in variant.images])

    @nox.session(name=f"build-{variant.name}", venv_backend="none", tags=["build"])
    @flavors
    def build(session: nox.Session, flavor: str) -> None:
        sessions.run_for_flavor(session, MATRIX, variant.images[flavor], partial(build_image, session))

    @nox.session(name=f"test-{variant.name}", tags=["test"])
    @flavors
    def test(session: nox.Session, flavor: str) -> None:
        sessions.run_for_flavor(session, MATRIX, variant.images[flavor], partial(test_image, session))

    versions = ", ".join(f"{name} {version}" for name, version in variant.versions.items())
    build.__doc__ = f"Build a flavor of {variant.name}: {versions}"
    test.__doc__ = f"Check a flavor of {variant.name} against its contract"


for variant in DEFAULTS:
    define_flavor_sessions(variant)


@nox.session(venv_backend="none")
def build(session: nox.Session) -> None:
    """Build images by name; without names, each flavor of the default variants."""
    chosen = sessions.read_images(session, MATRIX, [image for variant in DEFAULTS for image in variant.images.values()])
    sessions.run_for_each(session, images.add_missing_parents(MATRIX, chosen), partial(build_image, session))


@nox.session
def test(session: nox.Session) -> None:
    """Check images by name against their contracts; without names, those that are built. Never builds."""
    sessions.run_for_each(session, sessions.read_images(session, MATRIX), partial(test_image, session))


@nox.session(venv_backend="none")
def sbom(session: nox.Session) -> None:
    """List the contents of images by Syft: CycloneDX and SPDX."""
    chosen = sessions.read_images(session, MATRIX)
    sessions.run_for_each(session, chosen, lambda image, _: run_module(session, "slipway.audit.syft", image.name))


@nox.session(venv_backend="none")
def audit(session: nox.Session) -> None:
    """Compare images with their locks, file by file, and with their SBOM."""
    sessions.run_for_each(session, sessions.read_images(session, MATRIX), partial(audit_image, session))


@nox.session(venv_backend="none")
def scan(session: nox.Session) -> None:
    """Scan images by Trivy; exit code 3: not scanned."""
    sessions.run_for_each(session, sessions.read_images(session, MATRIX), partial(scan_image, session))


@nox.session(venv_backend="none")
def run(session: nox.Session) -> None:
    """Start an image, `-- [--address IP] NAME [COMMAND...]`: free ports on 127.0.0.1, volumes, this machine's GPUs."""
    image, command, published = sessions.read_run(session, MATRIX)
    sessions.warn_deprecated(session, image)
    session.run(
        *("docker", "run", "--rm", "--pull=never", "--interactive", *(["--tty"] if session.interactive else [])),
        *devices.gpu_options(image.variant.accelerator),
        *(*published, "--shm-size=2g"),  # memory for the workers of PyTorch's data loaders, as in compose.yaml
        *("--volume=slipway-data:/data", "--volume=slipway-cache:/cache", image.tag, *command),
        external=True,
    )


def define_module_session(name: str, module: str, text: str) -> None:
    """Define a session that runs a module of Slipway with the options after `--`."""

    @nox.session(name=name, venv_backend="none")
    def run_session(session: nox.Session) -> None:
        session.run(sys.executable, "-m", module, *session.posargs, external=True, log=False)

    run_session.__doc__ = text


define_module_session("status", "slipway.report.status", "Show what is built, checked and scanned, and what to do next")
define_module_session("setup", "slipway.host", "Make this machine able to build: Docker engine, base image")
define_module_session("publish", "slipway.publish", "Publish images with their results and tags; `-- --help`")
define_module_session("summary", "slipway.report.summary", "List checks and requirements: met, failed, not run")
define_module_session("bench", "slipway.bench", "Measure what is built, each figure beside its baseline; `-- --help`")
define_module_session("matrix", "slipway.matrix", "Print the images as JSON, for CI; `-- --all`: every image")
define_module_session("clean", "slipway.build.clean", "Free what Slipway made: images, caches, dist/")


def define_test_session(name: str, text: str, *needs: tuple[str, ...]) -> None:
    """Define a session that runs the tests of a folder, after modules that provide what they need."""

    @nox.session(name=name)
    def run_session(session: nox.Session) -> None:
        install(session, "tests")
        for module, *words in needs:
            run_module(session, module, *words)
        command = ("pytest", f"tests/{name}", "--quiet", f"--junit-xml=dist/{name}/tests.xml")
        options = command_line.make_test_options(sessions.read_options(session))
        session.run(*command, *options, interrupt_timeout=INTERRUPT_SECONDS)

    run_session.__doc__ = text


define_test_session("unit", "Test slipway/ without an engine")
define_test_session("integration", "Test slipway/ with an engine and tools", sessions.PROGRAMS, *sessions.TOOLS)
define_test_session("sabotage", "Show that each check finds an image that is broken on purpose")


@nox.session
def lock(session: nox.Session) -> None:
    """Compile requirements/*.txt from requirements/*.in, with hashes; `-- --index`: those for PyTorch's index."""
    install(session, "uv")
    run_module(session, "slipway.build.locks", *session.posargs)
    if not session.posargs:
        run_module(session, "slipway.audit.wheel_records")


@nox.session
def lint(session: nox.Session) -> None:
    """Check every language of the repository, as .pre-commit-config.yaml lists the tools."""
    install(session, "tests", "lint")
    session.run("prek", "run", "--all-files")


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Run what CI runs: build and check images, lint, tests, broken images; `-- --all`: every image."""
    chosen = sessions.read_images(session, MATRIX, [image for image in MATRIX.images if image.in_tests])
    summary.start_run()
    run_module(session, *sessions.PROGRAMS)
    session.notify("build", [image.name for image in chosen])
    session.notify("test", [image.name for image in chosen])
    session.notify("sabotage", ["--", "--all-checks"] if sessions.read_options(session).all else [])
    for name in ("unit", "integration", "lint", "summary"):
        session.notify(name, [])
    if left_out := len(MATRIX.images) - len(chosen):
        session.warn(f"{left_out} images are left out: nox -s tests -- --all")


if __name__ == "__main__":
    nox.main()
