"""Signatures and attestations by cosign: with a key, or keyless with the identity of a CI job.

A key is a file, a key management service or env://VARIABLE. cosign reads its password from COSIGN_PASSWORD and the
registry's login from docker's configuration; neither is an argument. What is signed with a key is not written to a
public log, since images may be private; what is signed without one must be. Variables that change where cosign looks
for signatures and whom it trusts are not passed on.

Both are stored beside the image as cosign's bundles. A registry without the API for referrers keeps the list of them
under a tag that is read and written, so only one publisher at a time may attach to an image.
"""

import base64
import functools
import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slipway import tools
from slipway.errors import SlipwayError
from slipway.publish import registry

Json = Mapping[str, Any]
SIGN_BY_KEY = ("--use-signing-config=false", "--tlog-upload=false")  # no network but the registry
VERIFY_BY_KEY = "--insecure-ignore-tlog=true"  # accepts what is in no public log
PUBLIC_KEY = "SLIPWAY_PUBLIC_KEY"  # the variable that holds the public key of a private one
LARGEST = "512MB"  # of an attestation: the SBOM of a large image is larger than cosign's default
UNREAD = "Error fetching"  # what `cosign tree` says of what it could not read, although it succeeds
LAST_LINES = 4
# Variables that cosign does not get: all of its own but the key, its password and the token of a CI job.
SETTINGS = re.compile("COSIGN_(?!PASSWORD$|PKCS11_|.*KEY$)|SIGSTORE_(?!ID_TOKEN$)")
# The identity of a workflow that a release's tag starts: it differs in each release.
OF_RELEASE = re.compile(r"(.+@refs/tags/v)[0-9.]+")
# What cosign says of an image without what it is asked to verify.
NOTHING_FOUND = re.compile("no signatures found|no matching (signatures|attestations)|none of the attestations")


class UnsignedError(SlipwayError):
    """cosign found no signature or attestation of the signer."""


@dataclass(frozen=True)
class Signer:
    """The key or the identity that signs or verifies; `is_public`: the key is a public one, which verifies only."""

    key: str = ""
    identity: str = ""
    issuer: str = ""
    is_public: bool = False
    # What `list_signed` found: cosign reads all that is attached to an image each time.
    known: dict[str, list[tuple[str, Json]]] = field(default_factory=dict, compare=False, repr=False)

    def __str__(self) -> str:
        """Return its name in reports: that of the key, or the identity."""
        return f"key {self.key}" if self.key else f"{self.identity} by {self.issuer}"

    def sign(self, references: Iterable[str], annotations: Mapping[str, str]) -> None:
        """Sign manifests in a registry, given by their digests, with annotations that are part of what is signed."""
        self.known.clear()
        said = (f"--annotations={name}={value}" for name, value in annotations.items())
        run_cosign("sign", "--yes", *self.list_signing_arguments(), *said, *references)

    def attest(self, reference: str, predicate_type: str, predicate: bytes) -> None:
        """Sign a statement about an image."""
        self.known.clear()
        what = (f"--type={predicate_type}", "--predicate=-", reference)
        run_cosign("attest", "--yes", *self.list_signing_arguments(), *what, data=predicate)

    def list_signed(self, reference: str) -> list[tuple[str, Json]]:
        """Return what this signer has signed about a manifest: the type of the predicate, and the annotations.

        SlipwayError when the registry does not give all that is attached to it: cosign takes that for nothing.
        """
        if reference not in self.known:
            found = json.loads(self.verify("verify", reference) or "[]")
            # What is attached to it by anybody; cosign's error where some cannot be read.
            tree = run_cosign("tree", "--experimental-oci11", reference)
            if len(found) < len(attached := re.findall(r"(?m)^ .* (sha256:[0-9a-f]{64})$", tree)):
                for digest in attached:
                    registry.parse_repository(reference.partition("@")[0]).read_blob(digest)
                found = json.loads(self.verify("verify", reference) or "[]")
            self.known[reference] = [(each["critical"]["type"], each.get("optional") or {}) for each in found]
        return self.known[reference]

    def find_attestations(self, reference: str, predicate_type: str) -> list[Json]:
        """Return the predicates of one type that this signer has attested about an image."""
        envelopes = self.verify("verify-attestation", f"--type={predicate_type}", reference).splitlines()
        if len(envelopes) < sum(kind == predicate_type for kind, _ in self.list_signed(reference)):
            raise SlipwayError(f"the registry did not give all that is attached to {reference}; run this again")
        statements = (json.loads(base64.b64decode(json.loads(each)["payload"])) for each in envelopes)
        return [each["predicate"] for each in statements]

    def list_signing_arguments(self) -> tuple[str, ...]:
        """Return the arguments that sign."""
        return (f"--key={self.key}", *SIGN_BY_KEY) if self.key else ()

    def make_identity_argument(self) -> str:
        """Return the argument that verifies the identity; the same workflow of another release is the same signer."""
        if match := OF_RELEASE.fullmatch(self.identity):
            return f"--certificate-identity-regexp=^{re.escape(match[1])}[0-9.]+$"
        return f"--certificate-identity={self.identity}"

    def verify(self, command: str, *words: str) -> str:
        """Run a command of cosign that verifies; return its output, empty when it finds nothing of this signer."""
        who = (self.make_identity_argument(), f"--certificate-oidc-issuer={self.issuer}")
        if self.key:
            who = (f"--key={self.key if self.is_public else f'env://{PUBLIC_KEY}'}", VERIFY_BY_KEY)
        variables = {} if self.is_public or not self.key else {PUBLIC_KEY: read_public_key(self.key)}
        try:
            return run_cosign(command, *who, *words, variables=variables)
        except UnsignedError:
            return ""


@functools.cache
def read_public_key(key: str) -> str:
    """Return the public key of a private one."""
    return run_cosign("public-key", f"--key={key}")


@functools.cache
def provide_cosign() -> Path:
    """Return cosign's program as built from tools/: it gets the key."""
    return tools.provide_built("cosign")


def run_cosign(*arguments: str, data: bytes = b"", variables: Mapping[str, str] | None = None) -> str:
    """Run cosign and return its output; SlipwayError with its last lines when it fails."""
    passed = {name: value for name, value in os.environ.items() if not SETTINGS.match(name)}
    result = subprocess.run(
        [provide_cosign(), *arguments],
        # cosign asks for an unset password
        env={"COSIGN_PASSWORD": "", **passed, "COSIGN_MAX_ATTACHMENT_SIZE": LARGEST, **(variables or {})},
        input=data,
        capture_output=True,
        check=False,
    )
    told = result.stderr.decode(errors="replace")
    if not result.returncode and UNREAD not in told:
        return result.stdout.decode()
    message = "\n".join([f"cosign {arguments[0]} failed:", *told.strip().splitlines()[-LAST_LINES:]])
    if NOTHING_FOUND.search(told):
        raise UnsignedError(message)
    raise SlipwayError(message)
