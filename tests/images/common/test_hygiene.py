"""Leftovers in any layer, waste, traces of the build host, and permissions that are too wide."""

import hashlib
import json
import re
import shlex
from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit

import pytest
from docker.models.containers import Container

from slipway import matrix, repository
from slipway.host import apt
from slipway.host import downloads as this_host
from slipway.image.layers import Entry, Kind, SavedImage, Wasted
from tests.helpers.reasons import NO_BUNDLE
from tests.images.helpers.containers import Finished, Start, execute, inside
from tests.images.helpers.databases import is_database
from tests.images.helpers.scope import applies
from tests.images.helpers.updates import list_updated

pytestmark = applies()

# Regular expressions for whole paths. Files without bytes, such as apt's locks, and links are no leftovers.
LEFTOVERS = {
    "package lists": r"/var/lib/apt/lists/.+",
    # Debian's ensurepip, by which `python -m venv` has a pip, is a package of two wheels.
    "downloaded packages": r"/var/cache/apt/.+|.*\.deb|(?!/usr/share/python-wheels/).*\.whl",
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
    "secrets": r"/run/secrets/.+|/etc/apt/auth\.conf.*/.+|.*/(\.netrc|\.git-credentials|\.pypirc|id_(rsa|ed25519))"
    r"|/etc/ssh/ssh_host_.+|.*/\.ssh/.+",
    "build settings": r"/etc/pip\.conf|/etc/uv/.*|/etc/apt/apt\.conf\.d/90host|.*/\.git/.+",
    "sources of the build": r".*/(trims|trim\.py|uv-install|Dockerfile.*)|/opt/app/(?!app/).+",
}
# What apt and dpkg leave, and the install script of this repository's Dockerfiles deletes.
OF_AN_INSTALL = {"logs", "loader's cache", "backups"}
# Backups of small files in the official Debian image; the first RUN deletes them.
DEBIAN_BACKUPS = re.compile(r"/etc/(passwd|group|shadow|gshadow)-|/var/(lib/dpkg|cache/debconf)/[\w.]+-old")

SHOWN = 10
MOST_WASTE = 3_000_000  # bytes: three copies of dpkg's and debconf's databases, in devel
MOST_WASTE_OF_A_TARGET = 1_500_000  # another copy for each target of a workload, on desktop with the MIME types

# Setuid and setgid programs of Debian's base system; under no-new-privileges they give no rights.
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
GROUP_WRITABLE = 0o020

# Folders that the user may write to: the volumes, of which /data is the home, and those of everybody.
FOLDERS = ["/cache", "/data"]
WRITABLE = ["/cache", "/data", "/run/lock", "/tmp", "/var/tmp"]
# Folders of the account that Debian's package of redis-tools makes.
OF_REDIS = {"/etc/redis", "/var/lib/redis", "/var/log/redis"}
# What belongs to another user than root, in any layer.
OWNED = {"/cache": 1000, "/data": 1000, "/var/cache/apt/archives/partial": 42, "/var/lib/apt/lists/partial": 42}
# Prints the kind of each key and certificate, after its file. Those of Debian's authorities are found in every image.
KEYS = "find / -xdev -type f -size -64k -exec grep -HoIE '^-----BEGIN [A-Z ]*(PRIVATE KEY|CERTIFICATE)-----$' {} +"
FEWEST_AUTHORITIES = 100  # Debian has about 150
# Keys that everybody has: of the tests that a package brings along.
PUBLIC_KEYS = {
    "/opt/code-server/node_modules/httpolyglot/test/fixtures/server.key",
    "/opt/elyra/lib/python3.13/site-packages/Crypto/SelfTest/PublicKey/test_import_DSA.py",
    "/opt/elyra/lib/python3.13/site-packages/tornado/test/test.key",
}
# Folders of a group of Debian's, which it may write.
OF_A_GROUP = {"/var/local", "/var/mail"}
# Tokens of services by their form, and what an instruction gives a program as a password.
SECRET = re.compile(
    r"\b(hf_\w{30,}|gh[pousr]_\w{30,}|github_pat_\w{30,}|glpat-[\w-]{20,}|pypi-\w{30,}|(AKIA|ASIA)[0-9A-Z]{16}"
    r"|xox[abprs]-[\w-]{10,}|sk-[\w-]{20,}|dckr_pat_\w{20,})\b|(?i:(password|passwd|token|secret|api_?key)=)[^\s$'\"]{4,}"
)
# What no user reads: passwords, keys, locks, and folders of root's and of apt's.
PRIVATE = {
    *("/etc/.pwd.lock", "/etc/gshadow", "/etc/shadow", "/etc/security/opasswd", "/etc/ssl/private", "/root"),
    *("/var/cache/apt/archives/partial", "/var/lib/apt/lists/partial", "/var/lib/dpkg/triggers/Lock"),
    *("/var/cache/debconf/passwords.dat", "/var/cache/ldconfig", "/etc/default/cacerts", *OF_REDIS),
}
# What nobody reads who is not of group 0.
OF_GROUP_0 = {"/cache", "/data", "/var/cache/apt/archives/lock", "/var/lib/apt/lists/lock"} | {
    f"/var/lib/dpkg/{name}" for name in ("lock", "lock-frontend")
}
# A folder that may be read but not entered hides what is in it. Logs are root's.
UNREADABLE = (
    r"find / -xdev -path /var/log -prune -o ! -type l \( ! -readable -o -type d ! -executable \) -print 2>/dev/null"
)
# Scripts that are read by a shell, not started, have other names; of them, this one is in every image.
READ_BY_A_SHELL = re.compile(r".*/activate[^/]*|.*\.(bat|pyc)")
SURELY_READ = "/opt/venv/bin/activate"
UNSTARTABLE = r"""
find /usr/bin /usr/sbin /usr/local/bin /usr/local/sbin /opt/*/bin -type f ! -executable 2>/dev/null
cd / && find /usr/local/lib/slipway -type f ! -executable -exec grep -l -m 1 '^#!/' {} +
"""
# Folders with text files that could name the build host.
TEXT_FOLDERS = "/etc /root /home /opt /usr/local /usr/share /var/lib/dpkg"
WRITTEN_BY_DOCKER = "--exclude=hosts --exclude=hostname --exclude=resolv.conf"

FEWEST_PACKAGES = 50  # Debian's smallest system has 78
COPYRIGHTS = r"""
dpkg-query --show --showformat='${Package}\n' | sort -u | while read -r package; do
    [ -s "/usr/share/doc/$package/copyright" ] && echo found || echo "$package"
done
"""


def entries(saved: SavedImage) -> Iterator[tuple[int, Entry]]:
    """Yield every entry of every layer with the layer's number, deleted ones included."""
    for number, layer in enumerate(saved.layers):
        yield from ((number, entry) for entry in layer.entries)


def listing(saved: SavedImage, found: list[tuple[int, Entry]]) -> str:
    """Return the paths, the largest first, each with its layer's instruction."""
    largest = sorted(found, key=lambda item: item[1].size, reverse=True)[:SHOWN]
    lines = [f"{entry.size:>12,} {entry.path}  {instruction(saved, number)}" for number, entry in largest]
    return "\n".join([f"{len(found)} found:", *lines])


def instruction(saved: SavedImage, number: int) -> str:
    """Return the beginning of a layer's instruction."""
    return " ".join(saved.layers[number].created_by.split())[:80]


def is_debian_backup(number: int, entry: Entry) -> bool:
    """Tell whether a file is a backup of the base image, which the build cannot avoid."""
    return number == 0 and DEBIAN_BACKUPS.fullmatch(entry.path) is not None


@pytest.fixture(scope="module")
def avoidable(saved: SavedImage) -> list[Wasted]:
    """The files that a later layer deletes or replaces, without backups and updated files of the base image."""
    updated = list_updated(saved)
    return [
        item
        for item in saved.waste()
        if not is_debian_backup(item.layer, item.entry) and not (item.layer == 0 and item.entry.path in updated)
    ]


@pytest.fixture(scope="module")
def writable(start_shared: Start) -> Container:
    """An idle container with a writable root; no check writes to it."""
    return start_shared("infinity", entrypoint=["sleep"], network_mode="none")


# --- leftovers -----------------------------------------------------------------------------------


@pytest.mark.requirement("C5")
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.exact] if kind in OF_AN_INSTALL else []) for kind in LEFTOVERS]
)
def test_no_layer_holds_leftovers(saved: SavedImage, kind: str) -> None:
    """A file that a later layer deletes is still downloaded with the image."""
    pattern = re.compile(LEFTOVERS[kind])
    left = [
        (number, entry)
        for number, entry in entries(saved)
        if entry.size and pattern.fullmatch(entry.path) and not is_debian_backup(number, entry)
    ]
    assert not left, listing(saved, left)


def test_only_databases_are_replaced(saved: SavedImage, avoidable: list[Wasted], replaceable: tuple[str, ...]) -> None:
    """A file that a later layer deletes or replaces is waste, unless a package manager keeps it as a database."""
    there = saved.merged()
    wasted = [
        (item.layer, item.entry)
        for item in avoidable
        if not ((is_database(item.entry.path) and item.entry.path in there) or item.entry.path.startswith(replaceable))
    ]
    assert not wasted, listing(saved, wasted)


@pytest.mark.exact
def test_waste_is_small(saved: SavedImage, avoidable: list[Wasted], contract: matrix.Image) -> None:
    """Databases have a limit, too: each layer that installs packages has a copy."""
    targets = contract.workload.targets if contract.workload else ()
    most = MOST_WASTE + MOST_WASTE_OF_A_TARGET * len(targets)
    wasted = [(item.layer, item.entry) for item in avoidable]
    assert sum(entry.size for _, entry in wasted) <= most, listing(saved, wasted)


@pytest.mark.requirement("C5")
def test_licences_travel_with_the_packages(idle: Container) -> None:
    """Documentation is left out, but not copyright files: the licenses require them, and scanners read them."""
    listed = inside(idle, "sh", "-c", COPYRIGHTS).split()
    assert listed.count("found") > FEWEST_PACKAGES
    assert [package for package in listed if package != "found"] == []


# --- the build host's configuration --------------------------------------------------------------


def needles() -> set[str]:
    """Return texts of this host's configuration: this folder, servers, logins."""
    settings = settings_of_host()
    texts = "\n".join(settings.environment().values())
    urls = [url for url in re.findall(r"https?://[^\s\"';]+", texts) if apt.is_own(url)]
    passwords = re.findall(r"(?m)\bpassword[ \t]+(\S{6,})", f"{settings.apt_auth}\n{settings.netrc}")
    # A folder such as /src is part of many paths; a folder in it is not.
    folder = repository.ROOT if len(repository.ROOT.parts) > 2 else repository.ROOT / "requirements"
    return {str(folder), *passwords, *(text for url in urls for text in traces(urlsplit(url)))}


def traces(url: SplitResult) -> Iterator[str]:
    """Yield the parts of an address that identify it; a bare `proxy` or `localhost` is in many files."""
    yield f"//{url.netloc}"
    if url.password:
        yield f"{url.username}:{url.password}"
    if url.hostname and "." in url.hostname and not url.hostname.startswith("127."):
        yield url.hostname


def settings_of_host() -> this_host.Host:
    """Return the settings that this host passes to builds."""
    return this_host.find(matrix.load_matrix().default_distro.suite)


def test_settings_and_history_do_not_name_the_host(saved: SavedImage) -> None:
    """Everybody who can pull the image can read its history, environment and labels."""
    text = json.dumps(saved.config, ensure_ascii=False)
    assert [word for word in needles() if word in text] == []


def test_settings_and_history_hold_no_secret(saved: SavedImage) -> None:
    """A token that a build was given as an argument or a variable is read by everybody who can pull the image."""
    text = json.dumps(saved.config, ensure_ascii=False)
    assert "entrypoint" in text
    assert [found[0] for found in SECRET.finditer(text)] == []


def test_files_do_not_name_the_host(writable: Container) -> None:
    """Its mirrors, indexes and proxies would leak, and fail elsewhere."""
    pattern = shlex.quote("\n".join(needles()))
    script = f"grep -rIlF {WRITTEN_BY_DOCKER} -e {pattern} {TEXT_FOLDERS} 2>&1"
    assert execute(writable, "sh", "-c", script, user="0") == Finished(1, "")


def test_no_layer_holds_the_hosts_certificates(saved: SavedImage) -> None:
    """The CA bundle of the build is in no layer, under any name, unless it is Debian's own.

    A part of it would be a file that nothing owns (test_owners.py), or one authority more (test_network.py).
    """
    bundle = settings_of_host().ca_bundle
    if not bundle:
        pytest.skip(NO_BUNDLE)
    lent = hashlib.sha256(bundle.read_bytes()).hexdigest()
    copies = {entry.path for _, entry in entries(saved) if entry.sha256 == lent}
    assert copies <= {"/etc/ssl/certs/ca-certificates.crt"}


def test_no_file_is_a_private_key(writable: Container) -> None:
    """A host's key of sshd, or one that lets somebody in: each container would have the same, and so would others."""
    output = execute(writable, "sh", "-c", KEYS, user="0").output
    found = [line.split(":-----BEGIN ") for line in output.splitlines()]
    assert sum(path.startswith("/usr/share/ca-certificates/") for path, _ in found) >= FEWEST_AUTHORITIES
    assert {path for path, kind in found if "PRIVATE KEY" in kind} <= PUBLIC_KEYS


# --- rights --------------------------------------------------------------------------------------


def test_nothing_is_writable_by_everybody(saved: SavedImage) -> None:
    """Except devices, and folders with the sticky bit, which protects other users' files."""
    loose = [
        (number, entry)
        for number, entry in entries(saved)
        if entry.kind in (Kind.FILE, Kind.HARDLINK, Kind.DIRECTORY)
        and entry.mode & WORLD_WRITABLE
        and not (entry.kind is Kind.DIRECTORY and entry.mode & STICKY)
    ]
    assert not loose, listing(saved, loose)


def test_privileged_programs_are_debians(saved: SavedImage) -> None:
    """Setuid and setgid programs give more rights: the image has exactly the known ones."""
    programs = {
        path
        for path, (entry, _) in saved.merged().items()
        if entry.kind in (Kind.FILE, Kind.HARDLINK) and entry.mode & SET_ID
    }
    assert programs == PRIVILEGED


def test_files_belong_to_root(saved: SavedImage) -> None:
    """Whoever owns a file, or is of its group, can change it: the user the volumes, apt's user its empty folders."""
    owned = {entry.path: entry.uid for _, entry in entries(saved) if entry.uid}
    assert {path: uid for path, uid in owned.items() if path not in OF_REDIS} == OWNED
    by_group = {entry.path for _, entry in entries(saved) if entry.gid and entry.mode & GROUP_WRITABLE}
    assert {path for path in by_group if path not in OF_REDIS} <= OF_A_GROUP


@pytest.mark.requirement("U10", "T12")
@pytest.mark.parametrize("user", ["", "12345:0"], ids=["default", "any"])
def test_user_can_write_nowhere_else(writable: Container, user: str) -> None:
    """A process of the container can change neither programs nor libraries."""
    output = execute(writable, "sh", "-c", "find / -xdev -writable ! -type l 2>/dev/null", user=user).output
    assert sorted(output.split()) == WRITABLE


@pytest.mark.requirement("U10")
@pytest.mark.parametrize("user", ["12345:0", "12345:12345"], ids=["group 0", "other"])
def test_user_can_read_and_start_everything(writable: Container, user: str) -> None:
    """Any UID: a library that root alone, or its group, reads is missing for everybody else."""
    found = [execute(writable, "sh", "-c", script, user=user).output for script in (UNREADABLE, UNSTARTABLE)]
    unreadable, unstartable = (set(output.splitlines()) for output in found)
    assert ("/etc/shadow" in unreadable, SURELY_READ in unstartable) == (True, True)
    unstartable = {path for path in unstartable if not READ_BY_A_SHELL.fullmatch(path)}
    private = PRIVATE if user.endswith(":0") else PRIVATE | OF_GROUP_0
    assert (unreadable - private, unstartable) == (set(), set())


@pytest.fixture(scope="module")
def folders(idle: Container) -> dict[str, str]:
    """Owner, group and mode of the folders that any user may write to."""
    stat = ["stat", "--format=%n %u:%g %a", *FOLDERS]
    return dict(line.split(" ", 1) for line in inside(idle, *stat).splitlines())


@pytest.mark.requirement("U10")
@pytest.mark.parametrize("folder", FOLDERS)
def test_folder_is_the_groups(folders: dict[str, str], folder: str) -> None:
    """Any UID with GID 0 can use it, and nobody else can read it."""
    assert folders[folder] == "1000:0 770"
