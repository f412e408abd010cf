"""pip's and uv's indexes on this host, as a pip.conf and a uv.toml for builds.

Their files hold much that is about this host (caches, folders, a version of uv), and several of them count together
with variables. So builds get a file of what is about indexes, proxies and unchecked certificates, merged as the tools
merge it.
"""

import configparser
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from slipway.errors import SlipwayError
from slipway.host.system_files import is_remote, read

# pip's own names; each is also an environment variable, PIP_INDEX_URL for index-url.
PIP_ADDRESSES = ("index-url", "extra-index-url", "find-links")
PIP_OPTIONS = (*PIP_ADDRESSES, "no-index", "trusted-host", "proxy", "timeout", "default-timeout", "retries")
PIP_SECTIONS = ("global", "install")
UV_LISTS = ("allow-insecure-host", "find-links")
UV_VALUES = ("index-strategy", "no-index", "http-proxy", "https-proxy", "no-proxy")
YES = ("1", "true", "yes", "on", "t", "y")

Options = Mapping[str, list[str]]
Settings = dict[str, Any]


# --- pip ----------------------------------------------------------------------------------------


def read_pip_options(environ: Mapping[str, str], root: Path) -> dict[str, list[str]]:
    """Return pip's options about indexes and certificates; as in pip, [install] overrules [global] of every file."""
    sections: dict[str, dict[str, list[str]]] = {name: {} for name in PIP_SECTIONS}
    for path in pip_files(environ, root):
        for section, options in read_pip_file(path):
            sections[section] |= options
    options = sections["global"] | sections["install"]
    for name in (*PIP_OPTIONS, "cert"):
        value = environ.get("PIP_" + name.upper().replace("-", "_"))
        if value:
            options[name] = value.split()
    return {name: values for name, values in without_folders(options).items() if values}


def without_folders(options: dict[str, list[str]]) -> dict[str, list[str]]:
    """Leave out folders and addresses of this host alone, and `no-index` where nothing else is left to install from."""
    remote = {name: [url for url in options.get(name, []) if is_remote(url)] for name in PIP_ADDRESSES}
    links = remote["find-links"]
    switch = [value for value in options.get("no-index", []) if links and value.lower() in YES]
    return options | remote | {"no-index": switch}


def pip_files(environ: Mapping[str, str], root: Path) -> list[Path]:
    """Return where pip looks for its configuration, in pip's order."""
    chosen = environ.get("PIP_CONFIG_FILE", "")
    if chosen == os.devnull:
        return []
    home = Path(environ.get("HOME") or root)
    environment = environ.get("VIRTUAL_ENV")
    return [
        root / "Library/Application Support/pip/pip.conf",
        root / "etc/xdg/pip/pip.conf",
        root / "etc/pip.conf",
        home / ".pip/pip.conf",
        home / "Library/Application Support/pip/pip.conf",
        user_configuration(environ, root) / "pip/pip.conf",
        *([Path(environment) / "pip.conf"] if environment else []),
        *([Path(chosen)] if chosen else []),
    ]


def user_configuration(environ: Mapping[str, str], root: Path) -> Path:
    """Return the user's configuration folder."""
    home = Path(environ.get("HOME") or root)
    return Path(environ.get("XDG_CONFIG_HOME") or home / ".config")


def read_pip_file(path: Path) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Yield the options that matter of each section that matters; pip takes `index_url` and `--index-url`, too."""
    parser = configparser.RawConfigParser()  # as pip: a % is nothing special
    try:
        parser.read_string(read(path))
    except configparser.Error as error:
        reason = type(error).__name__  # its text quotes the file, which may hold a password
        raise SlipwayError(
            f"pip's configuration {path} cannot be read: {reason}. `pip config debug` shows it."
        ) from None
    for section in filter(parser.has_section, PIP_SECTIONS):
        named = ((name.replace("_", "-").removeprefix("--"), value) for name, value in parser.items(section))
        yield section, {name: value.split() for name, value in named if name in (*PIP_OPTIONS, "cert") and value}


def pip_configuration(options: Options) -> str:
    """Return a pip.conf with the options about indexes."""
    lines = [f"{name} = {' '.join(options[name])}\n" for name in PIP_OPTIONS if name in options]
    return "[global]\n" + "".join(lines) if lines else ""


# --- uv -----------------------------------------------------------------------------------------


def uv_configuration(environ: Mapping[str, str], root: Path, pip: Options) -> str:
    """Return a uv.toml with the host's indexes: uv's own, or pip's where uv has none.

    Builds install with uv, and many hosts have only told pip of their mirror.
    """
    places = [uv_variables(environ), *(read_uv_file(path) for path in uv_files(environ, root))]
    if not any(place["index"] or place["find-links"] for place in places):
        places.append(pip_as_uv(pip))
    lines = [f"{key} = {toml_value(value)}\n" for key, value in merge(places).items()]
    for index in usable(index for place in places for index in place["index"]):
        lines.append("\n[[index]]\n")
        lines += [f"{key} = {toml_value(value)}\n" for key, value in with_login(index, environ).items()]
    return "".join(lines)


def merge(places: list[Settings]) -> Settings:
    """Return the settings beside the indexes: lists are joined, of other values the first counts."""
    merged: Settings = {}
    for name in UV_LISTS:
        merged[name] = list(dict.fromkeys(value for place in places for value in place[name]))
    for name in UV_VALUES:
        merged[name] = next((place[name] for place in places if place.get(name)), None)
    if not merged["find-links"]:
        del merged["no-index"]
    return {name: value for name, value in merged.items() if value}


def uv_variables(environ: Mapping[str, str]) -> Settings:
    """Return what uv's variables say: UV_INDEX, UV_DEFAULT_INDEX, older ones and those beside them."""
    extra = environ.get("UV_INDEX", "").split() + environ.get("UV_EXTRA_INDEX_URL", "").split()
    default = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL") or ""
    indexes = [named_index(text) for text in extra]
    return {
        "index": indexes + [named_index(text) | {"default": True} for text in default.split()],
        "allow-insecure-host": environ.get("UV_INSECURE_HOST", "").split(),
        "find-links": [link for link in environ.get("UV_FIND_LINKS", "").split(",") if is_remote(link)],
        "index-strategy": environ.get("UV_INDEX_STRATEGY", ""),
        "no-index": environ.get("UV_NO_INDEX", "").lower() in YES,
    }


def uv_files(environ: Mapping[str, str], root: Path) -> list[Path]:
    """Return where uv looks for its configuration, first the one that overrules."""
    chosen = environ.get("UV_CONFIG_FILE")
    if chosen or environ.get("UV_NO_CONFIG", "").lower() in YES:
        return [Path(chosen)] if chosen else []
    return [folder / "uv/uv.toml" for folder in (user_configuration(environ, root), root / "etc")]


def read_uv_file(path: Path) -> Settings:
    """Read from a uv.toml what matters; `uv pip` overrules it by the table [pip]."""
    try:
        content = tomllib.loads(read(path))
        content |= content.get("pip", {})
        return {
            "index": [dict(index) for index in content.get("index", [])] + legacy_indexes(content),
            "allow-insecure-host": list(content.get("allow-insecure-host", [])),
            "find-links": [link for link in content.get("find-links", []) if is_remote(link)],
            **{name: content[name] for name in UV_VALUES if name in content},
        }
    except tomllib.TOMLDecodeError as error:
        raise SlipwayError(f"uv's configuration {path} cannot be read: {error}") from error
    except (TypeError, ValueError, AttributeError):
        raise SlipwayError(f"uv's configuration {path} cannot be read: uv takes no such value for an index") from None


def pip_as_uv(pip: Options) -> Settings:
    """Return pip's options in uv's words; pip takes a package from whichever index has the wanted file."""
    indexes = legacy_indexes(pip)
    proxy = "".join(pip.get("proxy", []))
    proxy = proxy if "://" in proxy or not proxy else f"http://{proxy}"
    return {
        "index": indexes,
        "allow-insecure-host": pip.get("trusted-host", []),
        "find-links": pip.get("find-links", []),
        "no-index": bool(pip.get("no-index")),
        "index-strategy": "unsafe-best-match" if len(indexes) > 1 else "",
        "http-proxy": proxy,
        "https-proxy": proxy,
    }


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
        if not is_remote(str(index.get("url"))):
            continue
        if not (seen and index.get("default")):
            yield index
        seen = seen or bool(index.get("default"))


def with_login(index: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Write into an index's address the login that UV_INDEX_NAME_USERNAME and UV_INDEX_NAME_PASSWORD give it."""
    variable = "UV_INDEX_" + re.sub(r"[^A-Z0-9]", "_", str(index.get("name", "")).upper())
    user, password = environ.get(f"{variable}_USERNAME", ""), environ.get(f"{variable}_PASSWORD", "")
    if not index.get("name") or not (user or password):
        return index
    url = urlsplit(index["url"])
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@"
    return index | {"url": url._replace(netloc=login + url.netloc.rpartition("@")[2]).geturl()}


def toml_value(value: object) -> str:
    """Return a value as TOML: a table on one line, a list, a date, a text, a number or a truth value."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, date):  # a date and time is one, too
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False)
