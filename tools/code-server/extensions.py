"""Build extensions into code-server: what a list names is downloaded, compared with its SHA-256 and unpacked.

    python3 extensions.py LIST FOLDER

It runs inside a build, in FOLDER of the editor's own extensions.
"""

import hashlib
import io
import json
import sys
import zipfile
from pathlib import Path
from urllib.request import urlopen

INSIDE = "extension/"  # the part of a VSIX file that an editor reads


def download(address: str, digest: str) -> bytes:
    """Return a file's bytes; only those that the list means are taken."""
    with urlopen(address) as answer:  # noqa: S310 - the list is part of the repository
        content = bytes(answer.read())
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise SystemExit(f"error: {address} has SHA-256 {found}, the list says {digest}")
    return content


def unpack(content: bytes, folder: Path) -> str:
    """Unpack a VSIX file into a folder of its extension's name, and return that name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        manifest = json.loads(archive.read(f"{INSIDE}package.json"))
        name = f"{manifest['publisher']}.{manifest['name']}"
        own = (folder / name).resolve()
        if own.parent != folder.resolve():
            raise SystemExit(f"error: an extension cannot be named {name}")
        for entry in archive.namelist():
            if entry.startswith(INSIDE) and not entry.endswith("/"):
                target = (own / entry.removeprefix(INSIDE)).resolve()
                if not target.is_relative_to(own):
                    raise SystemExit(f"error: {name} has a file outside its folder: {entry}")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(entry))
    return name


def main(listed: str, folder: str) -> None:
    """Take each line of the list that is no comment."""
    for line in Path(listed).read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            try:
                address, digest = line.split()
            except ValueError:
                raise SystemExit(
                    f"error: {listed} must have an address and a SHA-256 on each line, not {line!r}"
                ) from None
            print(unpack(download(address, digest), Path(folder)))


if __name__ == "__main__":
    main(*sys.argv[1:])
