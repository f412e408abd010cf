"""Docker's credentials for a registry, from `docker login`: in its file, or in a credential helper.

They are used only in requests to the registry, never in arguments of a process, in a log or in a file.
"""

import base64
import binascii
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slipway.errors import SlipwayError

HUB = "https://index.docker.io/v1/"  # docker's key for docker.io
TOKEN_USER = "<token>"  # noqa: S105 - the user name of a helper whose secret is an identity token


@dataclass(frozen=True)
class Credentials:
    """A user with a password or an identity token; all empty for anonymous access."""

    user: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The header of basic authentication."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that are removed from every message."""
        if not self.password:
            return (self.identity_token,) if self.identity_token else ()
        return tuple(filter(None, (self.basic.removeprefix("Basic "), self.password, self.identity_token)))


def find_configuration() -> Path:
    """Return docker's configuration file."""
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"


def find_credentials(host: str) -> Credentials:
    """Return docker's credentials for a registry, anonymous ones without any.

    SlipwayError when the file or its helper cannot be read; the message shows the content of neither.
    """
    settings = read_configuration(find_configuration())
    key = HUB if host in ("docker.io", "registry-1.docker.io") else host
    helper = find_table(settings, "credHelpers").get(key) or settings.get("credsStore")
    if helper:
        found = ask_helper(str(helper), key)
        if found:
            return found
    auths = find_table(settings, "auths")
    return read_login(auths.get(key) or auths.get(f"https://{key}") or {}, key)


def read_configuration(file: Path) -> dict[str, Any]:
    """Return docker's configuration; empty without one."""
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        raise SlipwayError(f"{file} cannot be read as JSON; log in again by `docker login`") from None
    return settings if isinstance(settings, dict) else {}


def find_table(settings: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a table of the configuration; empty when it is missing."""
    found = settings.get(name)
    return found if isinstance(found, dict) else {}


def read_login(entry: object, key: str) -> Credentials:
    """Return the credentials in an entry of docker's configuration."""
    if not isinstance(entry, dict):
        return Credentials()
    try:
        text = base64.b64decode(entry.get("auth") or "", validate=True).decode()
    except (binascii.Error, ValueError, TypeError):
        raise SlipwayError(
            f"the login for {key} in {find_configuration()} is damaged; run `docker login {key}`"
        ) from None
    user, _, password = text.partition(":")
    return Credentials(user, password.rstrip("\0"), str(entry.get("identitytoken") or ""))


def ask_helper(helper: str, key: str) -> Credentials | None:
    """Return the credentials of a credential helper, None without a login for the registry."""
    program = f"docker-credential-{helper}"
    try:
        result = subprocess.run([program, "get"], input=key, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        raise SlipwayError(f"{program}, which {find_configuration()} names, does not answer; install it") from None
    if result.returncode and "not found" in (result.stdout + result.stderr).lower():
        return None
    try:
        answer = json.loads(result.stdout)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, LookupError, TypeError):
        raise SlipwayError(f"{program} gave no login for {key}; run `docker login {key}`") from None
    return Credentials(identity_token=secret) if user == TOKEN_USER else Credentials(user, secret)
