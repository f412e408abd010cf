"""A stand-in for cosign that keeps signatures and attestations in a file, for tests that are not about signatures.

    python fake_cosign.py FILE sign --key=KEY --annotations=NAME=VALUE REFERENCE...

It knows a key by its name alone: what KEY.key has signed, KEY.pub verifies. Without a key the identity is that of the
variable FAKE_IDENTITY. Nothing of it is attached in the registry.
"""

import base64
import fcntl
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SIGN = "https://sigstore.dev/cosign/sign/v1"
Rows = list[dict[str, Any]]


def install(folder: Path) -> Path:
    """Put the program into a folder, as `cosign`."""
    program = folder / "cosign"
    folder.mkdir(parents=True, exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {folder}/signed.json "$@"\n')
    program.chmod(0o755)
    return program


@contextmanager
def open_rows(file: Path) -> Iterator[Rows]:
    """Yield what was signed so far; what is added is kept."""
    with file.open("a+") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        opened.seek(0)
        rows = json.loads(opened.read() or "[]")
        yield rows
        opened.truncate(0)
        opened.write(json.dumps(rows))


def find_digest(reference: str) -> str:
    """Return the digest of a reference."""
    return reference.rpartition("@")[2]


def is_by(signer: str, key: str, options: dict[str, str]) -> bool:
    """Tell whether a signer is the key or the identity that is asked for."""
    if "key" in options:
        return signer == key
    pattern = options.get("certificate-identity-regexp") or re.escape(options.get("certificate-identity", "")) + "$"
    return re.match(pattern, signer) is not None


def main(file: Path, command: str, *words: str) -> int:
    """Do one command."""
    options = [word.removeprefix("--").partition("=")[::2] for word in words if word.startswith("--")]
    given = dict(options)
    references = [word for word in words if not word.startswith("--")]
    key = given.get("key", os.environ.get("FAKE_IDENTITY", "none"))
    key = os.environ[key.removeprefix("env://")] if key.startswith("env://") else key
    key = key.strip().removesuffix(".key").removesuffix(".pub")
    if command in {"public-key", "tree"}:
        print(f"{key}.pub" if command == "public-key" else "")
        return 0
    with open_rows(file) as rows:
        if command in {"sign", "attest"}:
            said = dict(value.split("=", 1) for name, value in options if name == "annotations")
            predicate = json.loads(sys.stdin.read()) if command == "attest" else {}
            for each in references:
                row = {"digest": find_digest(each), "key": key, "annotations": said, "predicate": predicate}
                rows.append(row | {"type": given.get("type", SIGN)})
            return 0
        found = [row for row in rows if row["digest"] == find_digest(references[0]) and is_by(row["key"], key, given)]
    if command == "verify-attestation":
        found = [row for row in found if row["type"] == given["type"]]
    if not found:
        print("Error: no matching signatures", file=sys.stderr)
        return 1
    if command == "verify":
        print(json.dumps([{"critical": {"type": row["type"]}, "optional": row["annotations"]} for row in found]))
    for row in found if command == "verify-attestation" else ():
        statement = json.dumps({"predicateType": row["type"], "predicate": row["predicate"]})
        print(json.dumps({"payload": base64.b64encode(statement.encode()).decode()}))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
