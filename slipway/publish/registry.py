"""A small client of the OCI distribution API: the manifests, blobs, tags and referrers of one repository.

Tools that push (crane, oras, skopeo) repeat a write that failed, and do not report whether the first one arrived. To
move tags without overwriting a revision (slipway/publish/revisions.py) that must be known: here the write of a tag is
never repeated, and everything else, which is named by its digest, is. Each answer is compared with its digest.
Credentials are docker's, and no message shows them. HTTPS is required, except for a registry on this machine.
"""

import hashlib
import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, BinaryIO, cast
from urllib.parse import quote, urlencode, urljoin, urlsplit

from slipway.errors import SlipwayError
from slipway.publish import credentials

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_TYPES = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY = b"{}"
OK, CREATED, ACCEPTED, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, TOO_MANY = 200, 201, 202, 401, 403, 404, 429
TEMPORARY = (TOO_MANY, 500, 502, 503, 504)
WAITS = (0.5, 2.0, 5.0)  # seconds before each repetition of a request
LONGEST_WAIT = 60.0  # seconds, the most that a Retry-After is obeyed
TIMEOUT = 300.0  # seconds without a byte: some registries take minutes to store a large layer
MEMORY_LIMIT = 64 << 20  # bytes of a document: a manifest, a configuration, an SBOM
CHUNK = 1 << 20


class RegistryError(SlipwayError):
    """A registry refuses, fails, or gives a wrong answer."""


@dataclass(frozen=True)
class Descriptor:
    """The descriptor of a blob or manifest: its type, digest and size."""

    media_type: str
    digest: str
    size: int
    more: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return it as manifests have it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size, **self.more}


@dataclass(frozen=True)
class Manifest:
    """A manifest or an index, byte for byte."""

    content: bytes
    media_type: str = MANIFEST

    @property
    def digest(self) -> str:
        """Its digest."""
        return compute_digest(self.content)

    @property
    def json(self) -> dict[str, Any]:
        """Its content; RegistryError when that is no JSON object."""
        try:
            found = json.loads(self.content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise RegistryError(f"the manifest {self.digest} is no JSON object")
        return found

    @property
    def descriptor(self) -> Descriptor:
        """Its descriptor in another manifest."""
        return Descriptor(self.media_type, self.digest, len(self.content))


@dataclass(frozen=True)
class Answer:
    """A registry's answer; `body` is empty when it was passed to a sink."""

    status: int
    headers: Message
    body: bytes


def compute_digest(content: bytes) -> str:
    """Return the digest of some bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def make_descriptor(content: bytes, media_type: str) -> Descriptor:
    """Return the descriptor of some bytes."""
    return Descriptor(media_type, compute_digest(content), len(content))


def make_manifest(content: Mapping[str, Any], media_type: str = MANIFEST) -> Manifest:
    """Return the manifest with a content; the same content gives the same bytes."""
    text = json.dumps({"schemaVersion": 2, "mediaType": media_type, **content}, separators=(",", ":"))
    return Manifest(text.encode(), media_type)


def read_descriptor(row: object) -> Descriptor:
    """Return a descriptor of a manifest; RegistryError for an invalid one."""
    match row:
        case {"mediaType": str(kind), "digest": str(digest), "size": int(size)} if is_digest(digest):
            own = ("mediaType", "digest", "size")
            more = {key: value for key, value in cast("dict[str, Any]", row).items() if key not in own}
            return Descriptor(kind, digest, size, more)
    raise RegistryError("a manifest names something without a type, digest and size")


def is_digest(text: str) -> bool:
    """Tell whether a text is a SHA-256 digest."""
    return bool(re.fullmatch(r"sha256:[0-9a-f]{64}", text))


def is_loopback(address: str) -> bool:
    """Tell whether a URL is on this machine, where plain HTTP is safe."""
    name = urlsplit(address).hostname or ""
    return name in ("localhost", "::1") or name.startswith("127.")


class Redirection(urllib.request.HTTPRedirectHandler):
    """Follows a registry's redirection to its blobs; a HEAD stays a HEAD, which urllib would turn into a GET."""

    def redirect_request(self, *request: Any) -> urllib.request.Request | None:  # noqa: ANN401 - urllib's own
        """Return the redirected request; RegistryError for an address without TLS."""
        found = super().redirect_request(*request)
        if found is not None:
            require_tls(found.full_url)
            found.method = request[0].get_method()
        return found


def require_tls(url: str) -> None:
    """Raise RegistryError for an address that is neither HTTPS nor on this machine."""
    if not url.startswith("https://") and not (url.startswith("http://") and is_loopback(url)):
        host = urlsplit(url).hostname
        raise RegistryError(f"the registry redirects to {host}, an address without TLS; nothing is sent there")


class Registry:
    """One repository of a registry."""

    def __init__(self, host: str, name: str) -> None:
        self.host = host
        self.name = name
        self.credentials = credentials.find_credentials(host)
        api = "registry-1.docker.io" if host == "docker.io" else host
        scheme = "http" if is_loopback(f"//{host}") else "https"
        self.origin = f"{scheme}://{api}"
        self.base = f"{self.origin}/v2/{name}"
        self.authorization = ""
        self.written = 0  # the number of blobs, manifests and tags that were sent
        self.bytes_written = 0
        self._opener = urllib.request.build_opener(Redirection)

    def __str__(self) -> str:
        """Return the part of a reference before the tag."""
        return f"{self.host}/{self.name}"

    # --- manifests and tags ---

    def manifest(self, reference: str) -> Manifest | None:
        """Return a manifest by tag or digest, None without one.

        RegistryError when the registry fails, or when the content does not have the digest.
        """
        headers = {"Accept": ", ".join((MANIFEST, INDEX, *DOCKER_TYPES)), "Cache-Control": "no-cache"}
        answer = self.repeat("GET", self.url("manifests", reference), headers=headers)
        if answer.status == NOT_FOUND:
            return None
        self.require_status(answer, f"reading {reference}", OK)
        found = Manifest(answer.body, answer.headers.get_content_type())
        claimed = reference if is_digest(reference) else answer.headers.get("Docker-Content-Digest", found.digest)
        if found.digest != claimed:
            raise RegistryError(f"{self} answers {reference} with {found.digest}, and says that it is {claimed}")
        return found

    def require_manifest(self, reference: str) -> Manifest:
        """Return a manifest; RegistryError when it does not exist."""
        found = self.manifest(reference)
        if found is None:
            raise RegistryError(f"there is no {reference} in {self}")
        return found

    def digest(self, tag: str) -> str:
        """Return the digest of a tag, empty without such a tag."""
        found = self.manifest(tag)
        return found.digest if found else ""

    def put_manifest(self, manifest: Manifest) -> Answer:
        """Send a manifest by its digest, which overwrites nothing."""
        url = self.url("manifests", manifest.digest)
        answer = self.repeat("PUT", url, body=manifest.content, headers={"Content-Type": manifest.media_type})
        self.check_written(answer, manifest, manifest.digest)
        return answer

    def write_tag(self, tag: str, manifest: Manifest) -> None:
        """Point a tag at a manifest. Sent once: a write that failed may still arrive, so it is not repeated.

        RegistryError when it is uncertain that it was written.
        """
        headers = {"Content-Type": manifest.media_type}
        answer = self.exchange("PUT", self.url("manifests", tag), body=manifest.content, headers=headers)
        for wait in WAITS:
            if answer.status != TOO_MANY:  # a request that the registry has not processed
                break
            time.sleep(find_wait(answer, wait))
            answer = self.exchange("PUT", self.url("manifests", tag), body=manifest.content, headers=headers)
        self.check_written(answer, manifest, tag)

    def check_written(self, answer: Answer, manifest: Manifest, reference: str) -> None:
        """Raise RegistryError for an answer that does not confirm the manifest."""
        self.require_status(answer, f"writing {reference}", CREATED)
        said = answer.headers.get("Docker-Content-Digest", manifest.digest)
        if said != manifest.digest:
            raise RegistryError(f"{self} stored {manifest.digest} as {said}")
        self.written += 1
        self.bytes_written += len(manifest.content)

    def tags(self) -> list[str]:
        """Return the registry's list of tags, which may be old."""
        url = f"{self.base}/tags/list?n=1000"
        found: list[str] = []
        while url:
            answer = self.repeat("GET", url)
            if answer.status == NOT_FOUND:
                return found
            self.require_status(answer, "listing tags", OK)
            match self.parse(answer.body, "its list of tags"):
                case {"tags": list(tags)} if all(isinstance(tag, str) for tag in tags):
                    found += tags
                case {"tags": None}:
                    pass
                case _:
                    raise RegistryError(f"{self} lists its tags in an unknown form")
            url = self.find_next_page(answer, url)
        return found

    def find_next_page(self, answer: Answer, url: str) -> str:
        """Return the URL of a list's next page, empty at its end; RegistryError for another host."""
        link = re.match(r'<([^>]+)>;\s*rel="?next', answer.headers.get("Link", ""))
        following = urljoin(url, link[1]) if link else ""
        if following and (not self.is_own(following) or following == url):
            raise RegistryError(f"{self} continues a list on another host")
        return following

    # --- blobs ---

    def has_blob(self, blob: Descriptor) -> bool:
        """Tell whether the registry has a blob with its size."""
        answer = self.repeat("HEAD", self.url("blobs", blob.digest))
        if answer.status == NOT_FOUND:
            return False
        self.require_status(answer, f"looking for {blob.digest}", OK)
        return answer.headers.get("Content-Length") == str(blob.size)

    def blob(self, blob: Descriptor) -> bytes:
        """Return a blob that fits into memory, compared with its digest."""
        if not 0 <= blob.size <= MEMORY_LIMIT:
            raise RegistryError(f"{blob.digest} in {self} has {blob.size} bytes: too many for a document")
        answer = self.repeat("GET", self.url("blobs", blob.digest))
        self.require_status(answer, f"reading {blob.digest}", OK)
        if (len(answer.body), compute_digest(answer.body)) != (blob.size, blob.digest):
            raise RegistryError(f"{self} answers {blob.digest} with {compute_digest(answer.body)}")
        return answer.body

    def check_blob(self, blob: Descriptor) -> None:
        """Read a blob of any size and compare it with its digest, without storing it."""
        digests: list[Any] = []

        def start() -> Callable[[bytes], None]:
            digests.append(hashlib.sha256())
            return digests[-1].update  # type: ignore[no-any-return]

        answer = self.repeat("GET", self.url("blobs", blob.digest), sink=start, limit=blob.size)
        self.require_status(answer, f"reading {blob.digest}", OK)
        found = f"sha256:{digests[-1].hexdigest()}"
        if found != blob.digest:
            raise RegistryError(f"{self} answers {blob.digest} with {found}")

    def put_bytes(self, content: bytes, media_type: str) -> Descriptor:
        """Send a blob, unless the registry has it."""
        blob = make_descriptor(content, media_type)
        if not self.has_blob(blob):
            self.put_blob(blob, content)
        return blob

    def put_blob(self, blob: Descriptor, content: bytes | BinaryIO) -> None:
        """Send a blob, which the registry compares with its digest; RegistryError when that fails."""
        answer = self.upload(blob, content)
        for wait in WAITS:
            if answer is not None and answer.status not in TEMPORARY:
                break
            time.sleep(find_wait(answer, wait) if answer else wait)
            answer = self.upload(blob, content)
        if answer is None:
            raise RegistryError(f"{self} closes the connection each time {blob.digest} is sent; nothing was published")
        self.require_status(answer, f"writing {blob.digest}", CREATED)
        self.written += 1
        self.bytes_written += blob.size

    def upload(self, blob: Descriptor, content: bytes | BinaryIO) -> Answer | None:
        """Try once to send a blob; None when the connection broke."""
        try:
            answer = self.exchange("POST", f"{self.base}/blobs/uploads/", body=b"")
            if answer.status != ACCEPTED:
                return answer
            place = urljoin(f"{self.base}/", answer.headers.get("Location", ""))
            joint = "&" if urlsplit(place).query else "?"
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
            return self.exchange("PUT", f"{place}{joint}digest={quote(blob.digest)}", body=content, headers=headers)
        except Unreachable:
            return None

    # --- referrers ---

    def referrers(self, digest: str) -> list[Descriptor]:
        """Return the referrers of a manifest, by the referrers API, or by the fallback tag."""
        url = self.url("referrers", digest)
        rows: list[Descriptor] = []
        while url:
            answer = self.repeat("GET", url, headers={"Accept": INDEX})
            if answer.status == NOT_FOUND or answer.headers.get_content_type() != INDEX:
                index = self.manifest(make_fallback_tag(digest))
                return read_referrers(index) if index else []
            self.require_status(answer, f"listing what refers to {digest}", OK)
            rows += read_referrers(Manifest(answer.body, INDEX))
            url = self.find_next_page(answer, url)
        return rows

    def send_referrers(self, subject: Descriptor, manifests: list[Manifest]) -> None:
        """Send manifests that refer to a subject; RegistryError when the registry does not list them afterwards."""
        listed_by_itself = [bool(self.put_manifest(each).headers.get("OCI-Subject")) for each in manifests]
        if not all(listed_by_itself):
            for _ in WAITS:
                if self.add_referrers(subject.digest, manifests):
                    break
        found = {each.digest for each in self.referrers(subject.digest)}
        missing = [each.digest for each in manifests if each.digest not in found]
        if missing:
            raise RegistryError(f"{self} does not list what was attached to {subject.digest}: {', '.join(missing)}")

    def add_referrers(self, digest: str, manifests: list[Manifest]) -> bool:
        """Add referrers to the fallback tag of a registry without the API; tell whether they are listed afterwards.

        Another publisher may write the same tag at the same time, so it is read again.
        """
        tag = make_fallback_tag(digest)
        before = self.manifest(tag)
        rows = read_referrers(before) if before else []
        known = {row.digest for row in rows}
        rows += [make_referrer(each) for each in manifests if each.digest not in known]
        self.write_tag(tag, make_manifest({"manifests": [row.as_json() for row in rows]}, INDEX))
        after = {row.digest for row in read_referrers(self.require_manifest(tag))}
        return all(each.digest in after for each in manifests)

    # --- requests ---

    def url(self, kind: str, reference: str) -> str:
        """Return the URL of a manifest, a blob or a list of referrers."""
        return f"{self.base}/{kind}/{quote(reference, safe=':')}"

    def is_own(self, url: str) -> bool:
        """Tell whether a URL is the registry's own; credentials are sent only there."""
        return url.startswith(f"{self.origin}/")

    def repeat(self, method: str, url: str, **options: Any) -> Answer:  # noqa: ANN401 - exchange's own
        """Send a request that may be sent twice, until the registry answers it."""
        for wait in WAITS:
            try:
                answer = self.exchange(method, url, **options)
            except Unreachable:
                time.sleep(wait)
                continue
            if answer.status not in TEMPORARY:
                return answer
            time.sleep(find_wait(answer, wait))
        return self.exchange(method, url, **options)

    def exchange(self, method: str, url: str, **options: Any) -> Answer:  # noqa: ANN401 - send's own
        """Send a request once; again with an authorization if the registry asks for one."""
        answer = self.send(method, url, **options)
        if answer.status == UNAUTHORIZED and self.is_own(url):
            self.authorize(answer.headers.get("WWW-Authenticate", ""))
            answer = self.send(method, url, **options)
        return answer

    def send(  # noqa: PLR0913 - the parts of a request
        self,
        method: str,
        url: str,
        *,
        body: bytes | BinaryIO | None = None,
        headers: Mapping[str, str] | None = None,
        sink: Callable[[], Callable[[bytes], None]] | None = None,
        limit: int = MEMORY_LIMIT,
        authorization: str | None = None,
    ) -> Answer:
        """Send one request; Unreachable without a complete answer.

        `authorization` replaces the registry's, for the token server; it is not sent to a redirection.
        """
        require_tls(url)
        if body is not None and not isinstance(body, bytes):
            body.seek(0)
        request = urllib.request.Request(url, data=body, headers=dict(headers or {}), method=method)  # noqa: S310
        if authorization is None and self.is_own(url):
            authorization = self.authorization
        if authorization:
            request.add_unredirected_header("Authorization", authorization)
        try:
            with self.open(request) as response:
                return Answer(response.status, response.headers, self.read(response, sink, limit))
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            text = self.hide_secrets(str(reason) or type(reason).__name__)
            raise Unreachable(
                f"{self} does not answer: {text}; check the network, the proxy settings and the registry, then "
                "run this again"
            ) from None

    def open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """Return the response with any status."""
        try:
            return cast("http.client.HTTPResponse", self._opener.open(request, timeout=TIMEOUT))
        except urllib.error.HTTPError as error:
            return cast("http.client.HTTPResponse", error)

    def read(
        self, response: http.client.HTTPResponse, sink: Callable[[], Callable[[bytes], None]] | None, limit: int
    ) -> bytes:
        """Return the body, or pass its pieces to the sink; RegistryError for more bytes than the limit."""
        pieces: list[bytes] = []
        take = sink() if sink and response.status == OK else pieces.append
        left = max(limit, MEMORY_LIMIT) if take == pieces.append else limit
        while piece := response.read(CHUNK):
            left -= len(piece)
            if left < 0:
                raise RegistryError(f"{self} answers with too many bytes")
            take(piece)
        if response.length:  # urllib raises no error for a body that ends early
            raise http.client.IncompleteRead(b"", response.length)
        return b"".join(pieces)

    def require_status(self, answer: Answer, doing: str, status: int) -> None:
        """Raise RegistryError for another status."""
        if answer.status == status:
            return
        said = " ".join(self.hide_secrets(find_reason(answer.body)).split())[:200]
        reason = f"{answer.status} {http.client.responses.get(answer.status, '')} {said}".strip()
        if answer.status in (UNAUTHORIZED, FORBIDDEN):
            raise RegistryError(f"{doing} in {self} is not allowed ({reason}): docker login {self.host}")
        raise RegistryError(f"{doing} in {self} failed: {reason}")

    def parse(self, body: bytes, what: str) -> object:
        """Return a JSON document."""
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise RegistryError(f"{self}: {what} is no JSON") from None

    # --- authorization ---

    def authorize(self, challenge: str) -> None:
        """Set the authorization that the registry asks for: basic credentials, or a token of its token server."""
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "basic":
            if not self.credentials.password:
                raise RegistryError(f"{self.host} requires a login: docker login {self.host}")
            self.authorization = self.credentials.basic
        elif kind.lower() == "bearer":
            fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
            self.authorization = f"Bearer {self.token(fields)}"
        else:
            raise RegistryError(f"{self.host} asks for an unknown kind of authorization; is it a registry?")

    def token(self, fields: Mapping[str, str]) -> str:
        """Return a token for the scope that the registry asks for."""
        realm = fields.get("realm", "")
        if not realm.startswith("https://") and not is_loopback(realm):
            raise RegistryError(f"{self.host} asks for credentials at an address without TLS; they were not sent")
        wanted = {key: fields[key] for key in ("service", "scope") if key in fields}
        if self.credentials.identity_token:
            form = wanted | {"grant_type": "refresh_token", "client_id": "slipway"}
            body = urlencode(form | {"refresh_token": self.credentials.identity_token}).encode()
            answer = self.send("POST", realm, body=body, authorization="")
        else:
            login = self.credentials.basic if self.credentials.password else ""
            answer = self.send("GET", f"{realm}?{urlencode(wanted)}", authorization=login)
        self.require_status(answer, "logging in", OK)
        match self.parse(answer.body, "its answer to a login"):
            case {"token": str(token)} | {"access_token": str(token)} if token and token.isprintable():
                return token
        raise RegistryError(f"{self.host} gave no token: docker login {self.host}")

    def hide_secrets(self, text: str) -> str:
        """Remove every secret from a text of the registry or the system."""
        for secret in (*self.credentials.secrets, self.authorization.partition(" ")[2]):
            if secret:
                text = text.replace(secret, "***")
        return text


class Unreachable(RegistryError):  # noqa: N818 - a state, not a mistake
    """There was no complete answer; the request may have arrived or not."""


def parse_repository(text: str) -> Registry:
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
    return Registry(host, name)


def find_wait(answer: Answer, wait: float) -> float:
    """Return the seconds to wait: the registry's Retry-After up to LONGEST_WAIT, otherwise `wait`."""
    seconds = answer.headers.get("Retry-After", "")
    return min(float(seconds), LONGEST_WAIT) if re.fullmatch(r"\d{1,6}", seconds) else wait


def find_reason(body: bytes) -> str:
    """Return the registry's error message, empty without one."""
    try:
        error = json.loads(body)["errors"][0]
        text = f"{error.get('code', '')}: {error.get('message', '')}"
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""
    return "".join(character for character in text if character.isprintable())


def make_fallback_tag(digest: str) -> str:
    """Return the tag that lists referrers in a registry without the API."""
    return digest.replace(":", "-")


def read_referrers(index: Manifest) -> list[Descriptor]:
    """Return the descriptors in a list of referrers."""
    rows = index.json.get("manifests")
    if not isinstance(rows, list):
        raise RegistryError("a list of referrers has no manifests")
    return [read_descriptor(row) for row in rows]


def make_referrer(manifest: Manifest) -> Descriptor:
    """Return the descriptor of a manifest for a list of referrers."""
    said = manifest.json
    more: dict[str, Any] = {key: said[key] for key in ("artifactType", "annotations") if key in said}
    return Descriptor(manifest.media_type, manifest.digest, len(manifest.content), more)


def list_children(manifest: Manifest) -> Iterator[Descriptor]:
    """Yield the manifests of an index; none for an image."""
    yield from (read_descriptor(row) for row in manifest.json.get("manifests") or ())
