"""Checks of an image's age that need no vulnerability database: pending security updates, old locks."""

import re
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from slipway import docker, repository
from slipway.build import locks
from slipway.errors import SlipwayError
from slipway.host import apt, downloads, engine
from slipway.matrix import Image

SECURITY = apt.Mirror("http://security.debian.org/debian-security")
PATIENCE = 300  # seconds; an emulated image is slow

# The image's preferences are not read: they could hide a newer version. Its sources are those of main alone, also with
# packages of contrib or non-free.
LIST_UPDATES = r"""
tar -x -C / || exit
sources=/etc/apt/sources.list.d/debian.sources
[ -z "$SOURCES" ] || { sources=/tmp/asked.sources; printf %s "$SOURCES" >$sources; }
[ -s $sources ] || { echo "E: there is no $sources"; exit 100; }
sections=$(dpkg-query --show --showformat '${Section}\n' | sed -n 's,^\(contrib\|non-free\)/.*,\1,p' |
    sort -u | tr '\n' ' ')
sed "s/^Components:.*/Components: main $sections/" $sources >/tmp/sections.sources
asked="-o Dir::Etc::sourcelist=/tmp/sections.sources -o Dir::Etc::sourceparts=- -o Dir::Etc::preferences=-
    -o Dir::Etc::preferencesparts=- -o APT::Update::Error-Mode=any -o Acquire::Retries=3
    -o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15"
apt-get $asked --quiet update >/tmp/update 2>&1 || { cat /tmp/update; exit 100; }
LC_ALL=C apt $asked list --upgradable 2>/dev/null
[ -n "$SOURCES" ] || LC_ALL=C apt $asked list --installed 2>/dev/null | grep ',local\]$' || true
"""
UPGRADABLE = re.compile(r"(\S+?)/\S+ (\S+) \S+ \[upgradable from: (\S+)\]")
# Of a version that no suite has. One that a newer version has replaced is upgradable.
LOCAL = re.compile(r"(\S+?)/now (\S+) \S+ \[installed,local\]")
STRANGE = "is no version of Debian's"
OWN = {"no-amd-gpu-runtime", "no-xfce-helpers"}  # packages that a Dockerfile makes


class NotRunError(SlipwayError):
    """A check could not be run; the text is the reason."""


# --- Debian's security updates -------------------------------------------------------------------


def pending_updates(image_id: str, suite: str, *, security_only: bool = True) -> list[str]:
    """Return the packages of an image that have a newer version in Debian; NotRunError when Debian is not reached.

    Fixes of a release come to the security suite first, so by default only that suite is read, on this host's mirror if
    it has one, whatever sources the image has; otherwise all suites of the image's sources. With all suites the list
    also has each package of a version that none of them has: one that is newer than Debian's hides a fix.
    """
    name = f"slipway-updates-{image_id[-12:]}-{time.monotonic_ns()}"
    settings = downloads.find(suite)
    options = ["--user=0:0", "--entrypoint=sh", *(f"--env={variable}" for variable in settings.proxies)]
    if security_only:
        _, security = apt.find_mirrors() or (None, SECURITY)
        mirror, _ = security.split_login()
        options.append(f"--env=SOURCES={mirror.stanza(f'{suite}-security')}")
    command = ["run", "--rm", "--interactive", f"--name={name}", *options, image_id, "-c", LIST_UPDATES]
    try:
        packed = engine.pack_settings(settings)
        result = docker.call(*command, data=packed, timeout=PATIENCE, variables=settings.proxies)
    except subprocess.TimeoutExpired:
        raise NotRunError(f"apt gave no answer within {PATIENCE} s") from None
    finally:
        docker.call("rm", "--force", name)  # --rm has removed it already, but for a time-out or Ctrl-C
    if result.returncode:
        raise NotRunError(find_error(result.stdout + result.stderr))
    return read_updates(result.stdout)


def find_error(output: str) -> str:
    """Return apt's error message."""
    lines = output.strip().splitlines() or ["no output"]
    return "Debian's package lists were not reached: " + next((x for x in lines if x.startswith("E:")), lines[-1])


def read_updates(output: str) -> list[str]:
    """Return `NAME OLD -> NEW` for each update, and a line for each strange version.

    NotRunError when apt's list has an unknown form.
    """
    first, *lines = output.split("\n")
    matches = [UPGRADABLE.fullmatch(line) or LOCAL.fullmatch(line) for line in lines if line]
    if not first.startswith("Listing...") or not all(matches):
        raise NotRunError(f"apt's list has an unknown form: {output[:200]!r}")
    return [describe(match) for match in matches if match and match[1] not in OWN]


def describe(match: re.Match[str]) -> str:
    """Return the line of an update or of a strange version."""
    name, version, *older = match.groups()
    return f"{name} {older[0]} -> {version}" if older else f"{name} {version} {STRANGE}"


# --- locks ---------------------------------------------------------------------------------------


def list_old_locks(image: Image, most_days: int) -> Iterator[str]:
    """Yield a message for each lock of an image that was resolved more than `most_days` ago."""
    resolved, today = locks.read_days(), datetime.now(UTC).date()
    for lock in image.locks:
        name = lock.relative_to(repository.ROOT)
        day = resolved.get(lock.stem)
        if day is None:
            yield f"{name} has no date in requirements/{locks.RESOLVED.name}: nox -s lock"
        elif (age := (today - day).days) > most_days:
            yield f"{name} is {age} days old, and {most_days} are allowed: nox -s lock"
