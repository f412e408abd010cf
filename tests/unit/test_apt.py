"""The Debian mirrors and apt settings that builds get, read from the files of many kinds of hosts."""

from pathlib import Path
from shutil import which

import pytest

from slipway.host import apt, downloads
from tests.helpers import hosts
from tests.helpers.hosts import MIRROR, PUBLIC, put
from tests.helpers.reasons import NO_APT

NEXUS = "https://nexus.example/repository/apt-proxy"
LOGIN = "https://user:p%40ss@nexus.example/repository/apt-proxy"
UPDATES = f"deb [signed-by=/etc/apt/keyrings/own.gpg] {MIRROR} bookworm-updates main\n"


def found(root: Path) -> downloads.Host:
    """Read the made-up host's settings."""
    return downloads.find("trixie", {"HOME": str(root / "home")}, root)


@pytest.mark.parametrize("files", hosts.WITHOUT_MIRROR.values(), ids=hosts.WITHOUT_MIRROR)
def test_hosts_without_a_debian_mirror_leave_debians_default(tmp_path: Path, files: dict[str, str]) -> None:
    """Another distribution's archive is never given to a build of Debian."""
    for name, text in files.items():
        put(tmp_path, name, text)
    assert found(tmp_path).sources == ""


@pytest.mark.parametrize("files", [hosts.UBUNTU_24_04, hosts.MINT, hosts.RASPBIAN, hosts.RASPBERRY_PI_OS_13])
def test_mirror_with_a_login_beside_other_archives(tmp_path: Path, files: dict[str, str]) -> None:
    """A repository manager's address has any name; the suite's updates at it say that it is Debian."""
    mirror = f"deb {LOGIN} bookworm main\ndeb {LOGIN} bookworm-updates main\ndeb {LOGIN}-sec bookworm-security main\n"
    for name, text in files.items():
        put(tmp_path, name, text)
    put(tmp_path, "etc/apt/sources.list.d/zz-mirror.list", mirror)
    assert found(tmp_path).sources == (
        f"Types: deb\nURIs: {NEXUS}\nSuites: trixie trixie-updates\nComponents: main\nSigned-By: {apt.KEYRING}\n\n"
        f"Types: deb\nURIs: {NEXUS}-sec\nSuites: trixie-security\nComponents: main\nSigned-By: {apt.KEYRING}\n"
    )
    assert found(tmp_path).apt_auth == (
        f"machine {NEXUS} login user password p@ss\nmachine {NEXUS}-sec login user password p@ss\n"
    )


def test_logins_of_the_hosts_own_files_come_along_as_they_are(tmp_path: Path) -> None:
    """With a mirror alone: without one, nobody in a build asks for them."""
    put(tmp_path, "etc/apt/auth.conf", "machine mirror.example login a password b")
    put(tmp_path, "etc/apt/auth.conf.d/10other.conf", "machine http://x.example/debian\n  login c\n  password d\n")
    put(tmp_path, "etc/apt/auth.conf.d/old.conf.bak", "machine y.example login e password f\n")
    assert found(tmp_path).apt_auth == ""
    put(tmp_path, "etc/apt/sources.list", f"deb {MIRROR} bookworm main\n")
    assert found(tmp_path).apt_auth == (
        "machine mirror.example login a password b\nmachine http://x.example/debian\n  login c\n  password d\n"
    )
    assert "--secret=id=auth,env=SLIPWAY_AUTH" in found(tmp_path).build_arguments()


ARMORED = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDME\n-----END PGP PUBLIC KEY BLOCK-----\n"
FIELD = "Signed-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDME\n -----END PGP PUBLIC KEY BLOCK-----\n"


@pytest.mark.parametrize("key", [ARMORED.encode(), b"\x98\x33\x04"], ids=["text", "binary"])
def test_key_of_a_mirror_that_signs_by_itself_comes_along(tmp_path: Path, key: bytes) -> None:
    """The file is the host's, so its content is in the source."""
    put(tmp_path, "etc/apt/keyrings/own.gpg", "").write_bytes(key)
    put(
        tmp_path, "etc/apt/sources.list", f"deb [signed-by=/etc/apt/keyrings/own.gpg] {MIRROR} bookworm main\n{UPDATES}"
    )
    assert found(tmp_path).sources.count(FIELD) == 2


def test_key_within_a_source_comes_along(tmp_path: Path) -> None:
    """The format deb822 may hold the key itself."""
    text = f"Types: deb\nURIs: {MIRROR}\nSuites: trixie trixie-updates\nComponents: main\n{FIELD}"
    put(tmp_path, "etc/apt/sources.list.d/own.sources", text)
    assert found(tmp_path).sources.count(FIELD) == 2


def test_mirror_list_of_a_cloud_image(tmp_path: Path) -> None:
    """The file with the addresses is the host's, so a build gets the first of them."""
    for name, text in hosts.cloud(MIRROR).items():
        put(tmp_path, name, text)
    put(tmp_path, "etc/apt/mirrors/debian.list", f"# ours first\n{MIRROR}\tpriority:1\n{PUBLIC}\tpriority:2\n")
    addresses = [line for line in found(tmp_path).sources.splitlines() if line.startswith("URIs")]
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
    put(tmp_path, "etc/apt/sources.list", line + "\n")
    put(tmp_path, "etc/os-release", "ID=debian\n")
    assert f"URIs: {MIRROR}\n" in found(tmp_path).sources
    put(tmp_path, "etc/os-release", "ID=devuan\n")
    assert found(tmp_path).sources == ""


KEPT = "Check-Valid-Until: no\nLanguages: de\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "etc/apt/sources.list",
            f"deb [ arch=amd64 signed-by={apt.KEYRING} check-valid-until=no Trusted=yes ] {MIRROR} bookworm main\n",
        ),
        (
            "etc/apt/sources.list.d/x.sources",
            f"Types: deb\nURIs: {MIRROR}\nSuites: sid\nComponents: main\nArchitectures: amd64\nTrusted: yes\n{KEPT}",
        ),
    ],
)
def test_options_of_a_mirror_come_along(tmp_path: Path, name: str, text: str) -> None:
    """Without them apt would refuse the mirror; those about this host stay here."""
    put(tmp_path, name, text)
    sources = found(tmp_path).sources
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
    ("name", "text"),
    [
        ("etc/apt/sources.list", ONE_LINE),
        ("etc/apt/sources.list.d/debian.list", ONE_LINE),
        ("etc/apt/sources.list.d/debian.sources", DEB822),
    ],
)
def test_debian_mirror_becomes_sources_of_the_images_suite(tmp_path: Path, name: str, text: str) -> None:
    """The host's release differs from the images'; the mirror is the same."""
    put(tmp_path, name, text)
    settings = found(tmp_path)
    assert f"URIs: {MIRROR}\nSuites: trixie trixie-updates\n" in settings.sources
    assert "URIs: https://security.example/deb-sec\nSuites: trixie-security\n" in settings.sources
    assert "bookworm" not in settings.sources
    assert settings.environment()["SLIPWAY_SOURCES"] == settings.sources
    assert "--secret=id=sources,env=SLIPWAY_SOURCES" in settings.build_arguments()


@pytest.mark.parametrize(
    "line",
    [
        f"deb {PUBLIC} bookworm main",
        f"deb {MIRROR} bookworm main\ndeb {PUBLIC} bookworm main",
        "deb https://download.docker.example/linux/debian bookworm stable",
        "deb https://apt.tools.example bookworm main",
        "deb http://archive.ubuntu.example/ubuntu jammy main",
        "deb file:/srv/debian bookworm main",
    ],
)
def test_public_mirrors_and_other_repositories_are_no_mirror(tmp_path: Path, line: str) -> None:
    """Others use Debian's suite names, and Debian's own mirrors need no configuration."""
    put(tmp_path, "etc/apt/sources.list", line + "\n")
    assert found(tmp_path).sources == ""


def test_mirror_under_another_name_is_known_by_its_updates(tmp_path: Path) -> None:
    """A repository manager's remote is seldom called debian."""
    uri = "http://repo.example/remote-deb"
    text = f"deb {uri} bookworm main\ndeb {uri} bookworm-updates main\n"
    put(tmp_path, "etc/apt/sources.list", text)
    assert f"URIs: {uri}\n" in found(tmp_path).sources


SECURITY = f"deb {MIRROR}-sec bookworm-security main\n"
OTHER_SECURITY = f"deb {PUBLIC}-security bookworm-security main\n"


@pytest.mark.parametrize(
    ("lines", "addresses"),
    [
        (f"deb {MIRROR} bookworm main\n", [MIRROR, f"{MIRROR}-security"]),
        (f"deb {MIRROR} bookworm main\n{OTHER_SECURITY}", [MIRROR, f"{PUBLIC}-security"]),
        (f"deb {PUBLIC} bookworm main\n{SECURITY}", [PUBLIC, f"{MIRROR}-sec"]),
        (SECURITY, []),
    ],
)
def test_host_with_a_mirror_of_one_part_alone(tmp_path: Path, lines: str, addresses: list[str]) -> None:
    """The other part comes from where the host itself takes it, else from beside the main one."""
    put(tmp_path, "etc/apt/sources.list", lines)
    sources = found(tmp_path).sources.splitlines()
    assert [line for line in sources if line.startswith("URIs:")] == [f"URIs: {address}" for address in addresses]


def test_address_that_only_ends_like_a_public_one(tmp_path: Path) -> None:
    """Debian's domain is meant, and none that merely ends in its letters."""
    put(tmp_path, "etc/apt/sources.list", "deb http://notdebian.org/debian bookworm main\n")
    assert "URIs: http://notdebian.org/debian\n" in found(tmp_path).sources


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "apt.localhost"])
def test_mirror_of_this_machine_alone_stays_here(tmp_path: Path, name: str) -> None:
    """A cache such as apt-cacher-ng: in a build's container the address is the container's."""
    line = f"deb http://{name}:3142/debian bookworm main\ndeb http://{name}:3142/debian bookworm-updates main\n"
    put(tmp_path, "etc/apt/sources.list", line)
    assert found(tmp_path).sources == ""


@pytest.mark.parametrize("word", ["no", "No", "FALSE", "off"])
def test_source_that_is_switched_off(tmp_path: Path, word: str) -> None:
    """In any spelling that apt takes."""
    text = f"Types: deb\nURIs: {MIRROR}\nSuites: trixie trixie-updates\nComponents: main\nEnabled: {word}\n"
    put(tmp_path, "etc/apt/sources.list.d/x.sources", text)
    assert found(tmp_path).sources == ""


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
    assert found(tmp_path).apt_conf.splitlines() == [
        'Acquire::http::Proxy "http://proxy.example:3142";',
        'Acquire::http::Proxy::mirror.example "DIRECT";',
        'Acquire::https::Verify-Peer "true";',
        'Acquire::ForceIPv4 "true";',
    ]


def test_https_mirror_gets_the_ca_bundle(tmp_path: Path) -> None:
    """The base image has no certificates of its own."""
    put(tmp_path, "etc/ssl/certs/ca-certificates.crt", "system")
    put(tmp_path, "etc/apt/sources.list", f"deb {MIRROR} bookworm main\n")
    assert found(tmp_path).apt_conf == 'Acquire::https::CAInfo "/run/secrets/ca";\n'
