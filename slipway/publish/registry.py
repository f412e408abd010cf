"""A repository of a registry, read and written by crane: its manifests, tags, blobs.

Logins, redirects, retries, proxies and the scopes of tokens are crane's; it reads docker's own logins. Its exit code
does not say why it failed, so a tag counts as absent only where the registry itself says so.
"""

import functools
import hashlib
import io
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from slipway import tools
from slipway.errors import SlipwayError
from slipway.image.oci_manifest import parse_document

# The codes of the distribution specification for a tag and for a repository that do not exist. crane prints the code
# of a registry's answer between colons.
ABSENT = re.compile(r": (MANIFEST_UNKNOWN|NAME_UNKNOWN): ")
SECONDS = 300  # for an answer without blobs; an endless list of tags ends here, too
LAST_LINES = 3


class RegistryError(SlipwayError):
    """The registry did not do what was asked, or is in another state than it should be."""


@dataclass(frozen=True)
class Manifest:
    """A manifest of an image or an index, as its bytes."""

    content: bytes

    @property
    def digest(self) -> str:
        """The digest of its bytes."""
        return compute_digest(self.content)

    @functools.cached_property
    def json(self) -> Mapping[str, Any]:
        """Its content; SlipwayError when it is no JSON object."""
        return parse_document(self.content, f"the manifest {self.digest}")

    @property
    def is_index(self) -> bool:
        """Whether it lists the manifests of several platforms."""
        return "manifests" in self.json

    @property
    def children(self) -> list[str]:
        """The digests of the manifests that an index lists."""
        return self.list_digests(self.json.get("manifests"))

    @property
    def configuration(self) -> str:
        """The digest of an image's configuration."""
        return self.list_digests([self.json.get("config")])[0]

    @property
    def layers(self) -> list[str]:
        """The digests of an image's layers, the lowest first."""
        return self.list_digests(self.json.get("layers"))

    def list_digests(self, rows: object) -> list[str]:
        """Return the digests of descriptors; RegistryError for anything else."""
        match rows:
            case list() if all(isinstance(row, dict) and is_digest(row.get("digest")) for row in rows):
                return [str(row["digest"]) for row in rows]
        raise RegistryError(f"the manifest {self.digest} is malformed: {rows!r:.80} should be descriptors")


def compute_digest(content: bytes) -> str:
    """Return the digest of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def is_digest(text: object) -> bool:
    """Tell whether a text is a digest."""
    return isinstance(text, str) and re.fullmatch(r"sha256:[0-9a-f]{64}", text) is not None


@dataclass(frozen=True)
class Repository:
    """A repository, HOST/NAME."""

    name: str

    def __str__(self) -> str:
        """Return its name."""
        return self.name

    def refer(self, reference: str) -> str:
        """Return the name of a tag or a digest in it."""
        return f"{self.name}{'@' if is_digest(reference) else ':'}{reference}"

    def find_manifest(self, reference: str) -> Manifest | None:
        """Return the manifest of a tag or digest, None where the registry says that there is none.

        RegistryError when it has another digest than it was asked for by.
        """
        result = call_crane("manifest", self.refer(reference))
        if result.returncode and ABSENT.search(result.stderr.decode(errors="replace")):
            return None
        manifest = Manifest(read_output(result))
        if is_digest(reference) and manifest.digest != reference:
            raise RegistryError(f"{self} answers {reference} with {manifest.digest}")
        return manifest

    def require_manifest(self, reference: str) -> Manifest:
        """Return the manifest of a tag or digest; RegistryError without one."""
        found = self.find_manifest(reference)
        if found is None:
            raise RegistryError(f"{self.refer(reference)} does not exist")
        return found

    def find_digest(self, tag: str) -> str:
        """Return the digest of a tag, empty without such a tag."""
        found = self.find_manifest(tag)
        return found.digest if found else ""

    def list_tags(self) -> list[str]:
        """Return the tags of the repository; a registry may have an old list."""
        result = call_crane("ls", self.name)
        if result.returncode and ABSENT.search(result.stderr.decode(errors="replace")):
            return []
        return read_output(result).decode(errors="replace").split()

    def push(self, layout: Path, reference: str, *, is_index: bool = False) -> None:
        """Send the image of an OCI layout, or the layout's index; blobs that are there are not sent."""
        kind = ("--index",) if is_index else ()
        read_output(call_crane("push", *kind, str(layout), self.refer(reference), seconds=None))

    def copy_from(self, source: str, digest: str) -> None:
        """Copy a manifest with all that it needs from another repository, given by its digest."""
        read_output(call_crane("copy", source, self.refer(digest), seconds=None))

    def write_tag(self, tag: str, digest: str) -> None:
        """Let a tag point at a manifest."""
        read_output(call_crane("tag", self.refer(digest), tag))

    def read_blob(self, digest: str) -> bytes:
        """Return a blob that fits into memory; RegistryError when it is not what its digest says."""
        content = read_output(call_crane("blob", self.refer(digest)))
        if compute_digest(content) != digest:
            raise RegistryError(f"{self} answers {digest} with {compute_digest(content)}")
        return content

    @contextmanager
    def open_blob(self, digest: str) -> Iterator[io.BufferedReader]:
        """Open a blob as a stream; RegistryError at the end when it is not what its digest says."""
        command = [str(provide_crane()), "blob", self.refer(digest)]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            yield cast("io.BufferedReader", process.stdout)
            errors = cast("BinaryIO", process.stderr).read()
        read_output(subprocess.CompletedProcess(command, process.returncode, b"", errors))


@functools.cache
def provide_crane() -> Path:
    """Return crane's program as built from tools/: it gets the registry's login."""
    return tools.provide_built("crane")


def call_crane(*arguments: str, seconds: float | None = SECONDS) -> subprocess.CompletedProcess[bytes]:
    """Run crane and return its outcome, whatever its exit code; RegistryError when it takes too long."""
    command = [str(provide_crane()), *arguments]
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise RegistryError(f"crane {arguments[0]} took more than {seconds:.0f} s; the registry does not end") from None


def read_output(result: subprocess.CompletedProcess[bytes]) -> bytes:
    """Return the output of crane; RegistryError with its last lines when it failed."""
    if not result.returncode:
        return result.stdout
    lines = result.stderr.decode(errors="replace").strip().splitlines()[-LAST_LINES:]
    text = "\n".join("".join(character for character in line if character.isprintable()) for line in lines)
    hint = ": docker login HOST" if re.search(r"UNAUTHORIZED|DENIED|401|403", text) else ""
    raise RegistryError(f"the registry did not do `crane {result.args[1]}`{hint}\n{text}")


def parse_repository(text: str) -> Repository:
    """Return the repository of `HOST/NAME`; SlipwayError for a wrong name, without showing a password."""
    host, _, name = text.partition("/")
    if "@" in text or "://" in text:
        raise SlipwayError("name the registry as HOST/NAME, without https:// and without a login: docker login HOST")
    part = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
    is_host = re.fullmatch(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9a-f:]+\](:\d+)?", host)
    if not is_host or not (set(".:") & set(host) or host == "localhost"):
        raise SlipwayError(f"{text!r} names no registry's host; write HOST/NAME, such as docker.io/team/slipway")
    if not re.fullmatch(rf"{part}(/{part})*", name):
        raise SlipwayError(f"{text!r}: the name after the host is lower-case letters, digits and . _ - between them")
    return Repository(text)
