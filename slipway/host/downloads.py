"""What this host is configured to use for downloads, as data for builds.

Proxies, a Debian mirror, package indexes and a CA bundle reach a build as build arguments and
BuildKit secrets, so that nothing of them stays in an image. Except for the CA bundle, which is a
file already, a secret travels in the environment of the docker process: nothing is written to
disk, and no secret is in a process's arguments.
"""

import configparser
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.errors import SlipwayError
from slipway.host import apt
from slipway.host.system_files import read

CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
SYSTEM_CA_BUNDLES = ("etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt")
MAX_SECRET = 500 * 1024  # BuildKit's limit for one secret

# The build arguments that BuildKit knows by itself and keeps out of an image's history.
PROXY_VARIABLES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")

# pip's own names; each is also an environment variable, PIP_INDEX_URL for index-url.
PIP_OPTIONS = ("index-url", "extra-index-url", "trusted-host")

# What an .npmrc says of registries: addresses, a scope's own, credentials for an address, certificates' check.
NPM_OPTION = re.compile(r"\s*((?:@[^:\s]+:)?registry|//[^=\s]+|strict-ssl)\s*=\s*(.*?)\s*")


@dataclass(frozen=True)
class Host:
    """The host's settings for downloads; an empty one means that the public default serves."""

    ca_bundle: Path | None = None
    proxies: tuple[str, ...] = ()
    sources: str = ""
    apt_conf: str = ""
    uv_toml: str = ""
    pip_conf: str = ""
    npmrc: str = ""

    def secrets(self) -> dict[str, tuple[str, str]]:
        """Return the environment variable and the text of each secret, by the secret's id."""
        texts = {
            "sources": self.sources,
            "apt": self.apt_conf,
            "uv": self.uv_toml,
            "pip": self.pip_conf,
            "npm": self.npmrc,
        }
        return {key: (f"SLIPWAY_{key.upper()}", text) for key, text in texts.items() if text}

    def build_arguments(self) -> list[str]:
        """Return the options that hand these settings to `docker buildx build`."""
        options = [f"--build-arg={name}" for name in self.proxies]
        if self.ca_bundle:
            options.append(f"--secret=id=ca,src={self.ca_bundle}")
        for key, (variable, _) in self.secrets().items():
            options.append(f"--secret=id={key},env={variable}")
        return options

    def environment(self) -> dict[str, str]:
        """Return the variables that the docker process needs beside `build_arguments`."""
        return dict(self.secrets().values())


def find(
    suite: str,
    environ: Mapping[str, str] = os.environ,
    root: Path = Path("/"),
) -> Host:
    """Read the host's settings; `suite` is the Debian suite of the images to be built.

    `root` is where etc/ is looked up; a test puts its own there.
    """
    pip = pip_options(environ, root)
    ca_bundle = find_ca_bundle(environ, root, pip)
    sources = apt.own_sources(suite, root)
    return Host(
        ca_bundle=ca_bundle,
        proxies=find_proxies(environ),
        sources=sources,
        apt_conf=apt.apt_configuration(root, https="https://" in sources, ca=ca_bundle is not None),
        uv_toml=uv_configuration(environ, root, pip),
        pip_conf=pip_configuration(pip),
        npmrc=npm_configuration(environ, root),
    )


# --- certificates and proxies -------------------------------------------------------------------


def find_ca_bundle(environ: Mapping[str, str], root: Path, pip: Mapping[str, list[str]]) -> Path | None:
    """Return the CA bundle that this host's tools use: by variable, pip's, or the system's."""
    named = [environ[name] for name in CA_VARIABLES if environ.get(name)] + pip.get("cert", [])
    candidates = [Path(path) for path in named] + [root / path for path in SYSTEM_CA_BUNDLES]
    for path in candidates:
        if path.is_file():
            return fitting(path)
    return None


def fitting(bundle: Path) -> Path:
    """Return the bundle's full path, or refuse one that BuildKit would not take."""
    size = bundle.stat().st_size
    if size > MAX_SECRET:
        raise SlipwayError(
            f"the CA bundle {bundle} has {size} bytes, and a build takes at most {MAX_SECRET}. "
            "Set SSL_CERT_FILE to a smaller bundle."
        )
    return bundle.absolute()


def find_proxies(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the proxy variables that are set."""
    names = [spelling for name in PROXY_VARIABLES for spelling in (name.upper(), name)]
    return tuple(name for name in names if environ.get(name))


# --- pip and uv ---------------------------------------------------------------------------------


def pip_options(environ: Mapping[str, str], root: Path) -> dict[str, list[str]]:
    """Return pip's options about indexes and certificates; a later place overrules an earlier."""
    options: dict[str, list[str]] = {}
    for path in pip_files(environ, root):
        options |= read_pip_file(path)
    for name in PIP_OPTIONS:
        value = environ.get("PIP_" + name.upper().replace("-", "_"))
        if value:
            options[name] = value.split()
    return options


def pip_files(environ: Mapping[str, str], root: Path) -> list[Path]:
    """Return where pip looks for its configuration, in pip's order."""
    chosen = environ.get("PIP_CONFIG_FILE", "")
    if chosen == os.devnull:
        return []
    home = Path(environ.get("HOME") or root)
    return [
        root / "Library/Application Support/pip/pip.conf",
        root / "etc/xdg/pip/pip.conf",
        root / "etc/pip.conf",
        home / ".pip/pip.conf",
        home / "Library/Application Support/pip/pip.conf",
        user_configuration(environ, root) / "pip/pip.conf",
        *([Path(chosen)] if chosen else []),
    ]


def user_configuration(environ: Mapping[str, str], root: Path) -> Path:
    """Return the user's configuration folder."""
    home = Path(environ.get("HOME") or root)
    return Path(environ.get("XDG_CONFIG_HOME") or home / ".config")


def read_pip_file(path: Path) -> dict[str, list[str]]:
    """Read the options that matter from one pip.conf."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(read(path))
    except configparser.Error as error:
        raise SlipwayError(f"pip's configuration {path} cannot be read: {error}") from error
    found = {}
    for section in ("global", "install"):
        for name in (*PIP_OPTIONS, "cert"):
            value = parser.get(section, name, fallback="")
            if value:
                found[name] = value.split()
    return found


def pip_configuration(options: Mapping[str, list[str]]) -> str:
    """Return a pip.conf with the options about indexes."""
    lines = [f"{name} = {' '.join(options[name])}\n" for name in PIP_OPTIONS if name in options]
    return "[global]\n" + "".join(lines) if lines else ""


def uv_configuration(environ: Mapping[str, str], root: Path, pip: Mapping[str, list[str]]) -> str:
    """Return a uv.toml with the host's indexes: uv's own, or pip's where uv has none.

    Builds install with uv, and many hosts have only told pip of their mirror.
    """
    indexes, insecure = uv_indexes(environ, root)
    if not indexes:
        indexes = legacy_indexes(pip)
        insecure = insecure or pip.get("trusted-host", [])
    lines = [f"allow-insecure-host = {json.dumps(insecure)}\n"] if insecure else []
    for index in usable(indexes):
        lines.append("\n[[index]]\n")
        lines += [f"{key} = {json.dumps(value)}\n" for key, value in index.items()]
    return "".join(lines)


def uv_indexes(environ: Mapping[str, str], root: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return uv's indexes and the hosts whose certificates it does not check, first one first."""
    indexes = indexes_of_variables(environ)
    insecure = environ.get("UV_INSECURE_HOST", "").split()
    for folder in (user_configuration(environ, root), root / "etc"):
        settings = read_toml(folder / "uv/uv.toml")
        indexes += [dict(index) for index in settings.get("index", [])]
        indexes += legacy_indexes(settings)
        insecure += settings.get("allow-insecure-host", [])
    return indexes, insecure


def indexes_of_variables(environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the indexes that uv's variables name: UV_INDEX, UV_DEFAULT_INDEX and older ones."""
    extra = environ.get("UV_INDEX", "").split() + environ.get("UV_EXTRA_INDEX_URL", "").split()
    default = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL") or ""
    indexes = [named_index(text) for text in extra]
    return indexes + [named_index(text) | {"default": True} for text in default.split()]


def named_index(text: str) -> dict[str, Any]:
    """Read uv's notation of an index, NAME=URL or URL."""
    match = re.fullmatch(r"(?:([\w.-]+)=)?(.+)", text)
    name, url = match.groups() if match else (None, text)
    return {"name": name, "url": url} if name else {"url": url}


def legacy_indexes(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Turn the options index-url and extra-index-url, which pip and older uv know, into indexes."""
    extra = as_list(settings.get("extra-index-url", []))
    default = as_list(settings.get("index-url", []))
    indexes: list[dict[str, Any]] = [{"url": url} for url in extra]
    return indexes + [{"url": url, "default": True} for url in default]


def as_list(value: str | list[str]) -> list[str]:
    """Return one value or several as a list."""
    return [value] if isinstance(value, str) else value


def usable(indexes: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Leave out folders of this host, and each default that an earlier default overrules."""
    seen = False
    for index in indexes:
        if not str(index.get("url")).startswith(("http://", "https://")):
            continue
        if not (seen and index.get("default")):
            yield index
        seen = seen or bool(index.get("default"))


# --- npm ----------------------------------------------------------------------------------------


def npm_configuration(environ: Mapping[str, str], root: Path) -> str:
    """Return an .npmrc with the host's registries and the credentials for them; a later place overrules an earlier."""
    options: dict[str, str] = {}
    for path in npm_files(environ, root):
        for match in filter(None, map(NPM_OPTION.fullmatch, read(path).splitlines())):
            options[match[1]] = re.sub(r"\$\{(\w+)\}", lambda name: environ.get(name[1], name[0]), match[2])
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        if environ.get(name):
            options["registry"] = environ[name]
    return "".join(f"{key}={value}\n" for key, value in options.items())


def npm_files(environ: Mapping[str, str], root: Path) -> list[Path]:
    """Return where npm looks for its configuration: all users', then the user's own."""
    home = Path(environ.get("HOME") or root)
    everybody = environ.get("NPM_CONFIG_GLOBALCONFIG") or environ.get("npm_config_globalconfig")
    own = environ.get("NPM_CONFIG_USERCONFIG") or environ.get("npm_config_userconfig")
    return [
        *([Path(everybody)] if everybody else [root / "etc/npmrc", root / "usr/local/etc/npmrc"]),
        Path(own) if own else home / ".npmrc",
    ]


# --- files --------------------------------------------------------------------------------------


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file that need not be there."""
    try:
        return tomllib.loads(read(path))
    except tomllib.TOMLDecodeError as error:
        raise SlipwayError(f"uv's configuration {path} cannot be read: {error}") from error
