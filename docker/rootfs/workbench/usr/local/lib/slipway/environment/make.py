"""Make the user's own Python environment on the volume, or fit it to an image that has changed.

What is installed there comes first; the image's packages follow by path, so that nothing is copied. pip sees them, too.
uv looks at the metadata in the environment alone, so with --records, which the program uv gives, there is a record of
each package of the image: links to its metadata, but no files. They are hundreds of files, which no start should wait
for. pip and uv remove a record where they install another version.

The exit code says whether there is an environment.
"""

import errno
import os
import re
import sys
from contextlib import suppress
from pathlib import Path

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
ENVIRONMENT = Path("/data/.slipway/python")
PROGRAMS = ENVIRONMENT / "bin"
PACKAGES = ENVIRONMENT / f"lib/python{VERSION}/site-packages"
IMAGE = Path(f"/opt/venv/lib/python{VERSION}/site-packages")
FILES = {
    PACKAGES / "slipway.pth": f"import site; site.addsitedir({str(IMAGE)!r})\n",
    ENVIRONMENT / "pyvenv.cfg": f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {VERSION}\n",
}
# Python comes last: PATH has it as soon as it is there.
LINKS = {
    PROGRAMS / f"python{VERSION}": Path("python"),
    PROGRAMS / "python3": Path("python"),
    PROGRAMS / "python": Path("/usr/bin/python3"),
}
# What a record has of a package's metadata. Debian's PyTorch, which setuptools has installed, has PKG-INFO, no WHEEL.
METADATA = {name: name for name in ("METADATA", "WHEEL", "entry_points.txt", "top_level.txt")}
METADATA["PKG-INFO"] = "METADATA"
WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-any\n"


def set_aside_other_version() -> None:
    """Keep an environment for another Python under that Python's version, and say so; take up one that was kept."""
    if not PACKAGES.is_dir():
        # Another process may be about to make the folder of this version.
        for folder in {*ENVIRONMENT.glob("lib/python*")} - {PACKAGES.parent}:
            other = folder.name.removeprefix("python")
            kept = ENVIRONMENT.rename(f"{ENVIRONMENT}-{other}")
            what = f"what you installed for {other} is kept in {kept}; install it again, then delete that folder"
            print(f"note: this image has Python {VERSION}: {what}", file=sys.stderr)
        with suppress(OSError):
            Path(f"{ENVIRONMENT}-{VERSION}").rename(ENVIRONMENT)


def make_files() -> None:
    """Make the folders and files that are missing; another process may do the same at this moment."""
    for folder in (PACKAGES, PROGRAMS):
        folder.mkdir(parents=True, exist_ok=True)
    for file, text in FILES.items():
        if not file.exists():
            new = Path(f"{file}.{os.getpid()}")
            new.write_text(text, encoding="utf-8")
            new.replace(file)


def make_links() -> None:
    """Make the programs that are missing."""
    for link, target in LINKS.items():
        with suppress(FileExistsError):
            link.symlink_to(target)


def normalize(folder: str) -> str:
    """Return the name of the package that a folder has the metadata of."""
    return re.sub(r"[-_.]+", "_", folder.partition("-")[0]).lower()


def remove(record: Path) -> None:
    """Delete a record; another process may have done so."""
    with suppress(FileNotFoundError):
        for file in record.iterdir():
            file.unlink()
        record.rmdir()


def write_record(record: Path, source: Path) -> None:
    """Write the record of a package of the image, at once: no other process sees a part of it."""
    new = PACKAGES / f".{record.name}.{os.getpid()}"
    new.mkdir()
    try:
        for name, here in METADATA.items():
            if (source / name).exists():
                (new / here).symlink_to(source / name)
        if not (new / "WHEEL").exists():
            (new / "WHEEL").write_text(WHEEL, encoding="utf-8")
        files = [*(file.name for file in new.iterdir()), "RECORD"]
        (new / "RECORD").write_text("".join(f"{record.name}/{file},,\n" for file in files), encoding="utf-8")
        try:
            new.rename(record)
        except OSError:
            # Another process was faster where there is one.
            if not record.exists():
                raise
    finally:
        remove(new)


def update_records(*, is_asked: bool) -> None:
    """Let there be a record of each package of the image that the user has not installed anew, once uv has asked."""
    folders = {folder for folder in PACKAGES.iterdir() if folder.suffix == ".dist-info"}
    records = {folder for folder in folders if (folder / "METADATA").is_symlink()}
    if not (records or is_asked):
        return
    users = {normalize(folder.name) for folder in folders - records}
    wanted = {
        PACKAGES / f"{folder.stem}.dist-info": folder
        for folder in IMAGE.iterdir()
        if folder.suffix in {".dist-info", ".egg-info"} and normalize(folder.name) not in users
    }
    for record in records - wanted.keys():
        remove(record)
    for record in wanted.keys() - records:
        write_record(record, wanted[record])


def main() -> int:
    """Make or update it, and say in one line why that is not possible."""
    os.umask(0o002)
    try:
        # Where no volume can be written, the modes say so.
        if os.access("/data", os.W_OK):
            set_aside_other_version()
            make_files()
            update_records(is_asked=sys.argv[1:] == ["--records"])
            make_links()
    except OSError as error:
        # Only a link has two names.
        has_no_links = error.filename2 and error.errno in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}
        advice = "the volume has no symbolic links" if has_no_links else "make room or rights there, or delete it"
        where = f"{ENVIRONMENT}, for packages of your own, cannot be written by UID {os.getuid()}"
        print(f"warning: {where}: {error.strerror}: {advice}", file=sys.stderr)
    # Not by pathlib, which raises an error for a folder that this UID may not look into.
    return 0 if os.path.isdir(PACKAGES) and os.path.islink(PROGRAMS / "python") else 1  # noqa: PTH112, PTH114


if __name__ == "__main__":
    sys.exit(main())
