"""Lets this machine run programs of another processor, by qemu: only what is built for another platform asks for it."""

from pathlib import Path

from slipway import docker
from slipway.errors import SlipwayError
from slipway.host import packages
from slipway.host.commands import as_root, run_command, say
from slipway.host.engine import Engine
from slipway.images_toml import Distro

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}  # as the kernel calls them
PACKAGES = ("qemu-user-static", "arch-test")  # mmdebstrap asks arch-test what this machine can run
KERNEL = Path("/proc/sys/fs/binfmt_misc")
FORMATS = Path("/usr/lib/binfmt.d")


def is_needed(serving: Engine, base: Distro) -> bool:
    """Whether the engine says that its own processor is another one than the platform's."""
    return serving.architecture not in ("", MACHINES[base.architecture])


def provide_emulation(serving: Engine, base: Distro) -> None:
    """Let the kernel of this machine hand the platform's programs to qemu, where it does not yet.

    A kernel elsewhere, Docker Desktop's as well, is left alone: `prove_emulation` tells whether it does.
    """
    if not is_needed(serving, base) or not serving.is_here or is_enabled(base):
        return
    format_file = FORMATS / f"qemu-{MACHINES[base.architecture]}.conf"
    if not format_file.is_file():
        packages.install(*PACKAGES, reason=f"this machine does not run programs of {base.platform}")
    if is_enabled(base):
        return  # systemd has done it when the package came
    say(f"letting the kernel hand programs of {base.platform} to qemu, until the next start of this machine")
    root = as_root("change how the kernel runs programs")
    register = KERNEL / "register"
    if not register.exists():
        run_command([*root, "mount", "-t", "binfmt_misc", "binfmt_misc", str(KERNEL)], f"mounting {KERNEL}")
    # Written in place: nothing can replace a file of the kernel.
    run_command([*root, "tee", str(register)], f"writing {register}", data=format_file.read_text())


def is_enabled(base: Distro) -> bool:
    """Whether the kernel hands the platform's programs to qemu, in containers as well (flag F)."""
    entry = KERNEL / f"qemu-{MACHINES[base.architecture]}"
    text = entry.read_text() if entry.is_file() else ""
    return text.startswith("enabled\n") and any(line.startswith("flags:") and "F" in line for line in text.splitlines())


def prove_emulation(serving: Engine, base: Distro) -> None:
    """Run a program of the platform in a container; SlipwayError says what the engine's machine lacks."""
    if not is_needed(serving, base):
        return
    result = docker.call("run", "--rm", "--network=none", f"--platform={base.platform}", base.tag, "uname", "-m")
    if result.stdout.strip() != MACHINES[base.architecture]:
        reason = (result.stderr.strip().splitlines() or ["no output"])[-1]
        raise SlipwayError(
            f"the Docker engine does not run containers of {base.platform}: {reason}. The machine that it runs on "
            f"needs qemu, registered with the flag F: install {PACKAGES[0]} there, or use a machine of that platform."
        )
