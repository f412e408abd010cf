"""apt on this host: its mirrors of Debian with their keys and logins, and its settings for HTTP, for use in a build.

Only mirrors of Debian are used. The archives of Ubuntu, Mint, Kali or Raspberry Pi OS, PPAs and vendors'
repositories have packages that no Debian build may install; where the host has no mirror of Debian, a build uses
Debian's own addresses.
"""

import base64
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import which
from urllib.parse import unquote, urlsplit

from slipway.host.system_files import is_remote, os_release, read

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
CA_IN_BUILD = "/run/secrets/ca"
ARMOR = "PGP PUBLIC KEY BLOCK"

SUITES = frozenset({"bullseye", "bookworm", "trixie", "forky", "duke", "sid"})
ALIASES = frozenset({"oldoldstable", "oldstable", "stable", "testing", "unstable"})  # Debian's on a Debian host only
COMPONENTS = frozenset({"main", "contrib", "non-free", "non-free-firmware"})
OFF = ("no", "false", "without", "off", "disable", "0")

# Options of a source that hold in a build, too: none about the host's architectures, languages or files.
OPTIONS = {
    "trusted",
    "allow-insecure",
    "allow-weak",
    "allow-downgrade-to-insecure",
    "by-hash",
    "check-date",
    "check-valid-until",
    "date-max-future",
    "inrelease-path",
    "pdiffs",
    "valid-until-max",
    "valid-until-min",
}


@dataclass(frozen=True)
class Mirror:
    """An address of Debian's archive, with the options that apt needs there, by their names."""

    uri: str
    options: tuple[tuple[str, str], ...] = ()

    def stanza(self, *suites: str) -> str:
        """Return the apt source for suites, in deb822 format."""
        fields = {"Types": "deb", "URIs": self.uri, "Suites": " ".join(suites), "Components": "main"}
        fields |= {"Signed-By": KEYRING, **dict(self.options)}
        return "".join(f"{name}: {value}\n" for name, value in fields.items())

    def split_login(self) -> tuple["Mirror", str]:
        """Return the mirror without the login in its address, and the login as a line of an auth.conf, "" without one.

        apt prints an address with its login where a download fails.
        """
        url = urlsplit(self.uri)
        if not url.username:
            return self, ""
        bare = url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()
        login = f"machine {bare} login {unquote(url.username)} password {unquote(url.password or '')}\n"
        return replace(self, uri=bare), login


@dataclass(frozen=True)
class Source:
    """One suite at one address, of an enabled source of binary packages."""

    mirror: Mirror
    suite: str
    components: frozenset[str]
    signed_by: str


# --- which sources are Debian's -----------------------------------------------------------------


def own_sources(suite: str, root: Path) -> tuple[str, str]:
    """Return apt sources for a suite and an auth.conf; both "", for Debian's addresses, unless the host has a mirror.

    Where only one of archive and security fixes has a mirror, the other comes from where the host takes it.
    """
    mirrors = find_mirrors(root)
    if not mirrors or not any(is_own(mirror.uri) for mirror in mirrors):
        return "", ""
    (main, login), (security, other) = (mirror.split_login() for mirror in mirrors)
    return debian_sources(suite, main, security), login + other + read_logins(root)


def read_logins(root: Path) -> str:
    """Return the host's auth.conf and the files beside it as they are; those that only root may read are left out."""
    folder = root / "etc/apt"
    texts = (read(path) for path in [folder / "auth.conf", *sorted(folder.glob("auth.conf.d/*.conf"))])
    return "".join(text if text.endswith("\n") else f"{text}\n" for text in texts if text)


def debian_sources(suite: str, main: Mirror, security: Mirror) -> str:
    """Return apt sources in deb822 format for a suite, its updates and its security fixes."""
    return f"{main.stanza(suite, f'{suite}-updates')}\n{security.stanza(f'{suite}-security')}"


def find_mirrors(root: Path = Path("/")) -> tuple[Mirror, Mirror] | None:
    """Return the host's mirrors of Debian's archive and of its security fixes; None where it has no source of Debian.

    An address is Debian's archive when it has one of Debian's suites and that suite's updates. On a Debian host,
    an address that ends in /debian is taken, too.
    """
    is_debian = os_release(root / "etc/os-release").get("ID", "debian") == "debian"
    suites = SUITES | ALIASES if is_debian else SUITES
    sources = [source for source in read_sources(root) if source.components <= COMPONENTS]
    known = [source for source in sources if re.split("[-/]", source.suite)[0] in suites]
    updated = {source.mirror.uri for source in known if source.suite.endswith("-updates")}
    whole = [source for source in known if source.suite in suites]
    security = [source.mirror for source in known if source.suite.endswith(("-security", "/updates"))]
    main = [source.mirror for source in whole if source.mirror.uri in updated]
    if is_debian:
        main += archives_by_name(whole, has_security=bool(security))
    if not main:
        return None
    archive = preferred(main)
    return archive, preferred(security) if security else replace(archive, uri=f"{archive.uri}-security")


def archives_by_name(sources: list[Source], *, has_security: bool) -> list[Mirror]:
    """Return the mirrors whose address ends in /debian, those without a key of their own first.

    Vendors' repositories are called so, too, with their own key: without security fixes it must be Debian's key.
    """
    named = [source for source in sources if source.mirror.uri.endswith("/debian")]
    debians = [source.mirror for source in named if "debian-archive" in (source.signed_by or KEYRING)]
    others = [source.mirror for source in named if source.mirror not in debians]
    return debians + (others if has_security else [])


def is_own(uri: str) -> bool:
    """Tell whether an address is a mirror of the host's own and not one of Debian's."""
    return not re.search(r"(^|\.)debian\.org$", urlsplit(uri).hostname or "")


def preferred(mirrors: list[Mirror]) -> Mirror:
    """Return the first of Debian's own addresses, else the first mirror."""
    return next((mirror for mirror in mirrors if not is_own(mirror.uri)), mirrors[0])


# --- files of sources ---------------------------------------------------------------------------


def read_sources(root: Path) -> Iterator[Source]:
    """Yield each enabled source of binary packages with a component `main`."""
    folder = root / "etc/apt"
    for path in [folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))]:
        for options in one_line_sources(read(path)):
            yield from combine(options, root)
    for path in sorted(folder.glob("sources.list.d/*.sources")):
        for options in deb822_sources(read(path)):
            yield from combine(options, root)


def combine(options: Mapping[str, str], root: Path) -> Iterator[Source]:
    """Yield the combinations of address and suite of one entry, given by the fields of the deb822 format."""
    components = frozenset(options.get("components", "").split())
    if "deb" not in options.get("types", "").split() or "main" not in components:
        return
    if options.get("enabled", "yes").lower() in OFF:
        return
    kept = tuple((name.title(), value) for name, value in options.items() if name in OPTIONS)
    signed_by = options.get("signed-by", "")
    kept += tuple(("Signed-By", key) for key in [embed_keys(signed_by, root)] if key)
    for uri in filter(None, (resolve(word, root) for word in options.get("uris", "").split())):
        for suite in options.get("suites", "").split():
            yield Source(Mirror(uri.rstrip("/"), kept), suite, components, signed_by)


def embed_keys(signed_by: str, root: Path) -> str:
    """Return the key of a mirror that signs by itself, for the field Signed-By; "" for Debian's own key."""
    if "BEGIN PGP" in signed_by:
        return signed_by
    paths = [path for path in re.split(r"[,\s]+", signed_by) if path.startswith("/")]
    if not paths or "debian-archive" in signed_by:
        return ""
    file = root / paths[0].lstrip("/")
    text = read(file)
    if text and "BEGIN PGP" not in text:
        data = base64.b64encode(file.read_bytes()).decode()
        lines = [data[start : start + 64] for start in range(0, len(data), 64)]
        text = "\n".join([f"-----BEGIN {ARMOR}-----", "", *lines, f"-----END {ARMOR}-----"])
    # A line of a deb822 field begins with a space; an empty one is a dot.
    return "".join(f"\n {line.strip() or '.'}" for line in text.strip().splitlines())


def resolve(uri: str, root: Path) -> str:
    """Return an http address: the URI itself, the first in the list that `mirror+file:` names, "" for another kind."""
    words = uri.split()
    if uri.startswith("mirror+file:"):
        words = [line.split()[0] for line in read(root / urlsplit(uri).path.lstrip("/")).splitlines() if line.strip()]
    return next(filter(is_remote, words), "")


def one_line_sources(text: str) -> Iterator[dict[str, str]]:
    """Yield the entries of the one-line format, `deb [options] URI SUITE COMPONENT...`, as deb822's fields."""
    for line in text.splitlines():
        match = re.match(r"(deb)\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]*)", line.strip())
        if match:
            options = re.findall(r"([\w-]+?)[+-]?=(\S+)", match[2] or "")
            fields = {"types": match[1], "uris": match[3], "suites": match[4], "components": match[5]}
            yield {**{name.lower(): value for name, value in options}, **fields}


def deb822_sources(text: str) -> Iterator[dict[str, str]]:
    """Yield the entries of the deb822 format, with the names of their fields in lower case."""
    if not text:
        return
    from debian.deb822 import Deb822  # noqa: PLC0415 - takes 0.1 s, and most hosts have no such file

    for paragraph in Deb822.iter_paragraphs(text, use_apt_pkg=False):
        yield {name.lower(): value for name, value in paragraph.items()}


# --- settings -----------------------------------------------------------------------------------


def apt_configuration(root: Path, *, https: bool, ca: bool) -> str:
    """Return apt's http and https settings, with the CA bundle where a mirror needs one."""
    lines = [line for line in read_apt_settings(root) if is_portable(line)]
    # The base image holds no certificates: apt uses the bundle that the build mounts.
    if ca and (https or any('"https:' in line for line in lines)):
        lines.append(f'Acquire::https::CAInfo "{CA_IN_BUILD}";')
    return "".join(f"{line}\n" for line in lines)


def is_portable(line: str) -> bool:
    """Tell whether an apt setting is about downloads by HTTP and names neither a file nor a proxy of the host alone."""
    about_http = re.match(r'Acquire::(https?::\S+|ForceIPv[46]|Retries) ".+";$', line, re.IGNORECASE)
    of_host = re.match(
        r"Acquire::https?::(\S*::)?(CAInfo|CAPath|SslCert|SslKey|CrlFile|IssuerCert"
        r"|Proxy-?Auto-?Detect)\b",
        line,
        re.IGNORECASE,
    )
    address = re.search(r'"(https?://.+)"', line)
    return bool(about_http and not of_host and not (address and not is_remote(address[1])))


def read_apt_settings(root: Path) -> list[str]:
    """Return the lines of `apt-config dump`; none where no file of apt's configuration is about downloads."""
    folder = root / "etc/apt"
    texts = (read(path).lower() for path in [folder / "apt.conf", *folder.glob("apt.conf.d/*")])
    if not any("acquire" in text for text in texts):
        return []
    if not which("apt-config"):
        return []
    command = ["apt-config", "dump", "--format", '%f "%v";%n']
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.splitlines()
