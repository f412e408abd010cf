"""Signatures by cosign: with a key, or keyless with the identity of a CI job.

A key is a file, a key management service or env://VARIABLE. cosign reads its password from
COSIGN_PASSWORD and its login from docker's configuration; neither is an argument. A signature by key is not written
to a public log, since images may be private; a keyless one must be.
"""

import functools
import os
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from slipway import tools
from slipway.errors import SlipwayError

OFFLINE_KEY = "--insecure-ignore-tlog=true"  # accepts signatures that are in no public log
LAST_LINES = 4


@dataclass(frozen=True)
class Signer:
    """The key or the identity that signs or verifies."""

    key: str = ""
    identity: str = ""
    issuer: str = ""

    def __str__(self) -> str:
        """Return its name in reports: that of the key, or the identity."""
        return f"key {self.key}" if self.key else f"{self.identity} by {self.issuer}"

    def sign(self, references: Iterable[str]) -> None:
        """Sign manifests in a registry, given by their digests."""
        how = [f"--key={self.key}", "--tlog-upload=false"] if self.key else []
        run_cosign("sign", "--yes", *how, *references)

    def verify(self, references: Iterable[str], *, private: bool) -> None:
        """Verify a signature of each; SlipwayError when one is missing or has another signer.

        `private`: the key is the private one, and its public key is used.
        """
        if not self.key:
            who = [f"--certificate-identity={self.identity}", f"--certificate-oidc-issuer={self.issuer}"]
            run_cosign("verify", *who, *references)
            return
        with tempfile.TemporaryDirectory() as folder:
            key = self.key
            if private:
                key = str(Path(folder) / "cosign.pub")
                Path(key).write_text(run_cosign("public-key", f"--key={self.key}"), encoding="utf-8")
            run_cosign("verify", f"--key={key}", OFFLINE_KEY, *references)

    def has_signed(self, references: Iterable[str], *, private: bool) -> bool:
        """Tell whether all of them have a signature of this signer."""
        try:
            self.verify(references, private=private)
        except UnsignedError:
            return False
        return True


class UnsignedError(SlipwayError):
    """cosign found no signature of the signer."""


@functools.cache
def provide_cosign() -> Path:
    """Return cosign's program, built if it is missing."""
    return tools.provide_program(tools.read_tool("cosign"))


def run_cosign(*arguments: str) -> str:
    """Run cosign and return its output; SlipwayError with its last lines when it fails."""
    result = subprocess.run(
        [provide_cosign(), *arguments],
        env={"COSIGN_PASSWORD": "", **os.environ},  # cosign asks for an unset one
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if not result.returncode:
        return result.stdout
    lines = "\n".join(result.stderr.strip().splitlines()[-LAST_LINES:])
    message = f"cosign {arguments[0]} failed:\n{lines}"
    if "no signatures found" in result.stderr or "no matching signatures" in result.stderr:
        raise UnsignedError(message)
    raise SlipwayError(message)
