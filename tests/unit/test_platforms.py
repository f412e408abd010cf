"""Platforms: what the matrix says of each, and a kernel that is asked to run another processor's programs."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from slipway import docker, matrix
from slipway.build import locks
from slipway.errors import SlipwayError
from slipway.host import emulation, packages
from slipway.host.engine import Engine
from slipway.images_toml import Distro, Platform
from tests.helpers.matrices import parse_matrix

MATRIX = matrix.load_matrix()
ARM64: Platform = "linux/arm64"
REASON = MATRIX.variants["cuda"].excluded[ARM64]
BASE = Distro(image="debian:x", suite="x", glibc="2.40", platform=ARM64)
HERE = Engine(
    id="1",
    version="26.1.5",
    client="26.1.5",
    plugins={"buildx": "0.13.1"},
    host="here",
    data_root=Path("/"),
    os="linux",
    architecture="x86_64",
)
ENABLED = "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: POF\noffset 0\n"

# --- the matrix ----------------------------------------------------------------------------------


@pytest.mark.requirement("U6")
@pytest.mark.parametrize("image", MATRIX.variant_images, ids=lambda image: image.name)
def test_each_variant_is_there_for_each_platform_or_says_why_not(image: matrix.Image) -> None:
    """Nothing is left out without a word; the counterpart is of that platform and has its own name."""
    if image.variant.distro.platform == ARM64:
        assert MATRIX.find_for_platform(image, ARM64) is image
        return
    variant = image.variant
    assert MATRIX.find_for_platform(image, "linux/amd64") is image
    other = MATRIX.variants.get(f"{variant.name}-arm64")
    if other is None:
        assert ARM64 in variant.excluded
    elif image.flavor not in other.excluded:
        assert MATRIX.find_for_platform(image, ARM64).name == f"{image.name}-arm64"
        assert other.distro.platform == ARM64


@pytest.mark.requirement("U6")
def test_a_lock_serves_every_platform() -> None:
    """It holds the hashes of all wheels of a version, so it is compiled once."""
    image = MATRIX.find_for_platform(MATRIX.find_image("cpu-base"), ARM64)
    assert image.variant_locks == MATRIX.find_image("cpu-base").variant_locks
    names = [item.name for item in locks.list_locks(MATRIX)]
    assert names.count("cpu-base") == 1
    locks.require_current(image)


WRONG = {
    "unknown platform": (
        'platform = "linux/arm64"',
        'platform = "linux/mips"',
        "platform is 'linux/mips'; .*one of linux/amd64",
    ),
    "name without it": ("[variant.cpu-arm64]", "[variant.cpu-arm]", "must be named cpu, .*-arm64 must"),
    "name with it": ('distro = "trixie-arm64"\n', "", r"\[variant.cpu-arm64\] must be named cpu"),
    "unknown key": (
        'excluded = { "linux/arm64"',
        'excluded = { "arm64"',
        r"excluded\] has an unknown key 'arm64'; allowed: base, runtime, devel, linux/amd64, ",
    ),
    "no reason": (REASON, " ", "it must be one line"),
}


@pytest.mark.requirement("U6")
@pytest.mark.parametrize(("old", "new", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_platform_is_named(old: str, new: str, message: str) -> None:
    text = matrix.FILE.read_text()
    assert old in text
    changed = text.replace(old, new).replace(
        "[variant.cpu-arm64.", f"{new[:-1]}." if new.startswith("[variant") else "[variant.cpu-arm64."
    )
    with pytest.raises(SlipwayError, match=message):
        parse_matrix(changed)


@pytest.mark.requirement("U6")
@pytest.mark.parametrize(
    ("name", "platform", "message"),
    [
        ("cpu-devel", ARM64, f"there is no cpu-devel-arm64: {MATRIX.variants['cpu-arm64'].excluded['devel']}"),
        ("cuda-base", ARM64, f"there is no cuda-base for linux/arm64: {REASON}"),
        ("cpu-base", "linux/arm", "there is no platform 'linux/arm'; choose one of linux/amd64, linux/arm64"),
    ],
)
def test_a_missing_platform_is_answered_with_the_reason(name: str, platform: str, message: str) -> None:
    with pytest.raises(SlipwayError, match=re.escape(message)):
        MATRIX.find_for_platform(MATRIX.find_image(name), platform)


# --- emulation -----------------------------------------------------------------------------------


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kernel that knows no other processor, and the package's file that could tell it."""
    folder = tmp_path / "binfmt_misc"
    folder.mkdir()
    (folder / "register").touch()
    formats = tmp_path / "binfmt.d"
    formats.mkdir()
    (formats / "qemu-aarch64.conf").write_text(":qemu-aarch64:M::magic:mask:/usr/bin/qemu:POF\n")
    monkeypatch.setattr(emulation, "KERNEL", folder)
    monkeypatch.setattr(emulation, "FORMATS", formats)
    monkeypatch.setattr(Engine, "is_here", property(lambda engine: engine.host == "here"))
    monkeypatch.setattr(emulation, "as_root", lambda _: [])
    return folder


@pytest.mark.requirement("U6")
def test_a_kernel_that_lacks_it_is_told(kernel: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the session says what it changes on this machine, and for how long."""
    emulation.provide_emulation(HERE, BASE)
    assert (kernel / "register").read_text().startswith(":qemu-aarch64:")
    assert "programs of linux/arm64 to qemu, until the next start of this machine" in capsys.readouterr().out


@pytest.mark.requirement("U6")
@pytest.mark.parametrize(
    ("machine", "platform", "entry"),
    [("x86_64", ARM64, ENABLED), ("aarch64", ARM64, ""), ("x86_64", "linux/amd64", ""), ("elsewhere", ARM64, "")],
)
def test_what_serves_is_left_alone(kernel: Path, machine: str, platform: str, entry: str) -> None:
    """It is enabled, or no emulation is needed, or the kernel is another machine's."""
    if entry:
        (kernel / "qemu-aarch64").write_text(entry)
    architecture = "x86_64" if machine == "elsewhere" else machine
    host = "elsewhere" if machine == "elsewhere" else "here"
    serving = Engine(**{**vars(HERE), "host": host, "architecture": architecture})
    emulation.provide_emulation(serving, Distro(**{**vars(BASE), "platform": platform}))
    assert (kernel / "register").read_text() == ""


@pytest.mark.requirement("U6")
@pytest.mark.parametrize("entry", ["disabled\n" + ENABLED, ENABLED.replace("POF", "PO")], ids=["disabled", "no F"])
def test_an_entry_that_no_container_can_use_does_not_serve(kernel: Path, entry: str) -> None:
    """Without the flag F the kernel looks for qemu in the container."""
    (kernel / "qemu-aarch64").write_text(entry)
    assert not emulation.is_enabled(BASE)


@pytest.mark.requirement("U6")
def test_missing_packages_are_named(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(emulation.FORMATS)
    monkeypatch.setattr(packages, "os_release", lambda: {"ID": "fedora", "PRETTY_NAME": "Fedora 44"})
    with pytest.raises(SlipwayError, match=r"does not run programs of linux/arm64.*install qemu-user-static arch-test"):
        emulation.provide_emulation(HERE, BASE)
    assert (kernel / "register").read_text() == ""


@pytest.mark.requirement("U6")
@pytest.mark.parametrize(("printed", "works"), [("aarch64\n", True), ("x86_64\n", False), ("", False)])
def test_a_container_proves_it(printed: str, works: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    """What the kernel says of itself is not believed."""
    answer = subprocess.CompletedProcess((), 0, printed, "exec /usr/bin/uname: exec format error")
    monkeypatch.setattr(docker, "call", lambda *_: answer)
    if works:
        emulation.prove_emulation(HERE, BASE)
        return
    with pytest.raises(SlipwayError, match=r"does not run containers of linux/arm64: exec .* install qemu-user-static"):
        emulation.prove_emulation(HERE, BASE)
