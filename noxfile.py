# /// script
# requires-python = ">=3.11"
# dependencies = ["filelock", "license-expression", "nox", "packageurl-python", "packaging", "platformdirs", "pydantic",
#                 "python-debian", "pyyaml", "rich", "uv"]
# ///
"""Builds, checks and runs the images of images.toml.

    nox -s build-cuda test-cuda                    build and check each CUDA flavor; "build-cuda(devel)" is one
    nox -s build test -- cuda13.2-devel cpu-base   any images by name
    nox -s tests                                   all that CI runs

Names and options follow `--`; `nox -s build -- --help` lists them.
"""

import sys
from argparse import Namespace
from functools import partial
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).parent))  # nox does not put this folder on the path
from slipway import command_line, sessions
from slipway.build import bake, builder, images, record
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


def build_image(session: nox.Session, image: Image, options: Namespace) -> None:
    """Build an image, then label it with what was found in it."""
    sessions.warn_deprecated(session, image)
    setup.prepare_build(MATRIX, image, refresh=options.pull)
    with sessions.explain("not built; the step that failed is above"), record.start(MATRIX, image, options) as build:
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
            *(f"--build-arg={name}={value}" for name, value in images.list_arguments(MATRIX, image).items()),
            *(*images.platform_option(image), *settings.build_arguments()),
            *command_line.make_build_options(image, options),
            *(*contexts, "--load", "--provenance=false", "."),
            external=True,
            env=settings.environment(),
        )


def test_image(session: nox.Session, image: Image, options: Namespace) -> None:
    """Check an image against its contract; nothing is built."""
    if not (reference := images.find_tested(image, options.image, is_named=bool(options.images))):
        session.skip(f"{options.image} is not a {image.name}, as its labels say")
    sessions.install(session, "checks")
    output = session.run(
        *("pytest", "--quiet", "tests/images", f"--image={reference}", f"--contract={image.name}"),
        f"--junit-xml={image.results / ('of-another/tests.partial.xml' if options.image else 'tests.partial.xml')}",
        *(["--timeout=600"] if images.platform_option(image) else []),  # its programs are emulated
        *command_line.make_test_options(options),
        silent=options.is_beside,
        interrupt_timeout=sessions.INTERRUPT_SECONDS,
    )
    sessions.show_output(output)


def scan_image(session: nox.Session, image: Image, options: Namespace) -> None:
    """Scan an image by Trivy and compare what was examined with the SBOM."""
    sessions.run_module(session, "slipway.audit.syft", image.name, codes=(0, 1))
    sessions.run_module(session, "slipway.scan", image.name, *command_line.make_scan_options(options), codes=(0, 3))
    sessions.require_scanned(image)


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
    wanted = images.add_parents(MATRIX, chosen)
    if sessions.read_options(session).print:
        bake.print_definition(MATRIX, wanted)
        return
    sessions.run_for_each(session, wanted, partial(build_image, session))


@nox.session
def test(session: nox.Session) -> None:
    """Check images by name against their contracts; without names, those that are built. Never builds."""
    sessions.run_for_each(session, sessions.read_unchecked(session, MATRIX), partial(test_image, session), at_a_time=3)


@nox.session(venv_backend="none")
def sbom(session: nox.Session) -> None:
    """List the contents of images by Syft: CycloneDX and SPDX."""
    work = partial(sessions.run_module, session, "slipway.audit.syft")
    sessions.run_for_each(session, sessions.read_images(session, MATRIX), lambda image, _: work(image.name))


@nox.session(venv_backend="none")
def audit(session: nox.Session) -> None:
    """Compare images with their locks, file by file, and with their SBOM."""

    def work(image: Image, options: Namespace) -> None:
        sessions.run_module(session, "slipway.audit", *command_line.make_audit_options(image, options))

    sessions.run_for_each(session, sessions.read_images(session, MATRIX), work)


@nox.session(venv_backend="none")
def scan(session: nox.Session) -> None:
    """Scan images by Trivy; exit code 3: not scanned."""
    sessions.run_for_each(session, sessions.read_images(session, MATRIX), partial(scan_image, session))
    if not sessions.read_options(session).images:
        sessions.run_module(session, "slipway.scan.unused")


@nox.session(venv_backend="none")
def run(session: nox.Session) -> None:
    """Start an image, `-- [--address IP] NAME [COMMAND...]`: free ports on 127.0.0.1, volumes, this machine's GPUs."""
    image, command, own = sessions.read_run(session, MATRIX)
    session.run(
        *("docker", "run", "--rm", "--pull=never", "--interactive", *devices.gpu_options(image.variant.accelerator)),
        *(*own, "--shm-size=2g"),  # memory for the workers of PyTorch's data loaders, as in compose.yaml
        *("--volume=slipway-data:/data", "--volume=slipway-cache:/cache", image.tag, *command),
        external=True,
        interrupt_timeout=sessions.INTERRUPT_SECONDS,
    )


def define_module_session(name: str, module: str, text: str, lock: str = "") -> None:
    """Define a session that runs a module with the options after `--`, in nox's own environment or that of a lock."""

    @nox.session(name=name, venv_backend=None if lock else "none")
    def run_session(session: nox.Session) -> None:
        if lock:
            sessions.install(session, lock)
        sessions.run_module_unlogged(session, module, "python" if lock else sys.executable)

    run_session.__doc__ = text


define_module_session("status", "slipway.report.status", "Show what is built, checked and scanned, and what to do next")
define_module_session("setup", "slipway.host", "Make this machine able to build: Docker engine, base image")
define_module_session("reproduce", "slipway.build.reproduce", "Build images twice without cache, compare their layers")
define_module_session("publish", "slipway.publish", "Publish images with their results and tags; `-- --help`")
define_module_session("contents", "slipway.report.contents", "Show what images consist of, or how two differ")
define_module_session("summary", "slipway.report.summary", "List checks and requirements: met, failed, not run")
define_module_session("report", "slipway.report.page", "Make a page of all results: dist/report/", "report")
define_module_session("bench", "slipway.bench", "Measure what is built, each figure beside its baseline; `-- --help`")
define_module_session("matrix", "slipway.matrix", "Print the images as JSON, for CI; `-- --all`: every image")
define_module_session("clean", "slipway.build.clean", "Free what Slipway made: images, caches, dist/")


def define_test_session(name: str, text: str, *needs: tuple[str, ...]) -> None:
    """Define a session that runs the tests of a folder, after modules that provide what they need."""

    @nox.session(name=name)
    def run_session(session: nox.Session) -> None:
        command = sessions.make_tests_command(session, MATRIX, name)  # --help ends here, before anything is installed
        sessions.install(session, "tests")
        for module, *words in needs:
            sessions.run_module(session, module, *words)
        session.run(*command, interrupt_timeout=sessions.INTERRUPT_SECONDS)

    run_session.__doc__ = text


define_test_session("unit", "Test slipway/ without an engine")
define_test_session("integration", "Test slipway/ with an engine and tools", sessions.PROGRAMS, sessions.TOOLS)
define_test_session("sabotage", "Show that each check finds an image that is broken on purpose; also by image")
define_test_session("workflows", "Run CI's jobs by act on this machine", sessions.PROGRAMS, sessions.CI_TOOLS)


@nox.session
def lock(session: nox.Session) -> None:
    """Compile requirements/*.txt from *.in, with hashes; `-- VARIANT`; `-- --index`: those for PyTorch's index."""
    sessions.install(session, "uv")
    sessions.run_module(session, "slipway.build.locks", *session.posargs)
    for module in () if {"--check", "--index"} & {*session.posargs} else sessions.AFTER_LOCKS:
        sessions.run_module(session, module)


@nox.session
def lint(session: nox.Session) -> None:
    """Check every language of the repository, as .pre-commit-config.yaml lists the tools."""
    sessions.install(session, "tests", "lint")
    session.run("prek", "run", "--all-files")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation as a site, dist/docs/index.html; a broken link fails."""
    sessions.install(session, "docs")
    session.run("sphinx-build", "--quiet", "--fresh-env", "--fail-on-warning", "--conf-dir=docs/site", ".", "dist/docs")


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Run all tests: build and check images, lint, tests, broken images; `-- --all`: every image."""
    chosen = sessions.read_images(session, MATRIX, [image for image in MATRIX.images if image.in_tests])
    summary.start_run(chosen)
    sessions.prepare_tests(session)
    for name, options in (("build", []), ("test", ["--skip-passed"])):
        session.notify(name, [*options, *(image.name for image in sessions.list_staying(session, chosen))])
    for name in ("unit", "docs", "sabotage", "integration", "workflows", "lint", "summary"):
        session.notify(name, sessions.add_whole(session, name))
    sessions.run_rounds(session, MATRIX, chosen)


if __name__ == "__main__":
    nox.main()
