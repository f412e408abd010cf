"""Leave out the files that trims.toml names; runs inside a build, on the image's own Python.

    python trim.py FAMILY STAGE [WHEELS]
    python trim.py --debian FAMILY STAGE

The second form is for the RUN that installs Debian's packages: it leaves out their files (below /usr) and
no other. A file is deleted in each of its stages. A stage that is not among them gets it back from WHEELS,
a folder with the same distributions installed whole.
"""

import contextlib
import shutil
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

SITE_PACKAGES = Path(sysconfig.get_path("purelib"))


def matches(root: Path, pattern: str) -> list[Path]:
    """Return the files and links below `root` that a pattern names; a folder stands for all in it.

    An absolute pattern is that of a Debian package's file and is looked for from the root of the image.
    """
    found = Path("/").glob(pattern[1:]) if pattern.startswith("/") else root.glob(pattern)
    files: set[Path] = set()
    for path in found:
        files.update(child for child in (path, *path.rglob("*")) if child.is_symlink() or child.is_file())
    return sorted(files)


def remove(files: list[Path]) -> int:
    """Delete files and the folders that this empties, and return the bytes. Below /usr, dpkg keeps the folders."""
    size = sum(file.lstat().st_size for file in files)
    for file in files:
        file.unlink()
    folders = {folder for file in files for folder in file.parents if not folder.is_relative_to("/usr")}
    for folder in sorted(folders, reverse=True):
        with contextlib.suppress(OSError):  # it holds something still
            folder.rmdir()
    return size


def restore(files: list[Path], wheels: Path) -> int:
    """Copy files from the whole distributions to where they belong, and return the bytes."""
    for file in files:
        target = SITE_PACKAGES / file.relative_to(wheels)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    return sum(file.stat().st_size for file in files)


def apply(entry: dict[str, Any], stage: str, wheels: Path | None) -> int:
    """Delete or restore what one entry names, and return the bytes it adds to the stage."""
    pattern, stages = entry["path"], entry["stages"]
    if stage in stages:
        files = matches(SITE_PACKAGES, pattern)
        size = -remove(files)
    elif wheels:
        files = matches(wheels, pattern)
        size = restore(files, wheels)
    else:
        return 0
    if not files and (stage == stages[0] or stage not in stages):
        raise SystemExit(f"trims.toml: {pattern!r} names no file in {stage} any more: correct or delete the entry")
    return size


def main(family: str, stage: str, wheels: str = "", *, debian: bool = False) -> None:
    """Apply every entry that concerns a stage and print what each was worth in bytes."""
    for entry in tomllib.loads(Path(__file__).with_name("trims.toml").read_text())["trim"]:
        if family.startswith(tuple(entry["accelerators"])) and entry["path"].startswith("/usr/") == debian:
            size = apply(entry, stage, Path(wheels) if wheels else None)
            print(f"{size:>+12} {entry['path']}")


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--debian"]
    main(*arguments, debian="--debian" in sys.argv)
