"""What the environment decides: the port, and whether the service insists on a GPU."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

HIGHEST_PORT = 65535


class SettingError(Exception):
    """A variable with a value that the service cannot use; its text is the whole message."""


@dataclass(frozen=True)
class Settings:
    """The service's settings."""

    port: int = 8000
    require_gpu: bool = False


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings that `environment` gives; an empty variable counts as unset."""
    return Settings(
        port=_port(environment.get("PORT") or "8000"),
        require_gpu=_switch("REQUIRE_GPU", environment.get("REQUIRE_GPU") or "0"),
    )


def _port(value: str) -> int:
    if re.fullmatch(r"[0-9]{1,5}", value) and 1 <= int(value) <= HIGHEST_PORT:
        return int(value)
    raise SettingError(f"PORT is '{value}': set it to a number from 1 to {HIGHEST_PORT}")


def _switch(name: str, value: str) -> bool:
    # "true" or "yes" taken for no would make a service ready that must not be.
    if value not in ("0", "1"):
        raise SettingError(f"{name} is '{value}': set it to 1 or 0")
    return value == "1"
