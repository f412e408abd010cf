"""The npm packages in code-server's lock."""

import json

from slipway import repository

FOLDER = "/opt/code-server"
FILE = repository.ROOT / "tools" / "code-server" / "package-lock.json"


def read_versions() -> dict[str, str]:
    """Return the version of each package of the lock by its folder, such as `node_modules/x`."""
    packages = json.loads(FILE.read_text(encoding="utf-8"))["packages"]
    return {folder: package["version"] for folder, package in packages.items() if folder}


def list_packages() -> set[tuple[str, str]]:
    """Return name and version of each package of the lock."""
    return {(folder.rpartition("node_modules/")[2], version) for folder, version in read_versions().items()}


def is_locked(path: str) -> bool:
    """Tell whether the package at a path must be in the lock; the editor's own archive has others."""
    return path.startswith(f"{FOLDER}/node_modules/") and "/lib/vscode/" not in path


def parse_version(text: bytes) -> str:
    """Return the version in a package.json, empty without one."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    return str(document.get("version", "")) if isinstance(document, dict) else ""
