"""Takes back what setup added to this machine."""

import subprocess
from pathlib import Path

from slipway.host import start
from slipway.host.commands import as_root, run_command, say
from slipway.host.packages import (
    NOTES,
    SOURCES,
    Change,
    Notes,
    apt_get,
    hash_text,
    read_notes,
    require_consent,
    simulate,
    update_lists,
)
from slipway.host.system_files import read

# A package is needed by those that depend on it, not by those that recommend or suggest it.
NEEDED = [f"-o=APT::AutoRemove::{kind}Important=false" for kind in ("Recommends", "Suggests")]


def undo_setup() -> None:
    """Remove the packages and files that setup added; name what it upgraded. Images and volumes stay."""
    notes = read_notes()
    if notes == Notes():
        say(f"nothing to undo: {NOTES}, where setup notes what it adds, has nothing")
        return
    root = as_root("undo setup")
    remove_packages(root, [package for package in notes.packages if is_installed(package)])
    for name, digest in notes.files.items():
        if hash_text(read(Path(name))) == digest:
            say(f"removing {name}")
            run_command([*root, "rm", name], f"removing {name}")
        elif Path(name).exists():
            say(f"leaving {name}, which was changed since")
    if str(SOURCES) in notes.files:
        update_lists(root)
    if notes.upgraded:
        say("apt cannot take these upgrades back: " + ", ".join(f"{k} {v}" for k, v in notes.upgraded.items()))
    run_command([*root, "rm", "-r", str(NOTES.parent)], f"removing {NOTES.parent}")


def is_installed(package: str) -> bool:
    """Tell whether a package is installed."""
    command = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout == "installed"


def find_unneeded(packages: list[str]) -> list[str]:
    """Return those packages that nothing else needs, and those that setup itself asked for."""
    change = simulate("remove", *packages)
    if not change.added and set(change.removed) <= set(packages):
        return packages
    wanted = run_command(["apt-mark", "showmanual", *packages], "apt-mark").split()  # the others are dependencies
    # apt also keeps a package that is one of two choices of a dependency where the other one is installed.
    unneeded = simulate("remove", "--autoremove", *NEEDED, *wanted).removed
    return [name for name in packages if name in unneeded]


def remove_packages(root: list[str], packages: list[str]) -> None:
    """Remove packages, except what others need; ask where others need what setup itself asked for."""
    if not packages:
        return
    own = find_unneeded(packages)
    others = [name for name in simulate("remove", *own).removed if name not in own]
    require_consent(Change(added=[], upgraded={}, removed=others))
    say(f"removing {' '.join(own)}")
    if len(own) < len(packages):
        say(f"leaving {' '.join(name for name in packages if name not in own)}, which other packages need")
    if "docker.io" in own:
        start.stop_engine(root)
        run_command([*root, "rm", "-f", str(start.LOG)], f"removing {start.LOG}")
        say("images and volumes stay in /var/lib/docker")
    # Not purge: that of docker.io deletes every image and volume.
    apt_get(root, "remove", "--yes", *own)
