"""What must not be in an image: leftovers in any layer, waste, the build host's configuration, loose rights."""

import hashlib
import json
import os
import re
import shlex
from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit

import pytest
from testinfra.host import Host

from slipway import matrix
from slipway.host import downloads as this_host
from slipway.image.layers import Entry, Kind, SavedImage
from tests.images.conftest import Run
from tests.images.helpers.scope import applies

pytestmark = applies()

# Regular expressions for whole paths. What has no bytes, apt's locks or links, is no leftover.
LEFTOVERS = {
    "package lists": r"/var/lib/apt/lists/.+",
    "downloaded packages": r"/var/cache/apt/.+|.*\.deb|.*\.whl",
    "tool caches": r"(/root|/home/\w+|/cache)/.*cache.*|.*/\.(cache|npm|uv)/.+|/cache/.+",
    "documentation": r".*/share/doc/(?!.*/copyright$).+|/usr/share/lintian/overrides/.+",
    "manual pages": r".*/share/man/.+",
    "info pages": r".*/share/info/.+",
    "translations": r"/usr/share/locale/.+/LC_MESSAGES/.+|/usr/share/i18n/.+|/usr/lib/locale/locale-archive",
    "temporary files": r"(/tmp|/var/tmp|/run|/mnt|/media|/srv)/.+",
    "logs": r"/var/log/.+|.*/pip-log\.txt",
    "loader's cache": r"/var/cache/ldconfig/.+",
    "backups": r"/etc/[^/]+-|/var/.+-old|.*(~|\.bak|\.orig|\.rej|\.swp|\.dpkg-(old|new|dist|tmp)|\.ucf-(old|dist))",
    "home folders": r"/root/(?!\.bashrc$|\.profile$).+|/home/.+",
    "user data": r"/data/.+",
    "secrets": r"/run/secrets/.+|/etc/apt/auth\.conf.*/.+|.*/(\.netrc|\.git-credentials|\.pypirc|id_(rsa|ed25519))",
    "build settings": r"/etc/pip\.conf|/etc/uv/.*|/etc/apt/apt\.conf\.d/90host|.*/\.git/.+",
    "sources of the build": r".*/(trims|trim\.py|uv-install|Dockerfile.*)|/opt/app/(?!app/).+",
}
# The official Debian image brings backups of a few small files; the first RUN deletes them.
DEBIAN_BACKUPS = re.compile(r"/etc/(passwd|group|shadow|gshadow)-|/var/(lib/dpkg|cache/debconf)/[\w.]+-old")

# A database cannot grow without being replaced. Everything else that a later layer replaces was in vain.
DATABASES = {
    "/etc/group": "gets no new line but is written anew by useradd",
    "/etc/gshadow": "as /etc/group",
    "/etc/ld.so.cache": "ldconfig's index of the libraries",
    "/etc/passwd": "holds the user",
    "/etc/shadow": "holds the user",
    "/usr/share/applications/mimeinfo.cache": "which application opens which type of file",
    "/usr/share/icons/hicolor/icon-theme.cache": "index of the applications' icons",
    "/var/cache/debconf/config.dat": "answers of the packages' set-up",
    "/var/cache/debconf/templates.dat": "questions of the packages' set-up",
    "/var/lib/apt/extended_states": "which packages were asked for",
    "/var/lib/dpkg/diversions": "which files a package moves out of the way",
    "/var/lib/dpkg/status": "which packages are installed",
    "/var/lib/dpkg/triggers/File": "which package waits for another's files",
}
# One file for each type that a program may open, all written anew with the first application that adds one; and
# fontconfig's indexes of folders, written anew with the first package that adds a font.
MANY_FILES = re.compile(r"/usr/share/mime/(?!packages/).+|/var/cache/fontconfig/.+")
SHOWN = 10
MOST_WASTE = 3_000_000  # three generations of dpkg's and debconf's databases, in devel
MOST_WASTE_OF_A_TARGET = 1_500_000  # one more for each target of a workload, on desktop with the types of files

# Programs of Debian's base system that act with more rights than their user; none works under no-new-privileges.
PRIVILEGED = {
    "/usr/bin/chage",
    "/usr/bin/chfn",
    "/usr/bin/chsh",
    "/usr/bin/expiry",
    "/usr/bin/gpasswd",
    "/usr/bin/mount",
    "/usr/bin/newgrp",
    "/usr/bin/passwd",
    "/usr/bin/su",
    "/usr/bin/umount",
    "/usr/sbin/unix_chkpwd",
}
SET_ID = 0o6000
STICKY = 0o1000
WORLD_WRITABLE = 0o002

# What the user may write: a home, volumes, and where everybody may.
WRITABLE = ["/cache", "/data", "/home/app", "/run/lock", "/tmp", "/var/tmp"]
# Where text could name the build host.
TEXT_FOLDERS = "/etc /root /home /opt/app /opt/venv/bin /opt/venv/pyvenv.cfg /usr/local /var/lib/dpkg"
WRITTEN_BY_DOCKER = "--exclude=hosts --exclude=hostname --exclude=resolv.conf"

COPYRIGHTS = r"""
dpkg-query --show --showformat='${Package}\n' | sort -u | while read -r package; do
    [ -s "/usr/share/doc/$package/copyright" ] || echo "$package"
done
"""


def entries(saved: SavedImage) -> Iterator[tuple[int, Entry]]:
    """Yield every entry of every layer with the layer's number, also what a later layer deletes."""
    for number, layer in enumerate(saved.layers):
        yield from ((number, entry) for entry in layer.entries)


def listing(saved: SavedImage, found: list[tuple[int, Entry]]) -> str:
    """Return paths, the largest first, each with the instruction that made its layer."""
    largest = sorted(found, key=lambda item: item[1].size, reverse=True)[:SHOWN]
    lines = [f"{entry.size:>12,} {entry.path}  {instruction(saved, number)}" for number, entry in largest]
    return "\n".join([f"{len(found)} found:", *lines])


def instruction(saved: SavedImage, number: int) -> str:
    """Return the beginning of a layer's instruction."""
    return " ".join(saved.layers[number].created_by.split())[:80]


def is_debian_backup(number: int, entry: Entry) -> bool:
    """Tell whether a file came with the base image, where the build could not avoid it."""
    return number == 0 and DEBIAN_BACKUPS.fullmatch(entry.path) is not None


def is_database(path: str) -> bool:
    """Tell whether a file is written anew by whatever package adds to it."""
    return path in DATABASES or MANY_FILES.fullmatch(path) is not None


# --- leftovers -----------------------------------------------------------------------------------


@pytest.mark.requirement("C5")
@pytest.mark.parametrize("kind", LEFTOVERS)
def test_no_layer_holds_leftovers(saved: SavedImage, kind: str) -> None:
    """A file that a later layer deletes is still downloaded by everybody who pulls the image."""
    pattern = re.compile(LEFTOVERS[kind])
    left = [
        (number, entry)
        for number, entry in entries(saved)
        if entry.size and pattern.fullmatch(entry.path) and not is_debian_backup(number, entry)
    ]
    assert not left, listing(saved, left)


def test_only_databases_are_replaced(saved: SavedImage) -> None:
    """What a later layer deletes or replaces is carried in vain, but for databases that a package manager keeps."""
    wasted = [
        (item.layer, item.entry)
        for item in saved.waste()
        if not is_database(item.entry.path) and not is_debian_backup(item.layer, item.entry)
    ]
    assert not wasted, listing(saved, wasted)


def test_waste_is_small(saved: SavedImage, contract: matrix.Image) -> None:
    """The databases, too, have a limit: each layer that installs packages carries a copy."""
    wasted = [(item.layer, item.entry) for item in saved.waste() if not is_debian_backup(item.layer, item.entry)]
    targets = contract.workload.targets if contract.workload else ()
    most = MOST_WASTE + MOST_WASTE_OF_A_TARGET * len(targets)
    assert sum(entry.size for _, entry in wasted) <= most, listing(saved, wasted)


@pytest.mark.requirement("C5")
def test_licences_travel_with_the_packages(host: Host) -> None:
    """Documentation is left out, copyright files are not: the licences ask for them, and scanners read them."""
    assert host.check_output(COPYRIGHTS) == ""


# --- the build host's configuration --------------------------------------------------------------


def needles() -> set[str]:
    """Return texts that only this host's configuration has: this folder, servers, logins."""
    settings = settings_of_host()
    texts = "\n".join([*settings.environment().values(), *proxies(settings)])
    urls = [url for url in re.findall(r"https?://[^\s\"';]+", texts) if this_host.is_own(url)]
    # A folder such as /src is part of many a path; one of its own folders is not.
    folder = matrix.ROOT if len(matrix.ROOT.parts) > 2 else matrix.ROOT / "requirements"
    return {str(folder), *(text for url in urls for text in traces(urlsplit(url)))}


def traces(url: SplitResult) -> Iterator[str]:
    """Yield what of an address would betray it; a bare `proxy` or `localhost` stands in many a file."""
    yield f"//{url.netloc}"
    if url.password:
        yield f"{url.username}:{url.password}"
    if url.hostname and "." in url.hostname and not url.hostname.startswith("127."):
        yield url.hostname


def settings_of_host() -> this_host.Host:
    """Return what builds on this host are given."""
    return this_host.find(matrix.load_matrix().default_distro.suite)


def proxies(settings: this_host.Host) -> list[str]:
    """Return the proxies' addresses; one without a scheme gets one."""
    values = [os.environ[name] for name in settings.proxies if "no_proxy" not in name.lower()]
    return [value if "://" in value else f"http://{value}" for value in values]


def test_settings_and_history_do_not_name_the_host(saved: SavedImage) -> None:
    """Whoever may pull the image can read its history, environment and labels."""
    text = json.dumps(saved.config, ensure_ascii=False)
    assert [word for word in needles() if word in text] == []


def test_files_do_not_name_the_host(run: Run) -> None:
    """Mirrors, indexes and proxies would fail, or leak, wherever else the image runs."""
    pattern = shlex.quote("\n".join(needles()))
    script = f"grep -rIlF {WRITTEN_BY_DOCKER} -e {pattern} {TEXT_FOLDERS} 2>&1"
    finished = run("-c", script, entrypoint=["sh"], user="0")
    assert (finished.exit_code, finished.output) == (1, "")


def test_no_layer_holds_the_hosts_certificates(saved: SavedImage) -> None:
    """The bundle that the build was lent is in no layer, under whatever name, unless it is Debian's own."""
    bundle = settings_of_host().ca_bundle
    lent = hashlib.sha256(bundle.read_bytes()).hexdigest() if bundle else ""
    copies = {entry.path for _, entry in entries(saved) if lent and entry.sha256 == lent}
    assert copies <= {"/etc/ssl/certs/ca-certificates.crt"}


# --- rights --------------------------------------------------------------------------------------


def test_nothing_is_writable_by_everybody(saved: SavedImage) -> None:
    """But for folders with the sticky bit, where nobody can touch another's files, and devices."""
    loose = [
        (number, entry)
        for number, entry in entries(saved)
        if entry.kind in (Kind.FILE, Kind.HARDLINK, Kind.DIRECTORY)
        and entry.mode & WORLD_WRITABLE
        and not (entry.kind is Kind.DIRECTORY and entry.mode & STICKY)
    ]
    assert not loose, listing(saved, loose)


def test_privileged_programs_are_debians(saved: SavedImage) -> None:
    """A setuid or setgid program is a way to more rights: exactly the known ones are there."""
    programs = {
        path
        for path, (entry, _) in saved.merged().items()
        if entry.kind in (Kind.FILE, Kind.HARDLINK) and entry.mode & SET_ID
    }
    assert programs == PRIVILEGED


def test_files_belong_to_root(saved: SavedImage) -> None:
    """What the user owns, the user can change: only the home and the volumes."""
    owned = {entry.path for _, entry in entries(saved) if entry.uid == 1000}
    assert owned == {"/cache", "/data", "/home/app"}


@pytest.mark.requirement("U10", "T12")
@pytest.mark.parametrize("user", ["", "12345:0"], ids=["default", "any"])
def test_user_can_write_nowhere_else(run: Run, user: str) -> None:
    """Neither programs nor libraries can be changed by what runs in the container."""
    finished = run("-c", "find / -xdev -writable ! -type l 2>/dev/null", entrypoint=["sh"], user=user or None)
    assert sorted(finished.output.split()) == WRITABLE


@pytest.mark.requirement("U10")
@pytest.mark.parametrize("folder", ["/cache", "/data", "/home/app"])
def test_folder_is_the_groups(host: Host, folder: str) -> None:
    """Any UID works with GID 0, and nobody else reads what a user keeps."""
    assert host.check_output("stat --format='%%u:%%g %%a' %s", folder) == "1000:0 770"
