"""A copy of this repository with one small image, for sessions that build, break and test it."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from slipway import matrix, repository
from slipway.build import locks
from tests.helpers.built_images import require_built
from tests.helpers.matrices import parse_matrix
from tests.helpers.programs import run_merged

# The steps are the copy's own: BuildKit runs a step once for all builds at a time that have it, also with --no-cache.
DOCKERFILE = """\
ARG BASE_IMAGE=debian:trixie-slim
ARG APT_DATE=2026-11-21
FROM slipway:cpu-base AS base
ENV BUILT_FOR={repository}
LABEL slipway.flavor="base"
"""


@dataclass(frozen=True)
class Checkout:
    """The copy's folder and the repository name of its images."""

    folder: Path
    repository: str

    @property
    def tag(self) -> str:
        """The tag of its only image."""
        return f"{self.repository}:cpu-base"

    @property
    def results(self) -> Path:
        """The folder of the image's results."""
        return self.folder / "dist" / "cpu-base"

    def nox(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run nox in the copy; return its exit code and its output."""
        return run_merged(self.command(*words), env=os.environ | environment)

    def command(self, *words: str) -> list[str]:
        """Return the nox command for this copy."""
        return [sys.executable, "-m", "nox", f"--noxfile={self.folder / 'noxfile.py'}", *words]

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text in one of its files; fail when it is not there."""
        file = self.folder / name
        text = file.read_text()
        assert old in text, f"{name} does not contain {old!r}"
        file.write_text(text.replace(old, new))


def copy_repository(folder: Path) -> None:
    """Copy the tracked and the untracked files of the working tree, except those that git ignores."""
    for name in repository.git("ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        source, target = repository.ROOT / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)


def small_matrix(repository: str) -> str:
    """Return this repository's images.toml with only cpu-base."""
    text = matrix.FILE.read_text()
    text = text.replace(f'repository = "{matrix.load_matrix().repository}"', f'repository = "{repository}"')
    text = re.sub(r"(?ms)^published = \[.*?^\]", 'published = ["cpu-base"]', text)
    return re.sub(r"(?ms)^runtime = .*", "", text)


def make(folder: Path, repository: str) -> Checkout:
    """Return a copy that builds one image within a second, from slipway:cpu-base; skip the test without that image."""
    require_built(matrix.load_matrix().find_image("cpu-base"))
    copy_repository(folder)
    (folder / "images.toml").write_text(small_matrix(repository))
    (folder / "Dockerfile.cpu").write_text(DOCKERFILE.format(repository=repository))
    only = next(iter(parse_matrix(small_matrix(repository)).variants.values()))
    restamp(folder, next(locks.list_variant_locks(only)))
    return Checkout(folder, repository)


def restore_matrix(made: Checkout) -> None:
    """Give a copy all images of this repository; its cpu-base stays small."""
    dockerfile = made.folder / "Dockerfile.cpu"
    small = dockerfile.read_text()
    copy_repository(made.folder)
    dockerfile.write_text(small)
    made.edit("images.toml", f'repository = "{matrix.load_matrix().repository}"', f'repository = "{made.repository}"')


def restamp(folder: Path, item: locks.Lock) -> None:
    """Write the digest of its inputs into a lock of the copy; only its constraints differ from the original's."""
    file = folder / "requirements" / item.file.name
    body = file.read_text().split("\n", 1)[1]
    file.write_text(f"{locks.STAMP}{item.compute_digest()}\n{body}")
