"""Debian's packages: what apt would upgrade or remove is found by a simulation; what it adds is noted for `--undo`."""

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType

from slipway.errors import SlipwayError
from slipway.host import apt
from slipway.host.commands import as_root, run_command, say, write_file
from slipway.host.system_files import os_release, read

# Debian 12 has these too old or not at all. All they depend on stays Debian 12's, its runc and containerd too:
# Debian 13's runc would upgrade libc6.
FROM_TRIXIE = ("docker.io", "docker-cli", "docker-buildx", "docker-compose")
SOURCES = Path("/etc/apt/sources.list.d/slipway-trixie.sources")
PREFERENCES = Path("/etc/apt/preferences.d/slipway-trixie")
# The suites -updates and -security have names of their own.
PIN = f"""\
Package: *
Pin: release n=trixie*
Pin-Priority: 100

Package: {" ".join(FROM_TRIXIE)}
Pin: release n=trixie*
Pin-Priority: 500
"""

NOTES = Path("/var/lib/slipway/setup.json")

INSTRUCTIONS = "install Docker Engine with buildx (https://docs.docker.com/engine/install/)"
# What to install on another system: by the ID of /etc/os-release. Those of Red Hat and Amazon are also "like" Fedora.
ELSEWHERE = {
    **dict.fromkeys(("rhel", "centos", "ol", "amzn"), INSTRUCTIONS),
    "ubuntu": "sudo apt-get install docker.io docker-buildx",
    "fedora": "sudo dnf install moby-engine docker-cli docker-buildx",
    "arch": "sudo pacman -S docker docker-buildx",
    "alpine": "sudo apk add docker docker-cli-buildx",
    "opensuse": "sudo zypper install docker docker-buildx",
}

is_agreed = False  # set by --yes: upgrades and removals need no answer


@dataclass(frozen=True)
class Change:
    """What apt would do: packages to add, to upgrade (with both versions) and to remove."""

    added: list[str]
    upgraded: dict[str, str]
    removed: list[str]


@dataclass(frozen=True)
class Notes:
    """What setup added to this machine, for `--undo`: packages and files; and what it upgraded."""

    packages: list[str] = field(default_factory=list)
    upgraded: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)  # their SHA-256: an edited file is not removed


# --- install ------------------------------------------------------------------------------------


def install(*packages: str, reason: str, settings: Mapping[Path, str] = MappingProxyType({})) -> None:
    """Install packages, after files of settings for them; SlipwayError where apt's changes are not agreed to.

    SlipwayError also on another system than Debian 12 and 13.
    """
    require_debian(packages, reason)
    root = as_root(f"install {' '.join(packages)}")
    say(f"{reason}; installing {' '.join(packages)}")
    sources = trixie_sources(packages)
    write_files(root, sources)
    update_lists(root)
    try:
        change = simulate("install", "--no-install-recommends", *packages)
        require_consent(change)
    except BaseException:
        for path in sources:
            run_command([*root, "rm", str(path)], f"removing {path}")
        raise
    add_notes(root, change, {**sources, **settings})
    write_files(root, settings)  # before the package comes, which starts the engine
    apt_get(root, "install", "--yes", "--no-install-recommends", *packages)


def require_debian(packages: tuple[str, ...], reason: str) -> None:
    """Stop with what to install, except on Debian 12 and 13."""
    system = os_release()
    if system.get("ID") == "debian" and system.get("VERSION_ID") in ("12", "13"):
        return
    name = system.get("PRETTY_NAME", "this system")
    ids = [system.get("ID", ""), *system.get("ID_LIKE", "").split()]
    known = next((ELSEWHERE[each] for each in ids if each in ELSEWHERE), INSTRUCTIONS)
    advice = f"{known}, start it," if "docker.io" in packages else f"install {' '.join(packages)}"
    raise SlipwayError(f"{reason}. On {name} Slipway installs nothing by itself: {advice} and run this again.")


def trixie_sources(packages: tuple[str, ...]) -> dict[Path, str]:
    """Return the files by which apt sees Debian 13, where packages need it on Debian 12; the pin first."""
    if os_release().get("VERSION_ID") != "12" or {*packages}.isdisjoint(FROM_TRIXIE):
        return {}
    if read(PREFERENCES) == PIN and SOURCES.exists():
        return {}
    mirrors = apt.find_mirrors()
    if not mirrors:
        raise SlipwayError("apt on this machine has no source of Debian: add one to /etc/apt/sources.list.d")
    return {PREFERENCES: PIN, SOURCES: apt.debian_sources("trixie", *mirrors)}


def write_files(root: list[str], files: Mapping[Path, str]) -> None:
    """Write system files."""
    for path, text in files.items():
        say(f"writing {path}")
        write_file(root, path, text)


def update_lists(root: list[str]) -> None:
    """Fetch apt's package lists; a broken third-party source does not stop setup."""
    try:
        apt_get(root, "update")
    except SlipwayError as error:
        say(f"{error}\ngoing on with the package lists that apt has")


def apt_get(root: list[str], *arguments: str) -> str:
    """Run apt-get without questions and return its output; wait for another apt instead of failing."""
    command = ["env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "apt-get", "--quiet"]
    command += ["-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=120", *arguments]
    return run_command(root + command, "apt-get " + arguments[0])


def simulate(*arguments: str) -> Change:
    """Return what an apt-get command would do."""
    lines = apt_get([], *arguments, "--simulate")
    found = re.findall(r"(?m)^Inst (\S+)(?: \[(\S+)\])? \((\S+)", lines)
    return Change(
        added=[name for name, old, _ in found if not old],
        upgraded={name: f"{old} to {new}" for name, old, new in found if old},
        removed=re.findall(r"(?m)^Remv (\S+)", lines),
    )


def require_consent(change: Change) -> None:
    """Name what would be upgraded or removed, and ask; SlipwayError without a terminal or a yes."""
    steps = [f"upgrade {name} {versions}" for name, versions in change.upgraded.items()]
    steps += [f"remove {name}" for name in change.removed]
    if not steps:
        return
    say("apt would " + ", ".join(steps))
    if not is_agreed and not ask():
        raise SlipwayError("nothing was changed. `nox -s setup -- --yes` agrees to what apt would do.")


def ask() -> bool:
    """Ask on the terminal whether to go on; no without a terminal."""
    if not sys.stdin or not sys.stdin.isatty():  # None where it was closed
        return False
    try:
        return input("setup: do that? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


# --- notes --------------------------------------------------------------------------------------


def read_notes() -> Notes:
    """Return what setup has noted; nothing where it changed nothing. SlipwayError for a damaged or unreadable file."""
    try:
        return Notes(**json.loads(NOTES.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Notes()
    except OSError as error:
        reason = f"cannot be read ({error.strerror}): run this as root, or let all read it and its folder."
        raise SlipwayError(f"{NOTES}, where setup notes what it adds, {reason}") from None
    except (ValueError, TypeError):
        raise SlipwayError(f"{NOTES}, where setup notes what it adds, is damaged: mend or delete it.") from None


def hash_text(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def add_notes(root: list[str], change: Change, files: Mapping[Path, str]) -> None:
    """Note what setup is about to install, and the files that it writes."""
    old = read_notes()
    new = Notes(
        packages=list(dict.fromkeys([*old.packages, *change.added])),
        upgraded=old.upgraded | change.upgraded,
        files=old.files | {str(path): hash_text(text) for path, text in files.items()},
    )
    write_file(root, NOTES, json.dumps(asdict(new), indent=2) + "\n")
