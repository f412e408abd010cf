"""What the host is configured to use for downloads, read from files of a made-up host."""

import tomllib
from pathlib import Path

import pytest

from slipway.errors import SlipwayError
from slipway.host import downloads
from tests.helpers.hosts import find, put

PEM = "-----BEGIN CERTIFICATE-----\n"


def test_nothing_configured_passes_nothing(tmp_path: Path) -> None:
    """A host without settings adds no option and no variable to a build."""
    assert find(tmp_path) == downloads.Host()
    assert find(tmp_path).build_arguments() == []
    assert find(tmp_path).environment() == {}


@pytest.mark.parametrize("variable", downloads.CA_VARIABLES)
def test_ca_bundle_named_by_a_variable_comes_before_the_systems(tmp_path: Path, variable: str) -> None:
    put(tmp_path, "etc/ssl/certs/ca-certificates.crt", PEM)
    own = put(tmp_path, "own.pem", PEM)
    assert find(tmp_path, **{variable: str(own)}).ca_bundle == own


@pytest.mark.parametrize("name", downloads.SYSTEM_CA_BUNDLES)
def test_ca_bundle_of_the_system(tmp_path: Path, name: str) -> None:
    """Without a variable, or with one that names no file, the system's bundle is used."""
    bundle = put(tmp_path, name, PEM)
    settings = find(tmp_path, SSL_CERT_FILE="/no/such/file")
    assert settings.build_arguments() == [f"--secret=id=ca,src={bundle}"]


def test_ca_bundle_that_only_pip_knows(tmp_path: Path) -> None:
    """A private CA may be written in pip.conf alone."""
    own = put(tmp_path, "own.pem", PEM)
    put(tmp_path, "etc/pip.conf", f"[global]\ncert = {own}\n")
    assert find(tmp_path).ca_bundle == own


def test_ca_bundle_too_large_for_a_secret(tmp_path: Path) -> None:
    """BuildKit refuses it in words that do not name the file."""
    own = put(tmp_path, "own.pem", "x" * (downloads.MAX_SECRET + 1))
    with pytest.raises(SlipwayError, match=r"own\.pem has 512001 bytes"):
        find(tmp_path, SSL_CERT_FILE=str(own))


def test_ca_bundle_in_another_format(tmp_path: Path) -> None:
    """As Windows saves a certificate; apt and uv would only say that the server's is not known."""
    own = tmp_path / "own.cer"
    own.write_bytes(b"\x30\x82\x03\x2f\x30")
    with pytest.raises(SlipwayError, match=rf"{own} has no certificate .* openssl x509 -inform der -in {own}"):
        find(tmp_path, SSL_CERT_FILE=str(own))


def test_ca_bundle_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root's own, named by a variable that `sudo -E` or su has kept."""
    own = put(tmp_path, "own.pem", PEM)

    def read_bytes(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with pytest.raises(SlipwayError, match=r"own\.pem cannot be read: Permission denied"):
        find(tmp_path, REQUESTS_CA_BUNDLE=str(own))


def test_proxies_are_named_and_their_values_are_not(tmp_path: Path) -> None:
    """A proxy's password is never an argument of a process."""
    settings = find(tmp_path, https_proxy="http://u:secret@proxy:3128", NO_PROXY="x", HTTP_PROXY="")
    names = ["HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"]
    assert settings.build_arguments() == [f"--build-arg={name}" for name in names]
    assert settings.environment()["https_proxy"] == "http://u:secret@proxy:3128"


def test_proxies_in_the_form_that_apt_knows(tmp_path: Path) -> None:
    """Lower case and with a scheme; curl, pip and Go take what a host has. Two spellings may differ."""
    settings = find(
        tmp_path, HTTP_PROXY="proxy:3128", NO_PROXY=".example", HTTPS_PROXY="http://a", https_proxy="http://b"
    )
    assert settings.proxies == {
        "HTTP_PROXY": "http://proxy:3128",
        "http_proxy": "http://proxy:3128",
        "HTTPS_PROXY": "http://a",
        "https_proxy": "http://b",
        "NO_PROXY": ".example",
        "no_proxy": ".example",
    }


def test_pip_configuration_is_merged_in_pips_order(tmp_path: Path) -> None:
    """The user's file overrules the system's, and a variable overrules both."""
    put(tmp_path, "etc/pip.conf", "[global]\nindex-url = https://a.example/s\ncache-dir = /x\n")
    put(
        tmp_path,
        "home/.config/pip/pip.conf",
        "[global]\nindex-url = https://b.example/s\n[install]\ntrusted-host =\n  h1\n  h2\n",
    )
    assert find(tmp_path).pip_conf == ("[global]\nindex-url = https://b.example/s\ntrusted-host = h1 h2\n")
    overruled = find(tmp_path, PIP_INDEX_URL="https://c.example/s").pip_conf
    assert "index-url = https://c.example/s\n" in overruled


def test_pip_configuration_that_is_switched_off(tmp_path: Path) -> None:
    """Like pip itself, it reads no file then."""
    put(tmp_path, "etc/pip.conf", "[global]\nindex-url = https://a.example/s\n")
    assert find(tmp_path, PIP_CONFIG_FILE="/dev/null").pip_conf == ""


def test_uv_uses_pips_index_where_it_has_none(tmp_path: Path) -> None:
    """Builds install with uv; a host that only configured pip must work as well."""
    put(
        tmp_path,
        "etc/pip.conf",
        "[global]\nindex-url = https://a.example/s\nextra-index-url = https://x.example/s\ntrusted-host = a.example\n",
    )
    assert tomllib.loads(find(tmp_path).uv_toml) == {
        "allow-insecure-host": ["a.example"],
        "index-strategy": "unsafe-best-match",
        "index": [{"url": "https://x.example/s"}, {"url": "https://a.example/s", "default": True}],
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
    settings = find(tmp_path, UV_INDEX="extra=https://extra.example/s")
    assert tomllib.loads(settings.uv_toml)["index"] == [
        {"name": "extra", "url": "https://extra.example/s"},
        {"name": "team", "url": "https://team.example/s"},
        {"url": "https://user.example/s", "default": True},
    ]
    overruled = find(tmp_path, UV_DEFAULT_INDEX="https://default.example/s").uv_toml
    assert "user.example" not in overruled
    assert "default.example" in overruled


def test_uv_index_with_values_of_every_type(tmp_path: Path) -> None:
    """uv is stricter than this repository: what it takes reaches the build as it is."""
    text = '[[index]]\nurl = "https://a.example/s"\nexclude-newer = 2026-01-02T03:04:05Z\nignore-error-codes = [403]\n'
    put(tmp_path, "etc/uv/uv.toml", text)
    assert tomllib.loads(find(tmp_path).uv_toml)["index"] == tomllib.loads(text)["index"]


def test_pip_options_in_every_spelling_and_section(tmp_path: Path) -> None:
    """pip's own rules: [install] of any file before [global], underscores and dashes alike, a % and a $ as they are."""
    put(tmp_path, "etc/pip.conf", "[install]\nindex_url = https://u:p%40$X@install.example/s\n")
    put(
        tmp_path,
        "home/.pip/pip.conf",
        "[global]\n--index-url = https://global.example/s\nproxy = proxy.example:3128\n[list]\nindex-url = x\n",
    )
    assert find(tmp_path).pip_conf == (
        "[global]\nindex-url = https://u:p%40$X@install.example/s\nproxy = proxy.example:3128\n"
    )
    uv = tomllib.loads(find(tmp_path).uv_toml)
    assert uv["index"] == [{"url": "https://u:p%40$X@install.example/s", "default": True}]
    assert uv["https-proxy"] == "http://proxy.example:3128"


def test_pip_file_of_a_variable_and_of_an_environment(tmp_path: Path) -> None:
    """Each overrules those before it, and a variable overrules all."""
    put(
        tmp_path,
        "venv/pip.conf",
        "[global]\nindex-url = https://venv.example/s\nextra-index-url = https://x.example/s\n",
    )
    put(tmp_path, "home/.config/pip/pip.conf", "[global]\nindex-url = https://user.example/s\n")
    chosen = put(tmp_path, "chosen", "[global]\nindex-url = https://chosen.example/s\n")
    environment = {"VIRTUAL_ENV": str(tmp_path / "venv")}
    assert "index-url = https://venv.example/s\n" in find(tmp_path, **environment).pip_conf
    environment["PIP_CONFIG_FILE"] = str(chosen)
    assert "index-url = https://chosen.example/s\n" in find(tmp_path, **environment).pip_conf
    environment["PIP_EXTRA_INDEX_URL"] = "https://a.example/s https://b.example/s"
    assert "extra-index-url = https://a.example/s https://b.example/s\n" in find(tmp_path, **environment).pip_conf


def test_folders_of_this_host_stay_here(tmp_path: Path) -> None:
    """Builds do not see them; an index that is switched off for them is on."""
    put(tmp_path, "etc/pip.conf", "[global]\nno-index = true\nfind-links = /opt/wheels\n")
    assert find(tmp_path) == downloads.Host()
    put(tmp_path, "etc/pip.conf", "[global]\nno-index = true\nfind-links = /opt/wheels https://x.example/links\n")
    settings = find(tmp_path)
    assert settings.pip_conf == "[global]\nfind-links = https://x.example/links\nno-index = true\n"
    assert tomllib.loads(settings.uv_toml) == {"find-links": ["https://x.example/links"], "no-index": True}


def test_addresses_of_this_host_alone_stay_here(tmp_path: Path) -> None:
    """Caches such as devpi and Verdaccio: in a build's container the address is the container's."""
    put(tmp_path, "home/.npmrc", "registry=http://localhost:4873/\n@team:registry=http://[::1]/\n")
    put(tmp_path, "etc/uv/uv.toml", '[[index]]\nurl = "http://127.0.0.1:3141/simple"\n')
    assert find(tmp_path, PIP_INDEX_URL="http://localhost:3141/s", PIP_PROXY="") == downloads.Host()


def test_patience_with_a_slow_network_comes_along(tmp_path: Path) -> None:
    """Without it a build fails where pip and npm on the host work."""
    put(tmp_path, "etc/pip.conf", "[global]\ntimeout = 600\nretries = 10\n")
    put(tmp_path, "home/.npmrc", "fetch-timeout=600000\nfetch-retries = 9\n")
    settings = find(tmp_path, PIP_DEFAULT_TIMEOUT="700")
    assert settings.pip_conf == "[global]\ntimeout = 600\ndefault-timeout = 700\nretries = 10\n"
    assert settings.npmrc == "fetch-timeout=600000\nfetch-retries=9\n"


UV = """
native-tls = true
cache-dir = "/x"
required-version = "==0.1"
index-strategy = "unsafe-first-match"
find-links = ["/srv/wheels", "https://links.example/"]
[[index]]
name = "team-a.b"
url = "https://old@team.example/s"
explicit = true
authenticate = "always"
ignore-error-codes = [403]
cache-control = { api = "max-age=600", files = "no-cache" }
[[index]]
url = "https://ü.example/s"
default = true
[pip]
extra-index-url = ["https://pip.example/s"]
"""


def test_uv_settings_with_tables_and_the_login_of_variables(tmp_path: Path) -> None:
    """What is about an index comes along whole; what is about this host or another version of uv does not."""
    put(tmp_path, "home/.config/uv/uv.toml", UV)
    login = {"UV_INDEX_TEAM_A_B_USERNAME": "u@x", "UV_INDEX_TEAM_A_B_PASSWORD": "p:/"}
    expected = tomllib.loads(UV)
    expected["index"][0]["url"] = "https://u%40x:p%3A%2F@team.example/s"
    expected["index"].append({"url": "https://pip.example/s"})
    assert tomllib.loads(find(tmp_path, **login).uv_toml) == {
        "find-links": ["https://links.example/"],
        "index-strategy": "unsafe-first-match",
        "index": expected["index"],
    }


def test_uv_file_of_a_variable_is_the_only_one(tmp_path: Path) -> None:
    """As uv has it: the others are not read."""
    put(tmp_path, "home/.config/uv/uv.toml", 'index-url = "https://user.example/s"\n')
    chosen = put(tmp_path, "chosen", 'index-url = "https://chosen.example/s"\n')
    settings = find(tmp_path, UV_CONFIG_FILE=str(chosen))
    assert tomllib.loads(settings.uv_toml)["index"] == [{"url": "https://chosen.example/s", "default": True}]
    assert find(tmp_path, UV_NO_CONFIG="1").uv_toml == ""


NETRC = "machine a.example login u password p\nmachine b.example\n\tlogin v\n\tpassword q\ndefault login w password r\n"


def test_netrc_comes_along_whole_beside_an_index(tmp_path: Path) -> None:
    """pip and uv read it in the build as here; without an index of this host's own it is nobody's business there."""
    put(tmp_path, "home/.netrc", NETRC).chmod(0o600)
    assert find(tmp_path).netrc == ""
    settings = find(tmp_path, PIP_INDEX_URL="https://a.example/s")
    assert settings.netrc == NETRC
    assert "--secret=id=netrc,env=SLIPWAY_NETRC" in settings.build_arguments()
    other = put(tmp_path, "other", "default login x password y\n")
    assert find(tmp_path, PIP_INDEX_URL="https://a.example/s", NETRC=str(other)).netrc == other.read_text()


def test_npmrc_of_user_and_system(tmp_path: Path) -> None:
    """What is about registries, the user's over the system's, with variables filled in as npm does; nothing else."""
    put(tmp_path, "etc/npmrc", "registry=https://system.example/npm\nstrict-ssl = false\nfund=false\n; registry=x\n")
    put(tmp_path, "home/.npmrc", "registry = https://user.example/npm/\n//user.example/npm/:_authToken=${TOKEN}\n")
    settings = find(tmp_path, TOKEN="secret")  # noqa: S106
    assert settings.npmrc.splitlines() == [
        "registry=https://user.example/npm/",
        "strict-ssl=false",
        "//user.example/npm/:_authToken=secret",
    ]
    assert settings.build_arguments() == ["--secret=id=npm,env=SLIPWAY_NPM"]


def test_npm_registry_of_a_variable_or_another_file(tmp_path: Path) -> None:
    """A variable comes before every file; a scope has a registry of its own."""
    own = put(tmp_path, "own", "registry=https://own.example/\n@team:registry=https://team.example/\n")
    settings = find(tmp_path, NPM_CONFIG_USERCONFIG=str(own), npm_config_registry="https://variable.example/")
    assert settings.npmrc.splitlines() == ["registry=https://variable.example/", "@team:registry=https://team.example/"]


def test_npm_variables_in_a_file(tmp_path: Path) -> None:
    """In keys as in values; one with a question mark may be unset, and another one stays for npm to complain."""
    lines = "//${HOST}/:_authToken=${KEY}\n//b.example/:_authToken=${NONE?}\n//c.example/:_authToken=${NONE}\n"
    put(tmp_path, "home/.npmrc", lines)
    assert find(tmp_path, HOST="a.example", KEY="t").npmrc.splitlines() == [
        "//a.example/:_authToken=t",
        "//b.example/:_authToken=",
        "//c.example/:_authToken=${NONE}",
    ]


def test_passwords_travel_in_the_environment_alone(tmp_path: Path) -> None:
    """No secret is an argument of a process, and none is written to disk."""
    settings = find(tmp_path, UV_INDEX_URL="https://user:secret@a.example/s")
    assert settings.build_arguments() == ["--secret=id=uv,env=SLIPWAY_UV"]
    assert "secret@" in settings.environment()["SLIPWAY_UV"]


def test_settings_too_large_for_a_variable(tmp_path: Path) -> None:
    """The system would refuse to start docker, without a word about which setting it was."""
    put(tmp_path, "home/.netrc", "machine a.example login u password p\n" * 4000)
    with pytest.raises(SlipwayError, match="'netrc' have 148000 characters"):
        find(tmp_path, PIP_INDEX_URL="https://a.example/s").environment()


def test_npm_proxies_and_keys_of_a_registry(tmp_path: Path) -> None:
    """Files of this host that hold a key are not in the build."""
    lines = "https-proxy=http://proxy.example:3128\n//r.example/:certfile=/x.pem\n//r.example/:username=u\nprefix=/x\n"
    put(tmp_path, "home/.npmrc", lines)
    settings = find(tmp_path, npm_config_noproxy="r.example")
    assert settings.npmrc.splitlines() == [
        "https-proxy=http://proxy.example:3128",
        "//r.example/:username=u",
        "noproxy=r.example",
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("etc/uv/uv.toml", "index-url = https://u:secret@x.example/"),
        ("etc/uv/uv.toml", 'index = "https://u:secret@x.example/"\n'),
        ("etc/uv/uv.toml", 'pip = "https://u:secret@x.example/"\n'),
        ("etc/pip.conf", "index-url = https://u:secret@x.example/\n"),
    ],
)
def test_malformed_configuration_is_named_and_not_quoted(tmp_path: Path, name: str, text: str) -> None:
    """No traceback, and no password in the log."""
    path = put(tmp_path, name, text)
    with pytest.raises(SlipwayError, match=f"{path} cannot be read") as raised:
        find(tmp_path)
    assert "secret" not in str(raised.value)
