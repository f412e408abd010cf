"""What the host is configured to use for downloads, read from files of a made-up host."""

import tomllib
from pathlib import Path

import pytest

from slipway.errors import SlipwayError
from slipway.host import downloads

MIRROR = "https://mirror.example/debian"
PUBLIC = "http://any.debian.org/debian"


def put(root: Path, name: str, text: str) -> Path:
    """Write a file of the made-up host."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def found(root: Path, **environ: str) -> downloads.Host:
    """Read the made-up host's settings."""
    return downloads.find("trixie", {"HOME": str(root / "home"), **environ}, root)


def test_nothing_configured_passes_nothing(tmp_path: Path) -> None:
    """A host without settings adds no option and no variable to a build."""
    assert found(tmp_path) == downloads.Host()
    assert found(tmp_path).build_arguments() == []
    assert found(tmp_path).environment() == {}


@pytest.mark.parametrize("variable", downloads.CA_VARIABLES)
def test_ca_bundle_named_by_a_variable_comes_before_the_systems(tmp_path: Path, variable: str) -> None:
    """Each variable that tools read names the bundle."""
    put(tmp_path, "etc/ssl/certs/ca-certificates.crt", "system")
    own = put(tmp_path, "own.pem", "own")
    assert found(tmp_path, **{variable: str(own)}).ca_bundle == own


@pytest.mark.parametrize("name", downloads.SYSTEM_CA_BUNDLES)
def test_ca_bundle_of_the_system(tmp_path: Path, name: str) -> None:
    """Without a variable, or with one that names no file, the system's bundle is used."""
    bundle = put(tmp_path, name, "system")
    settings = found(tmp_path, SSL_CERT_FILE="/no/such/file")
    assert settings.build_arguments() == [f"--secret=id=ca,src={bundle}"]


def test_ca_bundle_that_only_pip_knows(tmp_path: Path) -> None:
    """A private CA may be written in pip.conf alone."""
    own = put(tmp_path, "own.pem", "own")
    put(tmp_path, "etc/pip.conf", f"[global]\ncert = {own}\n")
    assert found(tmp_path).ca_bundle == own


def test_ca_bundle_too_large_for_a_secret(tmp_path: Path) -> None:
    """BuildKit refuses it in words that do not name the file."""
    own = put(tmp_path, "own.pem", "x" * (downloads.MAX_SECRET + 1))
    with pytest.raises(SlipwayError, match=r"own\.pem has 512001 bytes"):
        found(tmp_path, SSL_CERT_FILE=str(own))


def test_proxies_are_named_and_their_values_are_not(tmp_path: Path) -> None:
    """A proxy's password must not stand in a process's arguments."""
    settings = found(tmp_path, https_proxy="http://u:secret@proxy:3128", NO_PROXY="x", HTTP_PROXY="")
    assert settings.build_arguments() == ["--build-arg=https_proxy", "--build-arg=NO_PROXY"]


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


def test_https_mirror_gets_the_ca_bundle(tmp_path: Path) -> None:
    """The base image has no certificates of its own."""
    put(tmp_path, "etc/ssl/certs/ca-certificates.crt", "system")
    put(tmp_path, "etc/apt/sources.list", f"deb {MIRROR} bookworm main\n")
    assert found(tmp_path).apt_conf == 'Acquire::https::CAInfo "/run/secrets/ca";\n'


def test_pip_configuration_is_merged_in_pips_order(tmp_path: Path) -> None:
    """The user's file overrules the system's, and a variable overrules both."""
    put(tmp_path, "etc/pip.conf", "[global]\nindex-url = https://a.example/s\ntimeout = 9\n")
    put(
        tmp_path,
        "home/.config/pip/pip.conf",
        "[global]\nindex-url = https://b.example/s\n[install]\ntrusted-host =\n  h1\n  h2\n",
    )
    assert found(tmp_path).pip_conf == ("[global]\nindex-url = https://b.example/s\ntrusted-host = h1 h2\n")
    overruled = found(tmp_path, PIP_INDEX_URL="https://c.example/s").pip_conf
    assert "index-url = https://c.example/s\n" in overruled


def test_pip_configuration_that_is_switched_off(tmp_path: Path) -> None:
    """Like pip itself, it reads no file then."""
    put(tmp_path, "etc/pip.conf", "[global]\nindex-url = https://a.example/s\n")
    assert found(tmp_path, PIP_CONFIG_FILE="/dev/null").pip_conf == ""


def test_uv_uses_pips_index_where_it_has_none(tmp_path: Path) -> None:
    """Builds install with uv; a host that only configured pip must work as well."""
    put(
        tmp_path,
        "etc/pip.conf",
        "[global]\nindex-url = https://a.example/s\nextra-index-url = https://x.example/s\ntrusted-host = a.example\n",
    )
    assert tomllib.loads(found(tmp_path).uv_toml) == {
        "allow-insecure-host": ["a.example"],
        "index": [
            {"url": "https://x.example/s"},
            {"url": "https://a.example/s", "default": True},
        ],
    }


def test_uv_configuration_of_variables_user_and_system(tmp_path: Path) -> None:
    """The first default counts, as for uv itself; folders of the host are left out."""
    put(tmp_path, "etc/uv/uv.toml", 'index-url = "https://system.example/s"\n')
    put(
        tmp_path,
        "home/.config/uv/uv.toml",
        'cache-dir = "/x"\n[[index]]\nname = "team"\nurl = "https://team.example/s"\n'
        '[[index]]\nurl = "https://user.example/s"\ndefault = true\n'
        '[[index]]\nurl = "file:///srv/simple"\n',
    )
    settings = found(tmp_path, UV_INDEX="extra=https://extra.example/s")
    assert tomllib.loads(settings.uv_toml)["index"] == [
        {"name": "extra", "url": "https://extra.example/s"},
        {"name": "team", "url": "https://team.example/s"},
        {"url": "https://user.example/s", "default": True},
    ]
    overruled = found(tmp_path, UV_DEFAULT_INDEX="https://default.example/s").uv_toml
    assert "user.example" not in overruled
    assert "default.example" in overruled


def test_npmrc_of_user_and_system(tmp_path: Path) -> None:
    """What is about registries, the user's over the system's, with variables filled in as npm does; nothing else."""
    put(tmp_path, "etc/npmrc", "registry=https://system.example/npm\nstrict-ssl = false\nfund=false\n; registry=x\n")
    put(tmp_path, "home/.npmrc", "registry = https://user.example/npm/\n//user.example/npm/:_authToken=${TOKEN}\n")
    settings = found(tmp_path, TOKEN="secret")  # noqa: S106
    assert settings.npmrc.splitlines() == [
        "registry=https://user.example/npm/",
        "strict-ssl=false",
        "//user.example/npm/:_authToken=secret",
    ]
    assert settings.build_arguments() == ["--secret=id=npm,env=SLIPWAY_NPM"]


def test_npm_registry_of_a_variable_or_another_file(tmp_path: Path) -> None:
    """A variable comes before every file; a scope has a registry of its own."""
    own = put(tmp_path, "own", "registry=https://own.example/\n@team:registry=https://team.example/\n")
    settings = found(tmp_path, NPM_CONFIG_USERCONFIG=str(own), npm_config_registry="https://variable.example/")
    assert settings.npmrc.splitlines() == [
        "registry=https://variable.example/",
        "@team:registry=https://team.example/",
    ]


def test_passwords_travel_in_the_environment_alone(tmp_path: Path) -> None:
    """No secret stands in the arguments of a process, and none is written to disk."""
    settings = found(tmp_path, UV_INDEX_URL="https://user:secret@a.example/s")
    assert settings.build_arguments() == ["--secret=id=uv,env=SLIPWAY_UV"]
    assert "secret@" in settings.environment()["SLIPWAY_UV"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("etc/uv/uv.toml", "index-url ="), ("etc/pip.conf", "index-url = x\n")],
)
def test_malformed_configuration_is_named(tmp_path: Path, name: str, text: str) -> None:
    """The message names the file; no traceback."""
    path = put(tmp_path, name, text)
    with pytest.raises(SlipwayError, match=f"{path} cannot be read"):
        found(tmp_path)
