"""Wheels of a few bytes, for indexes of the tests."""

import hashlib
import zipfile
from collections.abc import Iterable
from pathlib import Path


def write_wheel(folder: Path, name: str, version: str, code: str = "", requires: Iterable[str] = ()) -> Path:
    """Write a wheel of one module that runs everywhere; return its file."""
    module = name.replace("-", "_")
    wheel, information = folder / f"{module}-{version}-py3-none-any.whl", f"{module}-{version}.dist-info"
    wanted = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    files = {
        f"{module}.py": code,
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{wanted}",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{information}/RECORD"] = "".join(f"{file},,\n" for file in files)
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return wheel


def compute_digest(wheel: Path) -> str:
    """Return the SHA-256 of a wheel."""
    return hashlib.sha256(wheel.read_bytes()).hexdigest()
