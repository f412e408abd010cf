"""The client of the distribution API: what it repeats, what it believes, whom it tells docker's login."""

import base64
import json
import uuid
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from slipway.errors import SlipwayError
from slipway.publish import credentials, registry
from slipway.publish.registry import EMPTY, EMPTY_TYPE, Descriptor, Registry, RegistryError
from tests.integration.registries import Fault, Proxy, Reply, Request, running_registry

SECRET = "correct-horse"  # noqa: S105 - made up


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real registry."""
    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture
def proxy(upstream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy before it, for a client that does not wait long and knows no login."""
    monkeypatch.setattr(registry, "WAITS", (0.0, 0.01, 0.02))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with Proxy(upstream) as running:
        yield running


@pytest.fixture
def repository(proxy: Proxy) -> Registry:
    """An unused repository."""
    return Registry(proxy.host, f"team/{uuid.uuid4().hex}")


def answer(content: object, **headers: str) -> Fault:
    """Return what the registry says instead of its own answer."""
    return Fault(
        status=200, headers=headers, body=content if isinstance(content, bytes) else json.dumps(content).encode()
    )


# --- blobs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault(status=500), Fault(cut=True), Fault(cut=True, late=True), Fault(status=429)])
@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT"])
def test_a_blob_arrives_in_spite_of_a_fault(proxy: Proxy, repository: Registry, method: str, fault: Fault) -> None:
    """Its name is its digest, so it may be sent again."""
    content = uuid.uuid4().bytes * 1000
    proxy.fail(method, "/blobs/", fault, times=2)
    blob = repository.put_bytes(content, "text/plain")
    assert repository.blob(blob) == content
    repository.check_blob(blob)


def test_a_blob_that_never_arrives_is_an_error(proxy: Proxy, repository: Registry) -> None:
    """After a few attempts."""
    proxy.fail("PUT", "/blobs/", Fault(cut=True))
    with pytest.raises(RegistryError, match="closes the connection each time sha256:"):
        repository.put_bytes(b"content", "text/plain")
    assert len(proxy.written()) == 8


def test_an_answer_that_ends_early_is_asked_for_again(proxy: Proxy, repository: Registry) -> None:
    """Half a blob is not taken for a short one."""
    blob = repository.put_bytes(b"content" * 100, "text/plain")

    def half(reply: Reply) -> Reply:
        return Reply(reply.status, reply.headers | {"Content-Length": "700", "Connection": "close"}, reply.body[:300])

    proxy.fail("GET", "/blobs/", Fault(change=half), times=2)
    assert len(repository.blob(blob)) == 700
    proxy.fail("GET", "/blobs/", Fault(change=half))
    with pytest.raises(RegistryError, match="does not answer: IncompleteRead"):
        repository.check_blob(blob)


def test_more_bytes_than_a_blob_has_are_not_read(proxy: Proxy, repository: Registry) -> None:
    """Neither an endless answer nor a size that fits no memory."""
    blob = repository.put_bytes(b"content", "text/plain")
    proxy.fail("GET", "/blobs/", answer(b"content" * 1000))
    with pytest.raises(RegistryError, match="too many bytes"):
        repository.check_blob(blob)
    with pytest.raises(RegistryError, match="too many for a document"):
        repository.blob(Descriptor("text/plain", blob.digest, 10**12))


def test_a_blob_of_another_size_is_not_there(proxy: Proxy, repository: Registry) -> None:
    """Who says that it has it must say how much."""
    blob = repository.put_bytes(b"content", "text/plain")
    assert repository.has_blob(blob)
    proxy.fail("HEAD", "/blobs/", Fault(status=200, headers={"Content-Length": "6"}))
    assert not repository.has_blob(blob)


# --- manifests, tags and referrers ---------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b"[" * 100_000, {"manifests": [{"digest": "sha256:1"}]}, {"manifests": [1]}, {"manifests": 1}],
    ids=["empty", "list", "half", "deep", "no digest", "no row", "no list"],
)
def test_an_index_that_is_none_is_an_error(proxy: Proxy, repository: Registry, content: object) -> None:
    """What a registry answers may be anything."""
    proxy.fail("GET", "/referrers/", answer(content, **{"Content-Type": registry.INDEX}))
    with pytest.raises(RegistryError):
        repository.referrers("sha256:" + "1" * 64)


@pytest.mark.parametrize("content", [b"", [], {}, {"tags": "x"}, {"tags": [1]}, b"[" * 100_000])
def test_a_list_of_tags_that_is_none_is_an_error(proxy: Proxy, repository: Registry, content: object) -> None:
    """It is not taken for an empty one."""
    proxy.fail("GET", "/tags/list", answer(content))
    with pytest.raises(RegistryError):
        repository.tags()


def test_a_long_list_of_tags_is_read_to_its_end(proxy: Proxy, repository: Registry) -> None:
    """Page by page; a page elsewhere is not asked for."""

    def first(request: Request) -> Fault | None:
        if "last=b" in request.path:
            return answer({"tags": ["c"]})
        link = f'</v2/{repository.name}/tags/list?last=b>; rel="next"'
        return answer({"tags": ["a", "b"]}, Link=link) if "/tags/list" in request.path else None

    proxy.rules.append(first)
    assert repository.tags() == ["a", "b", "c"]
    proxy.rules.clear()
    proxy.fail("GET", "/tags/list", answer({"tags": ["a"]}, Link='<http://127.0.0.1:1/v2/x/tags/list>; rel="next"'))
    with pytest.raises(RegistryError, match="continues a list on another host"):
        repository.tags()


@pytest.mark.parametrize("api", [False, True])
def test_two_that_attach_at_once_are_both_listed(proxy: Proxy, repository: Registry, *, api: bool) -> None:
    """Where a registry has no API for referrers, another publisher may write the list in between."""
    proxy.referrers = api
    repository.put_bytes(EMPTY, EMPTY_TYPE)
    empty = registry.make_descriptor(EMPTY, EMPTY_TYPE).as_json()
    subject = registry.make_manifest({"config": empty, "layers": [empty]})
    repository.put_manifest(subject)

    def artifact(name: str) -> registry.Manifest:
        return registry.make_manifest(
            {"artifactType": name, "config": empty, "layers": [empty], "subject": subject.descriptor.as_json()}
        )

    other = Registry(proxy.host, repository.name)
    done: list[Request] = []

    def interfere(request: Request) -> Fault | None:
        if request.method == "PUT" and request.path.endswith(registry.make_fallback_tag(subject.digest)) and not done:
            done.append(request)
            other.send_referrers(subject.descriptor, [artifact("test/other")])
        return None

    proxy.rules.append(interfere)
    repository.send_referrers(subject.descriptor, [artifact("test/own")])
    other.send_referrers(subject.descriptor, [artifact("test/other")])
    found = {str(row.more["artifactType"]) for row in repository.referrers(subject.digest)}
    assert found == {"test/own", "test/other"}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(status=403), r"is not allowed \(403 Forbidden\): docker login 127"),
        (Fault(status=500, body=b"<html>"), "failed: 500 Internal Server Error$"),
        (
            Fault(status=400, body=b'{"errors": [{"code": "NAME", "message": "a\x1b[2Jb\\u001b[2J"}]}'),
            "failed: 400 Bad Request",
        ),
        (Fault(status=400, body=b'{"errors": [{"code": "NAME", "message": "a\\u001b[2Jb"}]}'), r"NAME: a\[2Jb$"),
        (Fault(cut=True), "does not answer: "),
    ],
)
def test_an_error_says_what_where_and_what_to_do(proxy: Proxy, repository: Registry, fault: Fault, reason: str) -> None:
    """With the registry's own words, without its control characters."""
    proxy.fail("GET", "latest", fault)
    with pytest.raises(RegistryError, match=reason) as error:
        repository.manifest("latest")
    assert proxy.host in str(error.value)
    assert "\x1b" not in str(error.value)


def test_a_registry_may_ask_to_wait_but_not_for_ever() -> None:
    """A day is not waited."""
    reply = registry.Answer(429, Message(), b"")
    reply.headers["Retry-After"] = "86400"
    assert registry.find_wait(reply, 1.0) == registry.LONGEST_WAIT
    del reply.headers["Retry-After"]
    reply.headers["Retry-After"] = "soon"
    assert registry.find_wait(reply, 1.0) == 1.0


def test_nothing_is_sent_where_nobody_encrypts(proxy: Proxy, repository: Registry) -> None:
    """A registry that wants a blob put elsewhere."""
    proxy.fail("POST", "/uploads/", Fault(status=202, headers={"Location": "http://elsewhere.example.com/put"}))
    with pytest.raises(RegistryError, match="an address without TLS; nothing is sent there"):
        repository.put_bytes(b"content", "text/plain")


# --- docker's login ------------------------------------------------------------------------------


def log_in(folder: Path, **settings: object) -> None:
    """Write docker's configuration."""
    (folder / "config.json").write_text(json.dumps(settings))


def login(password: str = SECRET) -> dict[str, str]:
    """Return what docker keeps of a login."""
    return {"auth": base64.b64encode(f"me:{password}".encode()).decode()}


def test_a_redirection_does_not_take_the_login_along(proxy: Proxy, upstream: str, tmp_path: Path) -> None:
    """Registries keep blobs elsewhere, and that place has no business with it."""
    log_in(tmp_path, auths={proxy.host: login()})
    repository = Registry(proxy.host, f"team/{uuid.uuid4().hex}")
    repository.authorization = repository.credentials.basic
    blob = repository.put_bytes(b"content", "text/plain")
    with Proxy(upstream) as elsewhere:
        place = f"http://{elsewhere.host}/v2/{repository.name}/blobs/{blob.digest}"
        proxy.fail("GET", "/blobs/", Fault(status=307, headers={"Location": place}))
        assert repository.blob(blob) == b"content"
        assert [request.authorization for request in elsewhere.requests] == [""]
    assert proxy.requests[-1].authorization == repository.credentials.basic


def test_looking_for_a_blob_that_is_kept_elsewhere_reads_none_of_it(proxy: Proxy, upstream: str) -> None:
    """And a place without TLS is not gone to."""
    repository = Registry(proxy.host, f"team/{uuid.uuid4().hex}")
    blob = repository.put_bytes(b"content", "text/plain")
    with Proxy(upstream) as elsewhere:
        place = f"http://{elsewhere.host}/v2/{repository.name}/blobs/{blob.digest}"
        proxy.fail("HEAD", "/blobs/", Fault(status=307, headers={"Location": place}))
        assert repository.has_blob(blob)
        assert [request.method for request in elsewhere.requests] == ["HEAD"]
    proxy.fail("GET", "/blobs/", Fault(status=307, headers={"Location": "http://elsewhere.example.com/blob"}))
    with pytest.raises(RegistryError, match=r"redirects to elsewhere\.example\.com, an address without TLS"):
        repository.blob(blob)


def test_an_upload_elsewhere_does_not_get_the_login(proxy: Proxy, upstream: str, tmp_path: Path) -> None:
    """Only the registry itself does."""
    log_in(tmp_path, auths={proxy.host: login()})
    repository = Registry(proxy.host, f"team/{uuid.uuid4().hex}")
    repository.authorization = repository.credentials.basic
    with Proxy(upstream) as elsewhere:

        def move(reply: Reply) -> Reply:
            reply.headers["Location"] = reply.headers["Location"].replace(proxy.host, elsewhere.host)
            return reply

        proxy.fail("POST", "/uploads/", Fault(change=move))
        repository.put_bytes(b"content", "text/plain")
        assert [request.authorization for request in elsewhere.requests] == [""]


def test_an_identity_token_is_exchanged(proxy: Proxy, tmp_path: Path) -> None:
    """What docker keeps for registries that give it one."""
    log_in(tmp_path, auths={proxy.host: {"identitytoken": SECRET}})
    bodies: list[dict[str, list[str]]] = []
    proxy.bodies = lambda request, body: bodies.append(parse_qs(body.decode())) if request.path == "/token" else None
    challenge = f'Bearer realm="http://{proxy.host}/token",service="s",scope="x"'

    def rule(request: Request) -> Fault | None:
        if request.path == "/token":
            return answer({"access_token": "short-lived"})
        if request.authorization != "Bearer short-lived":
            return Fault(status=401, headers={"WWW-Authenticate": challenge})
        return None

    proxy.rules.append(rule)
    assert Registry(proxy.host, "team/x").manifest("latest") is None
    assert bodies[0]["refresh_token"] == [SECRET]
    assert bodies[0]["scope"] == ["x"]


@pytest.mark.parametrize(
    ("challenge", "reason"),
    [
        ("", "asks for an unknown kind of authorization"),
        ("Negotiate", "asks for an unknown kind of authorization"),
        ('Bearer realm="http://127.0.0.1:1/token"', "does not answer"),
        ('Bearer realm="ftp://elsewhere/token"', "they were not sent"),
        ("Bearer", "they were not sent"),
    ],
)
def test_a_challenge_that_cannot_be_met_is_an_error(
    proxy: Proxy, repository: Registry, challenge: str, reason: str
) -> None:
    """Once, and not for ever."""
    proxy.fail("GET", "", Fault(status=401, headers={"WWW-Authenticate": challenge}))
    with pytest.raises(RegistryError, match=reason):
        repository.manifest("latest")


@pytest.mark.parametrize("content", [b"", b"{", {}, {"token": ""}, {"token": "a\nb"}, [1]])
def test_a_token_that_is_none_is_an_error(proxy: Proxy, repository: Registry, content: object) -> None:
    """It would become a header."""
    proxy.fail("GET", "/token", answer(content))
    challenge = f'Bearer realm="http://{proxy.host}/token"'
    proxy.fail("GET", "/v2/", Fault(status=401, headers={"WWW-Authenticate": challenge}))
    with pytest.raises(RegistryError):
        repository.manifest("latest")


@pytest.mark.parametrize("host", ["docker.io", "registry-1.docker.io"])
def test_docker_hub_has_a_name_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """docker keeps its login under an old address."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    log_in(tmp_path, auths={credentials.HUB: login()})
    assert credentials.find_credentials(host).password == SECRET
    assert credentials.find_credentials("quay.io").password == ""


def test_a_helper_that_knows_nothing_leaves_it_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As docker does; a helper that fails in another way is an error that shows nothing."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    helper = tmp_path / "docker-credential-test"
    helper.write_text("#!/bin/sh\necho credentials not found in native keychain\nexit 1\n")
    helper.chmod(0o755)
    log_in(tmp_path, credsStore="test", auths={"quay.io": login()})
    assert credentials.find_credentials("quay.io").password == SECRET
    helper.write_text(f"#!/bin/sh\necho {SECRET}\nexit 1\n")
    with pytest.raises(SlipwayError, match=r"docker-credential-test gave no login for quay\.io") as error:
        credentials.find_credentials("quay.io")
    assert SECRET not in str(error.value)
    helper.unlink()
    with pytest.raises(SlipwayError, match="does not answer; install it"):
        credentials.find_credentials("quay.io")


@pytest.mark.parametrize("text", ["{", '{"auths": {"quay.io": {"auth": "%%%"}}}', "\xff"])
def test_a_damaged_configuration_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """It says which file, and shows none of it."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(SlipwayError, match=r"config\.json") as error:
        credentials.find_credentials("quay.io")
    assert "%%%" not in str(error.value)


def test_a_login_is_not_in_what_python_shows_of_it() -> None:
    """A traceback of a developer's shows no password."""
    assert SECRET not in repr(credentials.Credentials("me", SECRET, SECRET))
