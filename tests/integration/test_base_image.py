"""Base images made by mmdebstrap and imported into the real engine: complete, or not at all."""

import io
import os
import re
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import which

import pytest

from slipway import docker, repository
from slipway.errors import SlipwayError
from slipway.host import apt, base_image, downloads
from slipway.host.downloads import Host
from slipway.images_toml import Distro, Platform
from tests.helpers import hosts
from tests.helpers.built_images import read_layers
from tests.helpers.reasons import NO_MAKER, NO_NAMESPACES


def base(image: str, platform: Platform = "linux/amd64") -> Distro:
    """Return a base image of the matrix."""
    return Distro(image=image, suite="trixie", glibc="2.40", platform=platform)


def test_archive_becomes_an_image_under_the_name(tmp_path: Path) -> None:
    """Its labels say that it was made."""
    name = f"slipway-test-base:{uuid.uuid4().hex}"
    subprocess.run(["tar", "-c", "-f", tmp_path / "base.tar", "-C", "/etc", "hostname"], check=True)
    base_image.import_archive(base(name), tmp_path / "base.tar")
    try:
        assert base_image.describe_image(base(name))["origin"] == "made by mmdebstrap"
    finally:
        docker.output("rmi", name)


DATE = "2026-11-21"
needs_maker = pytest.mark.skipif(os.geteuid() != 0 or not which("mmdebstrap"), reason=NO_MAKER)


@needs_maker
def test_mirror_of_this_host_is_used_alone() -> None:
    """One that does not answer is an error; the public addresses are not asked instead."""
    name, mirror = f"slipway-test-base:none-{os.getpid()}", apt.Mirror("http://127.0.0.1:9/debian")
    with pytest.raises(SlipwayError, match=r"making the base image by mmdebstrap failed(.|\n)*127\.0\.0\.1"):
        base_image.make_image(base(name), Host(sources=apt.debian_sources("trixie", mirror, mirror)), DATE)
    assert base_image.find_image(base(name)) is None


@pytest.fixture(scope="module")
def made() -> Iterator[str]:
    """Yield a base image, under a name of its own, made where /tmp has hardly any room."""
    if not hosts.HAS_NAMESPACES:
        pytest.skip(NO_NAMESPACES)
    name = f"slipway-test-base:{os.getpid()}"
    code = f"from tests.integration import test_base_image; test_base_image.make({name!r})"
    command = hosts.with_small_tmp(sys.executable, "-c", code)
    result = subprocess.run(command, cwd=repository.ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    yield name
    docker.output("rmi", name)


def make(name: str) -> str:
    """Make a base image from where this host gets its packages as from a mirror."""
    mirrors = apt.find_mirrors()
    assert mirrors
    sources = apt.debian_sources("trixie", *mirrors)
    base_image.make_image(base(name), replace(downloads.find("trixie"), sources=sources), DATE)
    return name


def inside(image: str, script: str) -> list[str]:
    """Run a script in the image and return its lines."""
    return docker.output("run", "--rm", "--network=none", image, "sh", "-c", script).splitlines()


@pytest.mark.slow
@needs_maker
def test_made_image_is_as_the_official_one(made: str) -> None:
    """Labels, sources and hygiene, all of the one image because its making takes 15 s."""
    facts = base_image.describe_image(base(made))
    assert (facts["origin"], facts["suite"]) == ("made by mmdebstrap", "trixie")
    assert facts["created"] > "2026"

    assert inside(made, "find /etc/apt -name '*sources*' -not -type d") == ["/etc/apt/sources.list.d/debian.sources"]
    sources = inside(made, "cat /etc/apt/sources.list.d/debian.sources")
    suites = " ".join(line for line in sources if line.startswith("Suites:"))
    assert suites == "Suites: trixie trixie-updates Suites: trixie-security"
    addresses = " ".join(line for line in sources if line.startswith("URIs:"))
    public = r"http://[a-z]+\.debian\.org/debian"
    assert re.fullmatch(f"URIs: {public} URIs: {public}-security", addresses), addresses

    documents = "/usr/share/doc /usr/share/man /usr/share/info /usr/share/locale"
    assert inside(made, f"find {documents} -type f ! -name copyright ! -name locale.alias") == []
    assert len(inside(made, "find /usr/share/doc -name copyright")) > 60

    rubbish = "/var/lib/apt/lists /var/cache/apt /var/log /tmp /run"
    assert inside(made, f"find {rubbish} -type f -size +0 ! -path '/run/.*'") == []
    assert inside(made, "ls -d /etc/machine-id 2>/dev/null; true") == []
    assert set(inside(made, "ls /etc/apt/apt.conf.d /etc/dpkg/dpkg.cfg.d")) >= {"docker-clean", "docker"}
    assert not [line for line in inside(made, "ls /etc/*/*.d") if "mmdebstrap" in line]
    assert inside(made, "stat -c %a /usr/sbin/policy-rc.d /tmp") == ["755", "1777"]


@pytest.mark.slow
@needs_maker
def test_made_image_holds_nothing_of_this_host(made: str) -> None:
    """The tool copies the host's name and resolver; docker would hide them at run time."""
    container = docker.output("create", made).strip()
    try:
        exported = subprocess.run(["docker", "export", container], check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(exported)) as archive:
            sizes = [archive.getmember(name).size for name in ("etc/resolv.conf", "etc/hostname")]
    finally:
        docker.output("rm", container)
    # The engine itself puts empty files there.
    assert sizes == [0, 0]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.requirement("N6")
@needs_maker
def test_made_image_has_the_same_bytes_when_it_is_made_again(made: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Later, under another umask, in another time zone; the same packages must still be the newest."""
    for name, value in {"TZ": "Asia/Tokyo", "LC_ALL": "C", "HOSTNAME": "another"}.items():
        monkeypatch.setenv(name, value)
    umask = os.umask(0o077)
    try:
        again = make(f"slipway-test-base:again-{os.getpid()}")
    finally:
        os.umask(umask)
    try:
        assert read_layers(again) == read_layers(made)
    finally:
        docker.output("rmi", again)
