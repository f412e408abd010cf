"""What this host is configured to use for downloads, as data for builds.

Proxies, a Debian mirror, package indexes and a CA bundle reach a build as build arguments and
BuildKit secrets, so that nothing of them stays in an image. Except for the CA bundle, which is a
file already, a secret travels in the environment of the docker process: nothing is written to
disk, and no secret is in a process's arguments.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.host import apt, python_indexes
from slipway.host.system_files import is_remote, read

CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
# Of Debian and most others, of Fedora, of openSUSE, of macOS.
SYSTEM_CA_BUNDLES = (
    "etc/ssl/certs/ca-certificates.crt",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/ssl/ca-bundle.pem",
    "etc/ssl/cert.pem",
)
PEM = re.compile(rb"-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----")
MAX_SECRET = 500 * 1024  # BuildKit's limit for one secret
MAX_VARIABLE = 128 * 1024 - 64  # Linux's limit for a variable, less its name

# The build arguments that BuildKit knows by itself and keeps out of an image's history.
PROXY_VARIABLES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")

# What an .npmrc says of registries: addresses, a scope's own, logins for an address, proxies, certificates' check.
# npm itself prints no login (`npm config get` calls it protected), so its file is read here.
NPM_VARIABLES = ("registry", "strict-ssl", "proxy", "https-proxy", "noproxy", "fetch-retries", "fetch-timeout")
NPM_OPTION = re.compile(rf"\s*(@[^:\s]+:registry|//[^=\s]+(?<!file)|{'|'.join(NPM_VARIABLES)})\s*=\s*(.*?)\s*")


@dataclass(frozen=True)
class Host:
    """The host's settings for downloads; an empty one means that the public default serves."""

    ca_bundle: Path | None = None
    proxies: Mapping[str, str] = field(default_factory=dict)  # variables
    sources: str = ""
    apt_conf: str = ""
    apt_auth: str = ""
    uv_toml: str = ""
    pip_conf: str = ""
    netrc: str = ""
    npmrc: str = ""

    def secrets(self) -> dict[str, tuple[str, str]]:
        """Return the environment variable and the text of each secret, by the secret's id."""
        texts = {
            "sources": self.sources,
            "apt": self.apt_conf,
            "auth": self.apt_auth,
            "uv": self.uv_toml,
            "pip": self.pip_conf,
            "netrc": self.netrc,
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
        """Return the variables that the docker process needs; SlipwayError where the system takes none so large."""
        for key, (_, text) in self.secrets().items():
            if len(text.encode()) > MAX_VARIABLE:
                raise SlipwayError(
                    f"this host's settings for the build secret {key!r} have {len(text)} characters, more than "
                    f"{MAX_VARIABLE} bytes. If a source of apt names a large keyring, name a file with one key."
                )
        return {**self.proxies, **dict(self.secrets().values())}


def find(suite: str, environ: Mapping[str, str] = os.environ, root: Path = Path("/")) -> Host:
    """Read the host's settings; `suite` is the Debian suite of the images to be built.

    `root` is where etc/ is looked up; a test puts its own there.
    """
    pip = python_indexes.read_pip_options(environ, root)
    uv_toml = python_indexes.uv_configuration(environ, root, pip)
    ca_bundle = find_ca_bundle(environ, root, pip)
    sources, logins = apt.own_sources(suite, root)
    return Host(
        ca_bundle=ca_bundle,
        proxies=find_proxies(environ),
        sources=sources,
        apt_conf=apt.apt_configuration(root, https="https://" in sources, ca=ca_bundle is not None),
        apt_auth=logins,
        uv_toml=uv_toml,
        pip_conf=python_indexes.pip_configuration(pip),
        netrc=find_netrc(environ, root) if uv_toml else "",
        npmrc=npm_configuration(environ, root),
    )


# --- certificates and proxies -------------------------------------------------------------------


def find_ca_bundle(environ: Mapping[str, str], root: Path, pip: Mapping[str, list[str]]) -> Path | None:
    """Return the full path of the CA bundle that this host's tools use: by variable, pip's, or the system's.

    SlipwayError for one that BuildKit would not take.
    """
    named = [environ[name] for name in CA_VARIABLES if environ.get(name)] + pip.get("cert", [])
    candidates = [Path(path) for path in named] + [root / path for path in SYSTEM_CA_BUNDLES]
    # Path.is_file raises where a folder above is closed.
    bundle = next((path for path in candidates if os.path.isfile(path)), None)  # noqa: PTH113
    return read_bundle(bundle) if bundle else None


def read_bundle(bundle: Path) -> Path:
    """Return the full path of a CA bundle that BuildKit and the tools in a build take; SlipwayError for any other."""
    try:
        content = bundle.read_bytes()
    except OSError as error:
        text = f"the CA bundle {bundle} cannot be read: {error.strerror}; set SSL_CERT_FILE to one that can be read"
        raise SlipwayError(text) from None
    if len(content) > MAX_SECRET:
        raise SlipwayError(
            f"the CA bundle {bundle} has {len(content)} bytes, and a build takes at most {MAX_SECRET}. "
            "Set SSL_CERT_FILE to a smaller bundle."
        )
    if not PEM.search(content):
        raise SlipwayError(
            f"the CA bundle {bundle} has no certificate in the format PEM. If it is one certificate in the format DER: "
            f"openssl x509 -inform der -in {bundle} -out ca.pem"
        )
    return bundle.absolute()


def find_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the proxy variables that are set, in both spellings: apt knows the lower case alone.

    An address gets the scheme that curl and pip, but not apt, take for granted.
    """
    found: dict[str, str] = {}
    for name in PROXY_VARIABLES:
        spellings = (name.upper(), name)
        values = [environ.get(spelling, "") for spelling in spellings]
        for spelling, value in zip(spellings, values, strict=True):
            if text := value or "".join(values):
                found[spelling] = text if "://" in text or name == "no_proxy" else f"http://{text}"
    return found


# --- logins and npm -----------------------------------------------------------------------------


def find_netrc(environ: Mapping[str, str], root: Path) -> str:
    """Return the netrc that pip and uv look into for the login at an index."""
    home = Path(environ.get("HOME") or root)
    if environ.get("NETRC"):
        return read(Path(environ["NETRC"]))
    return read(home / ".netrc") or read(home / "_netrc")


def npm_configuration(environ: Mapping[str, str], root: Path) -> str:
    """Return an .npmrc with the host's registries and the logins there; a later place overrules an earlier."""
    options: dict[str, str] = {}
    for path in npm_files(environ, root):
        lines = (expand_variables(line, environ) for line in read(path).splitlines())
        options |= {match[1]: match[2] for match in filter(None, map(NPM_OPTION.fullmatch, lines))}
    for name in NPM_VARIABLES:
        variable = "npm_config_" + name.replace("-", "_")
        if value := environ.get(variable) or environ.get(variable.upper()):
            options[name] = value
    registries = {key: value for key, value in options.items() if key == "registry" or key.endswith(":registry")}
    own = {key for key, value in registries.items() if not is_remote(value.strip('"'))}
    return "".join(f"{key}={value}\n" for key, value in options.items() if key not in own)


def expand_variables(line: str, environ: Mapping[str, str]) -> str:
    """Return a line with npm's references to variables replaced: ${NAME}, and ${NAME?}, which may be unset."""
    return re.sub(r"\$\{([^${}?]+)(\?)?\}", lambda name: environ.get(name[1], "" if name[2] else name[0]), line)


def npm_files(environ: Mapping[str, str], root: Path) -> list[Path]:
    """Return where npm looks for its configuration: all users', then the user's own."""
    home = Path(environ.get("HOME") or root)
    everybody = environ.get("NPM_CONFIG_GLOBALCONFIG") or environ.get("npm_config_globalconfig")
    own = environ.get("NPM_CONFIG_USERCONFIG") or environ.get("npm_config_userconfig")
    return [
        *([Path(everybody)] if everybody else [root / "etc/npmrc", root / "usr/local/etc/npmrc"]),
        Path(own) if own else home / ".npmrc",
    ]
