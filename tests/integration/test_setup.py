"""Setup on the real engine: it is left alone where it serves, and each lack is one message."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slipway.host import apt, packages
from tests.helpers import reasons
from tests.helpers.processor_time import run_timed

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of this repository's setup, so that a test may write another images.toml."""
    folder = tmp_path / "copy"
    shutil.copytree(ROOT / "slipway", folder / "slipway")
    ask_for(folder, 1)
    return folder


def ask_for(copy: Path, gb: int) -> None:
    """Let the copy's images.toml want this much free disk."""
    text = (ROOT / "images.toml").read_text()
    (copy / "images.toml").write_text(re.sub(r"(?m)^free_disk_gb = \d+", f"free_disk_gb = {gb}", text))


def real_setup(copy: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run setup as a session does."""
    return subprocess.run(
        [sys.executable, "-m", "slipway.host", *words], cwd=copy, capture_output=True, text=True, check=False
    )


def test_serving_engine_is_left_as_it_is_at_once(copy: Path) -> None:
    """The second run finds all there and says so in two lines.

    The best of five starts, in processor time, takes little more than the libraries that it needs.
    """
    first = real_setup(copy)
    assert first.returncode == 0, first.stderr
    times, others = [], []
    for _ in range(5):
        others.append(run_timed([sys.executable, "-c", "import docker, pydantic, rich.table"], copy)[1])
        output, seconds = run_timed([sys.executable, "-m", "slipway.host"], copy)
        times.append(seconds)
        assert [line.split()[1] for line in output.splitlines()] == ["Docker", "base"], output
    assert min(times) < 2 * min(others)


def test_too_little_disk_by_number(copy: Path) -> None:
    """The real disk has less than a billion GB; the message says how much, and where."""
    ask_for(copy, 10**9)
    result = real_setup(copy)
    assert result.returncode == 1
    assert "GB free in " in result.stderr
    assert "1000000000 GB needed" in result.stderr
    assert "Traceback" not in result.stderr


def test_base_image_comes_from_images_toml(copy: Path) -> None:
    """The name is read there and nowhere else; a wrong file is a clear message."""
    file = copy / "images.toml"
    file.write_text(file.read_text().replace('image = "debian:trixie-slim"', 'image = "no name"'))
    result = real_setup(copy)
    assert result.returncode == 1
    assert result.stderr.startswith("error: images.toml: [distro.trixie] image is 'no name'")


def test_container_with_network_on_the_real_engine(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof runs once; after it, no container is started."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, second = real_setup(copy), real_setup(copy)
    assert "running a container with network" in first.stdout, first.stderr
    assert "running a container" not in second.stdout


def test_container_that_reaches_no_mirror(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that does not answer looks like a container without network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    result = real_setup(copy)
    assert result.returncode == 1
    assert "/InRelease" in result.stderr
    assert "a container has no network" in result.stderr
    assert re.search(r"\bhttp_proxy, .*\bhttps_proxy.* \(an address on 127\.0\.0\.1", result.stderr)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_debian_12_takes_docker_alone_from_debian_13(tmp_path: Path) -> None:
    """By the real archives: runc, containerd and libc6 stay Debian 12's. apt looks at files of this test alone."""
    mirrors = apt.find_mirrors()
    if mirrors is None:
        pytest.skip(reasons.NO_DEBIAN)
    for folder in ("sources.list.d", "preferences.d", "lists/partial", "archives/partial"):
        (tmp_path / folder).mkdir(parents=True)
    for suite in ("bookworm", "trixie"):
        (tmp_path / "sources.list.d" / f"{suite}.sources").write_text(apt.debian_sources(suite, *mirrors))
    (tmp_path / "preferences.d" / "slipway").write_text(packages.PIN)
    (tmp_path / "status").touch()
    places = {"Etc": "", "State": "", "State::status": "status", "Cache": ""}
    options = [f"-o=Dir::{name}={tmp_path / place}" for name, place in places.items()]
    command = ["apt-get", "-o=APT::Sandbox::User=root", "-o=Acquire::Languages=none", *options]
    subprocess.run([*command, "update"], capture_output=True, check=True)
    install = ["install", "--simulate", "--no-install-recommends", *packages.FROM_TRIXIE]
    lines = subprocess.check_output([*command, *install], text=True, env=os.environ | {"LC_ALL": "C"})
    releases = dict(re.findall(r"(?m)^Inst (\S+) \(\S+ Debian\S*?:(\d+)", lines))
    assert {name for name, release in releases.items() if release == "13"} == set(packages.FROM_TRIXIE), lines
    assert {"runc", "containerd", "libc6"} <= releases.keys()
