"""Leave out, or put back, the files that /trims names; runs inside a build, on the image's own Python.

python trim.py LAYER              deletes the files that a layer leaves out
python trim.py --restore WHEELS   copies those that devel gets back from whole wheels, installed in a folder
"""

import contextlib
import os
import shutil
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

SITE_PACKAGES = Path(sysconfig.get_path("purelib"))
TRIMS = Path("/trims")


def find_files(root: Path, pattern: str) -> list[Path]:
    """Return the files and links below `root` that a glob names; a folder stands for all in it."""
    found = Path("/").glob(pattern[1:]) if pattern.startswith("/") else root.glob(pattern)
    files: set[Path] = set()
    for path in found:
        files.update(child for child in (path, *path.rglob("*")) if child.is_symlink() or child.is_file())
    return sorted(files)


def remove(files: list[Path]) -> int:
    """Delete files and the folders that this empties, and return the bytes."""
    size = sum(file.lstat().st_size for file in files)
    for file in files:
        file.unlink()
    for folder in sorted({folder for file in files for folder in file.parents}, reverse=True):
        with contextlib.suppress(OSError):  # it still holds something
            folder.rmdir()
    return size


def restore(files: list[Path], wheels: Path) -> int:
    """Copy files from whole wheels to site-packages, and return the bytes."""
    for file in files:
        target = SITE_PACKAGES / file.relative_to(wheels)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    return sum(file.stat().st_size for file in files)


def read_trims() -> list[dict[str, Any]]:
    """Return the rows for this build's locks, without those of Debian packages, which dpkg does not unpack."""
    rows = tomllib.loads(TRIMS.read_text())["trim"]
    locks = os.environ.get("LOCKS", "")
    return [r for r in rows if locks.startswith(tuple(r.get("locks", [""]))) and not r["path"].startswith("/usr/")]


def main(layer: str, wheels: str = "") -> None:
    """Apply the rows and print their bytes; a row that names no file of its own layer is an error.

    A later layer may bring more files of the same names, such as headers; devel keeps those that are restored.
    """
    for row in read_trims():
        restored = row.get("restored", False)
        if (wheels and not restored) or (layer == "devel" and restored):
            continue
        files = find_files(Path(wheels or SITE_PACKAGES), row["path"])
        if not files and (wheels or row["layer"] == layer):
            raise SystemExit(f"trims: {row['path']!r} names no file in {layer} any more: correct or delete the row")
        if files:
            print(f"{restore(files, Path(wheels)) if wheels else -remove(files):>+12} {row['path']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
