"""What the host is configured to use for downloads, read from files of a made-up host."""

import tomllib
from pathlib import Path

import pytest

from slipway.errors import SlipwayError
from slipway.host import downloads


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
    """A proxy's password is never an argument of a process."""
    settings = found(tmp_path, https_proxy="http://u:secret@proxy:3128", NO_PROXY="x", HTTP_PROXY="")
    assert settings.build_arguments() == ["--build-arg=https_proxy", "--build-arg=NO_PROXY"]


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
    """No secret is an argument of a process, and none is written to disk."""
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
