"""The Debian mirrors and apt settings that builds get, read from the files of many kinds of hosts."""

from pathlib import Path
from shutil import which

import pytest

from slipway.host import apt
from tests.helpers import hosts
from tests.helpers.hosts import MIRROR, PUBLIC, find, put, put_all
from tests.helpers.reasons import NO_APT

NEXUS = "https://nexus.example/repository/apt-proxy"
LOGIN = "https://user:p%40ss@nexus.example/repository/apt-proxy"
LIST, SOURCES = "etc/apt/sources.list", "etc/apt/sources.list.d/own.sources"
SIGNED = "".join(f"deb [signed-by=/etc/apt/keyrings/own.gpg] {MIRROR} bookworm{end} main\n" for end in ("", "-updates"))
STANZA = f"Types: deb\nURIs: {MIRROR}\nSuites: trixie trixie-updates\nComponents: main\n"
# Other archives use Debian's suite names, and Debian's own mirrors need no configuration.
OTHER_LINES = (
    f"deb {PUBLIC} bookworm main",
    f"deb {MIRROR} bookworm main\ndeb {PUBLIC} bookworm main",
    "deb https://download.docker.example/linux/debian bookworm stable",
    "deb https://apt.tools.example bookworm main",
    "deb http://archive.ubuntu.example/ubuntu jammy main",
    "deb file:/srv/debian bookworm main",
)
# Of a cache such as apt-cacher-ng: in a build's container the address is the container's.
CACHES = [f"http://{name}:3142/debian" for name in ("localhost", "127.0.0.1", "[::1]", "apt.localhost")]


@pytest.mark.parametrize(
    "files",
    [
        *hosts.WITHOUT_MIRROR.values(),
        *({LIST: f"{lines}\n"} for lines in OTHER_LINES),
        *({LIST: f"deb {cache} bookworm main\ndeb {cache} bookworm-updates main\n"} for cache in CACHES),
        *({SOURCES: f"{STANZA}Enabled: {word}\n"} for word in ("no", "No", "FALSE", "off")),
    ],
)
def test_hosts_without_a_debian_mirror_leave_debians_default(tmp_path: Path, files: dict[str, str]) -> None:
    """Another distribution's archive is never given to a build of Debian."""
    put_all(tmp_path, files)
    assert find(tmp_path).sources == ""


@pytest.mark.parametrize("files", [hosts.UBUNTU_24_04, hosts.MINT, hosts.RASPBIAN, hosts.RASPBERRY_PI_OS_13])
def test_mirror_with_a_login_beside_other_archives(tmp_path: Path, files: dict[str, str]) -> None:
    """A repository manager's address has any name; the suite's updates at it say that it is Debian."""
    mirror = f"deb {LOGIN} bookworm main\ndeb {LOGIN} bookworm-updates main\ndeb {LOGIN}-sec bookworm-security main\n"
    put_all(tmp_path, files | {"etc/apt/sources.list.d/zz-mirror.list": mirror})
    assert find(tmp_path).sources == (
        f"Types: deb\nURIs: {NEXUS}\nSuites: trixie trixie-updates\nComponents: main\nSigned-By: {apt.KEYRING}\n\n"
        f"Types: deb\nURIs: {NEXUS}-sec\nSuites: trixie-security\nComponents: main\nSigned-By: {apt.KEYRING}\n"
    )
    assert find(tmp_path).apt_auth == (
        f"machine {NEXUS} login user password p@ss\nmachine {NEXUS}-sec login user password p@ss\n"
    )


def test_logins_of_the_hosts_own_files_come_along_as_they_are(tmp_path: Path) -> None:
    """With a mirror alone: without one, nobody in a build asks for them."""
    put(tmp_path, "etc/apt/auth.conf", "machine mirror.example login a password b")
    put(tmp_path, "etc/apt/auth.conf.d/10other.conf", "machine http://x.example/debian\n  login c\n  password d\n")
    put(tmp_path, "etc/apt/auth.conf.d/old.conf.bak", "machine y.example login e password f\n")
    assert find(tmp_path).apt_auth == ""
    put(tmp_path, LIST, f"deb {MIRROR} bookworm main\n")
    assert find(tmp_path).apt_auth == (
        "machine mirror.example login a password b\nmachine http://x.example/debian\n  login c\n  password d\n"
    )
    assert "--secret=id=auth,env=SLIPWAY_AUTH" in find(tmp_path).build_arguments()


ARMORED = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDME\n-----END PGP PUBLIC KEY BLOCK-----\n"
FIELD = "Signed-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDME\n -----END PGP PUBLIC KEY BLOCK-----\n"


@pytest.mark.parametrize(
    ("name", "text", "key"),
    [
        (LIST, SIGNED, ARMORED.encode()),
        (LIST, SIGNED, b"\x98\x33\x04"),
        (SOURCES, f"{STANZA}{FIELD}", b"of nobody"),  # the format deb822 may hold the key itself
    ],
    ids=["text", "binary", "within the source"],
)
def test_key_of_a_mirror_that_signs_by_itself_comes_along(tmp_path: Path, name: str, text: str, key: bytes) -> None:
    """The file is the host's, so its content is in the source."""
    put(tmp_path, "etc/apt/keyrings/own.gpg", "").write_bytes(key)
    put(tmp_path, name, text)
    assert find(tmp_path).sources.count(FIELD) == 2


def test_mirror_list_of_a_cloud_image(tmp_path: Path) -> None:
    """The file with the addresses is the host's, so a build gets the first of them."""
    put_all(tmp_path, hosts.cloud(MIRROR))
    put(tmp_path, "etc/apt/mirrors/debian.list", f"# ours first\n{MIRROR}\tpriority:1\n{PUBLIC}\tpriority:2\n")
    addresses = [line for line in find(tmp_path).sources.splitlines() if line.startswith("URIs")]
    assert addresses == [f"URIs: {MIRROR}", f"URIs: {MIRROR}-security"]


@pytest.mark.parametrize(
    "line",
    [
        f"deb {MIRROR} stable main",
        f"deb {MIRROR} oldstable main\ndeb {MIRROR} oldstable-updates main",
        f"deb {MIRROR} sid main",
    ],
)
def test_suites_by_their_other_names_on_debian_alone(tmp_path: Path, line: str) -> None:
    """Other distributions have a `stable` of their own."""
    put(tmp_path, LIST, line + "\n")
    put(tmp_path, "etc/os-release", "ID=debian\n")
    assert f"URIs: {MIRROR}\n" in find(tmp_path).sources
    put(tmp_path, "etc/os-release", "ID=devuan\n")
    assert find(tmp_path).sources == ""


KEPT = "Check-Valid-Until: no\nLanguages: de\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (LIST, f"deb [ arch=amd64 signed-by={apt.KEYRING} check-valid-until=no Trusted=yes ] {MIRROR} bookworm main\n"),
        (
            SOURCES,
            f"Types: deb\nURIs: {MIRROR}\nSuites: sid\nComponents: main\nArchitectures: amd64\nTrusted: yes\n{KEPT}",
        ),
    ],
)
def test_options_of_a_mirror_come_along(tmp_path: Path, name: str, text: str) -> None:
    """Without them apt would refuse the mirror; those about this host stay here."""
    put(tmp_path, name, text)
    sources = find(tmp_path).sources
    assert sources.count("Check-Valid-Until: no\n") == sources.count("Trusted: yes\n") == 2
    assert "rchitectures" not in sources
    assert "anguages" not in sources


# --- what is a mirror of Debian -------------------------------------------------------------------

ONE_LINE = f"""\
# deb http://old.example/debian bookworm main
deb-src {MIRROR} bookworm main
deb [arch=amd64 signed-by=/x.gpg] {MIRROR}/ bookworm main contrib
deb https://security.example/deb-sec bookworm-security main
deb https://other.example/packages bookworm main
"""
DEB822 = f"""\
Types: deb deb-src
URIs: {MIRROR}
# a comment
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: https://security.example/deb-sec
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: https://disabled.example/debian
Suites: bookworm
Components: main
"""


@pytest.mark.parametrize(
    ("name", "text"), [(LIST, ONE_LINE), ("etc/apt/sources.list.d/debian.list", ONE_LINE), (SOURCES, DEB822)]
)
def test_debian_mirror_becomes_sources_of_the_images_suite(tmp_path: Path, name: str, text: str) -> None:
    """The host's release differs from the images'; the mirror is the same."""
    put(tmp_path, name, text)
    settings = find(tmp_path)
    assert f"URIs: {MIRROR}\nSuites: trixie trixie-updates\n" in settings.sources
    assert "URIs: https://security.example/deb-sec\nSuites: trixie-security\n" in settings.sources
    assert "bookworm" not in settings.sources
    assert settings.environment()["SLIPWAY_SOURCES"] == settings.sources
    assert "--secret=id=sources,env=SLIPWAY_SOURCES" in settings.build_arguments()


REMOTE, NOT_DEBIAN = "http://repo.example/remote-deb", "http://notdebian.org/debian"
SECURITY = f"deb {MIRROR}-sec bookworm-security main\n"
OTHER_SECURITY = f"deb {PUBLIC}-security bookworm-security main\n"


@pytest.mark.parametrize(
    ("lines", "addresses"),
    [
        (f"deb {MIRROR} bookworm main\n", [MIRROR, f"{MIRROR}-security"]),
        (f"deb {MIRROR} bookworm main\n{OTHER_SECURITY}", [MIRROR, f"{PUBLIC}-security"]),
        (f"deb {PUBLIC} bookworm main\n{SECURITY}", [PUBLIC, f"{MIRROR}-sec"]),
        (SECURITY, []),
        # Known by its updates, as a repository manager's remote is seldom called debian.
        (f"deb {REMOTE} bookworm main\ndeb {REMOTE} bookworm-updates main\n", [REMOTE, f"{REMOTE}-security"]),
        # Debian's domain is public, and none that merely ends in its letters.
        (f"deb {NOT_DEBIAN} bookworm main\n", [NOT_DEBIAN, f"{NOT_DEBIAN}-security"]),
    ],
)
def test_host_with_a_mirror_of_one_part_alone(tmp_path: Path, lines: str, addresses: list[str]) -> None:
    """The other part comes from where the host itself takes it, else from beside the main one."""
    put(tmp_path, LIST, lines)
    sources = find(tmp_path).sources.splitlines()
    assert [line for line in sources if line.startswith("URIs:")] == [f"URIs: {address}" for address in addresses]


@pytest.mark.skipif(not which("apt-config"), reason=NO_APT)
def test_apt_settings_about_http_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies reach a build; the host's files, a proxy that only it reaches and other settings do not."""
    folders = put(tmp_path, "apt.conf", f'Dir::Etc "{tmp_path}/etc/apt";\n')
    monkeypatch.setenv("APT_CONFIG", str(folders))
    put(
        tmp_path,
        "etc/apt/apt.conf.d/95host",
        'Acquire { http { Proxy "http://proxy.example:3142"; Proxy::mirror.example "DIRECT"; };\n'
        'http { Proxy-Auto-Detect "/usr/bin/x"; };\n'
        'https { CAInfo "/host/ca.pem"; Verify-Peer "true"; }; };\n'
        'Acquire::https::Proxy "http://localhost:3142";\n'
        'Acquire::ForceIPv4 "true"; Acquire::Languages "none"; APT::Install-Recommends "0";\n',
    )
    assert find(tmp_path).apt_conf.splitlines() == [
        'Acquire::http::Proxy "http://proxy.example:3142";',
        'Acquire::http::Proxy::mirror.example "DIRECT";',
        'Acquire::https::Verify-Peer "true";',
        'Acquire::ForceIPv4 "true";',
    ]


def test_https_mirror_gets_the_ca_bundle(tmp_path: Path) -> None:
    """The base image has no certificates of its own."""
    put(tmp_path, "etc/ssl/certs/ca-certificates.crt", "-----BEGIN CERTIFICATE-----")
    put(tmp_path, LIST, f"deb {MIRROR} bookworm main\n")
    assert find(tmp_path).apt_conf == 'Acquire::https::CAInfo "/run/secrets/ca";\n'
