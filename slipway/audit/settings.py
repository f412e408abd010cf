"""Compares an image's settings with the instructions of its history, each of which must be in a Dockerfile."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from slipway.audit.findings import Finding
from slipway.audit.origins import list_instructions
from slipway.audit.state import Audit

LISTS = {"Entrypoint": "ENTRYPOINT", "Cmd": "CMD"}
# What nothing of this repository sets: commands for the build of a child, a shell for them, volumes without a name.
UNUSED = ("OnBuild", "Shell", "Volumes")


def check_settings(audit: Audit) -> None:
    """Find environment variables, commands and a user that no instruction of the image sets."""
    instructions = [text for _, text in list_instructions(audit.system)]
    for what in find_foreign_settings(audit.system.image.config["config"], instructions):
        audit.findings.append(Finding("foreign setting", what, "no instruction of the image sets it"))


def find_foreign_settings(config: Mapping[str, Any], instructions: Sequence[str]) -> Iterator[str]:
    """Yield the settings of a configuration that are not those of the last instruction about them."""
    for variable in config.get("Env", ()):
        plain = f" {' '.join(variable.split())} "
        if not any(plain in f" {text} " for text in instructions if text.startswith("ENV ")):
            yield f"ENV {variable}"
    for key, word in LISTS.items():
        wanted = f"{word} {format_list(config[key])}" if config.get(key) else ""
        if wanted and wanted != find_last(instructions, word):
            yield wanted
    if test := config.get("Healthcheck", {}).get("Test"):
        wanted = format_list(test)
        if wanted not in find_last(instructions, "HEALTHCHECK"):
            yield f"HEALTHCHECK {wanted}"
    if config.get("User") and f"USER {config['User']}" != find_last(instructions, "USER"):
        yield f"USER {config['User']}"
    yield from (f"{key} {json.dumps(config[key])}" for key in UNUSED if config.get(key))


def find_last(instructions: Sequence[str], word: str) -> str:
    """Return the last instruction that begins with a word; empty without one."""
    return next((text for text in reversed(instructions) if text.startswith(f"{word} ")), "")


def format_list(words: Sequence[str]) -> str:
    """Return words as BuildKit writes them into the history: `["tini" "--" "entrypoint"]`."""
    return f"[{' '.join(json.dumps(word) for word in words)}]"
