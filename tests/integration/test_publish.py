"""Publishing to a real registry: what goes up, what is refused, what an unchanged image costs, what is verified."""

import base64
import itertools
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from slipway import repository, results, sbom
from slipway.errors import SlipwayError
from slipway.publish import attachments, publish, registry, revisions, signing, verify
from slipway.publish.registry import Registry
from tests.integration.publications import Workshop, docker, git, workshop
from tests.integration.registries import Fault, Proxy, Reply, Request, running_registry

KINDS = attachments.TYPES.values()
PASSWORD = "of-the-signing-key"  # noqa: S105 - of a key that is made here


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real registry."""
    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cosign key and another one."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("cosign", "other"):
        command = [str(signing.provide_cosign()), "generate-key-pair", f"--output-key-prefix={name}"]
        subprocess.run(
            command, cwd=folder, env={**os.environ, "COSIGN_PASSWORD": PASSWORD}, capture_output=True, check=True
        )
    return folder


@pytest.fixture
def proxy(upstream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy before it; the client waits less, and knows no login and no layer of earlier."""
    monkeypatch.setattr(registry, "WAITS", (0.0, 0.01, 0.02))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COSIGN_PASSWORD", PASSWORD)
    signing.provide_cosign()  # found while the cache is the user's
    with Proxy(upstream) as running:
        yield running


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    """A repository whose images are made in an instant."""
    with workshop(tmp_path / "repository", monkeypatch) as made:
        yield made


@pytest.fixture
def target(proxy: Proxy) -> str:
    """An unused HOST/NAME."""
    return f"{proxy.host}/team/{uuid.uuid4().hex}"


@pytest.fixture
def unsigned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take cosign out, for what is not about signatures."""
    monkeypatch.setattr(signing, "run_cosign", lambda *_: "")


@pytest.fixture
def run(target: str, keys: Path) -> Callable[..., int]:
    """Call the program."""

    def call(*words: str, key: str = "cosign.key") -> int:
        return publish.main([f"--registry={target}", f"--key={keys / key}", *words])

    return call


def open_registry(target: str) -> Registry:
    """Return a client."""
    return registry.parse_repository(target)


# --- the whole way -------------------------------------------------------------------------------


@pytest.mark.parametrize("referrers", [False, True])
@pytest.mark.requirement("A5", "V5", "U11")
def test_an_image_goes_up_with_all_that_belongs_to_it(  # noqa: PLR0913 - fixtures
    shop: Workshop,
    run: Callable[..., int],
    proxy: Proxy,
    target: str,
    capsys: pytest.CaptureFixture[str],
    *,
    referrers: bool,
) -> None:
    """Also where the registry has no API for referrers; the engine pulls it under the ID that was tested."""
    proxy.referrers = referrers
    image = shop.make("cuda-base")
    assert run("cuda-base") == 0
    there = open_registry(target)
    names = ["0.1.0-cuda13.0-base-r1", "0.1.0-cuda13.0-base", "latest-base", "0.1.0", "latest"]
    digests = {there.digest(tag) for tag in names}
    assert len(digests) == 1
    digest = digests.pop()
    found = attachments.find_attached(there, digest, *KINDS)
    assert set(found) == set(attachments.TYPES.values())
    layers = there.require_manifest("latest").json["layers"]
    assert [layer["mediaType"] for layer in layers] == ["application/vnd.oci.image.layer.v1.tar+zstd"] * 2
    record = results.read_json(image.results / "publish.json")
    assert (record["verdict"], record["digest"], record["revision"]) == ("published", digest, 1)
    tests = attachments.read_document(there, found[attachments.TYPES["tests.json"]][0])
    assert (tests["passed"], tests["not run"]) == (2, {"no GPU on this host": 1})
    assert "the-builders-machine" not in json.dumps(tests)
    docker("image", "rm", "--force", image.tag)
    docker("pull", "--quiet", f"{target}:latest")
    pulled = subprocess.check_output(["docker", "image", "inspect", "--format={{.Id}}", f"{target}:latest"], text=True)
    docker("image", "rm", "--force", f"{target}:latest")
    assert pulled.strip() == record["image"]
    capsys.readouterr()
    assert run("--verify", "0.1.0-cuda13.0-base", "latest", key="cosign.pub") == 0
    told = capsys.readouterr().out
    assert told.count(digest) == 2
    assert "sbom.cdx.json, sbom.spdx.json, provenance.json, tests.json, audit.json, scan.json" in told


@pytest.mark.requirement("U11")
def test_provenance_says_how_it_was_built(shop: Workshop, run: Callable[..., int], target: str, unsigned: None) -> None:
    """The commit, the Dockerfile and the locks by digest, the arguments, the base."""
    shop.make("cuda-base")
    run("cuda-base")
    there = open_registry(target)
    digest = there.digest("latest")
    (artifact,) = attachments.find_attached(there, digest, *KINDS)[attachments.TYPES["provenance.json"]]
    said = attachments.read_document(there, artifact)
    assert said["subject"] == [{"name": target, "digest": {"sha256": digest.removeprefix("sha256:")}}]
    build = said["predicate"]["buildDefinition"]
    assert build["externalParameters"]["session"] == "build -- cuda-base"
    assert build["externalParameters"]["arguments"] == {"CUDA_VERSION": "13.0"}
    source, base, *files = build["resolvedDependencies"]
    assert source["digest"] == {"gitCommit": shop.commit}
    assert base["digest"] == {"sha256": "5" * 64}
    assert [file["name"] for file in files] == ["Dockerfile.cuda", "images.toml", "requirements/cuda13.0-base.txt"]
    assert (
        files[0]["digest"]["sha256"]
        == subprocess.check_output(["sha256sum", repository.ROOT / "Dockerfile.cuda"], text=True).split()[0]
    )
    assert said["predicate"]["runDetails"]["metadata"]["startedOn"] == "2026-11-21T11:59:56Z"


@pytest.mark.requirement("V5")
def test_an_unchanged_image_sends_nothing(
    shop: Workshop,
    run: Callable[..., int],
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is not saved again either; the same without the record of the first time. `bench` has the seconds."""
    image = shop.make("cuda-base")
    run("cuda-base")
    proxy.requests.clear()
    monkeypatch.setattr("slipway.docker.save", lambda *_: pytest.fail("it was saved again"))
    assert run("cuda-base") == 0
    assert proxy.written() == []
    assert "is published already, nothing sent" in capsys.readouterr().out
    (image.results / "publish.json").unlink()
    assert run("cuda-base") == 0
    assert proxy.written() == []


def test_new_evidence_of_an_unchanged_image_is_attached(
    shop: Workshop, run: Callable[..., int], target: str, unsigned: None
) -> None:
    """Its digest and its revision stay."""
    image = shop.make("cuda-base")
    run("cuda-base")
    shop.change(image, "scan.json", finished="2026-12-24T12:00:00+00:00")
    run("cuda-base")
    there = open_registry(target)
    assert not there.digest("0.1.0-cuda13.0-base-r2")
    found = attachments.find_attached(there, there.digest("latest"), *KINDS)
    assert [len(found[kind]) for kind in attachments.TYPES.values()] == [1, 1, 1, 1, 1, 2]


@pytest.mark.requirement("V5")
def test_a_changed_image_is_the_next_revision_and_sends_only_what_is_new(
    shop: Workshop, run: Callable[..., int], proxy: Proxy, target: str, unsigned: None
) -> None:
    """Its unchanged layer is not compressed and not sent again; the revision before stays."""
    shop.make("cuda-base")
    run("cuda-base")
    there = open_registry(target)
    first = there.require_manifest("latest")
    proxy.requests.clear()
    shop.make("cuda-base", content="2")
    run("cuda-base")
    second = there.require_manifest("latest")
    assert there.digest("0.1.0-cuda13.0-base-r1") == first.digest
    assert there.digest("0.1.0-cuda13.0-base-r2") == second.digest
    assert first.json["layers"][0] == second.json["layers"][0]
    assert first.json["layers"][1] != second.json["layers"][1]
    sent = {request.path.rpartition("digest=")[2] for request in proxy.written() if "digest=" in request.path}
    assert second.json["layers"][1]["digest"].replace(":", "%3A") in sent
    assert first.json["layers"][0]["digest"].replace(":", "%3A") not in sent


@pytest.mark.requirement("A5")
def test_latest_never_goes_back_to_an_earlier_release(
    shop: Workshop, run: Callable[..., int], target: str, unsigned: None
) -> None:
    """A correction of 0.1 after 0.2: its own tags move, those of 0.2 and `latest` do not."""
    version = "org.opencontainers.image.version"
    shop.make("cuda-base", content="2", **{version: "0.2.0"})
    run("cuda-base")
    shop.make("cuda-base", content="1", **{version: "0.1.7"})
    run("cuda-base")
    there = open_registry(target)
    assert there.digest("latest") == there.digest("0.2") == there.digest("0.2.0-cuda13.0-base-r1")
    assert (
        there.digest("0.1.7") == there.digest("0.1") == there.digest("0.1.7-cuda13.0-base-r1") != there.digest("latest")
    )


def test_two_platforms_become_one_index(shop: Workshop, run: Callable[..., int], target: str, unsigned: None) -> None:
    """Each has its own evidence, and neither is published in the other's place."""
    shop.make("cpu-base")
    shop.make("cpu-base-arm64")
    run("cpu-base", "cpu-base-arm64")
    there = open_registry(target)
    index = there.require_manifest("0.1.0-cpu-base-r1")
    rows = index.json["manifests"]
    assert [row["platform"]["architecture"] for row in rows] == ["amd64", "arm64"]
    for row in rows:
        found = attachments.find_attached(there, row["digest"], *KINDS)
        assert set(found) == set(attachments.TYPES.values())
    shop.make("cpu-base", content="2")
    with pytest.raises(SlipwayError, match="is also there for linux/arm64: name that image, too"):
        run("cpu-base")
    assert there.digest("0.1.0-cpu-base") == index.digest
    run("cpu-base", "cpu-base-arm64")
    assert there.digest("0.1.0-cpu-base") == there.digest("0.1.0-cpu-base-r2") != index.digest


# --- what is refused -----------------------------------------------------------------------------


def dirty(shop: Workshop) -> None:
    shop.make("cuda-base", **{"org.opencontainers.image.revision": f"{shop.commit}-dirty"})


def unknown_commit(shop: Workshop) -> None:
    shop.make("cuda-base", **{"org.opencontainers.image.revision": "f" * 40})


def lying_label(shop: Workshop) -> None:
    shop.make("cuda-base", **{"slipway.cuda": ""})


def lying_flavor(shop: Workshop) -> None:
    shop.make("cuda-base", **{"slipway.flavor": "devel"})


def rebuilt(shop: Workshop) -> None:
    image = shop.make("cuda-base")
    shop.load(image, "another", {})


def never_built(shop: Workshop) -> None:
    (shop.make("cuda-base").results / "build.json").unlink()


def untested(shop: Workshop) -> None:
    (shop.make("cuda-base").results / "tests.xml").unlink()


def failed(shop: Workshop) -> None:
    shop.test(shop.make("cuda-base"), failures=1)


def tested_another(shop: Workshop) -> None:
    shop.test(shop.make("cuda-base"), of="sha256:1")


def tested_nothing(shop: Workshop) -> None:
    image = shop.make("cuda-base")
    text = (image.results / "tests.xml").read_text()
    results.write(image.results / "tests.xml", re.sub(r"(?s)<testcase.*</testcase>", "", text))


def damaged_tests(shop: Workshop) -> None:
    results.write(shop.make("cuda-base").results / "tests.xml", "<testsuites>")


def change_run(shop: Workshop, name: str, value: str) -> None:
    """Change a property of the run of the checks."""
    file = shop.make("cuda-base").results / "tests.xml"
    results.write(file, re.sub(rf'(?<=name="{name}" value=")[^"]*', value, file.read_text()))


def tested_in_part(shop: Workshop) -> None:
    folder = shop.make("cuda-base").results
    (folder / "tests.xml").rename(folder / "tests.partial.xml")


def tested_by_another_contract(shop: Workshop) -> None:
    change_run(shop, "contract", "cpu-base")


def cut_run(shop: Workshop) -> None:
    change_run(shop, "whole", "no")


def refused_run(shop: Workshop) -> None:
    change_run(shop, "exit status", "1")


def tested_by_changed_checks(shop: Workshop) -> None:
    change_run(shop, "commit", f"{'a' * 40}-dirty")


def tested_by_other_checks(shop: Workshop) -> None:
    change_run(shop, "commit", git(shop.folder, "rev-parse", "HEAD"))
    (shop.folder / "tests/images").mkdir(parents=True)
    (shop.folder / "tests/images/test_new.py").write_text("")
    git(shop.folder, "add", "--all")
    git(shop.folder, "commit", "--quiet", "--message=a new check")


def tested_long_ago(shop: Workshop) -> None:
    change_run(shop, "finished", "2020-01-01T00:00:00+00:00")


def audited_long_ago(shop: Workshop) -> None:
    shop.change(shop.make("cuda-base"), "audit.json", finished="2020-01-01T00:00:00+00:00")


def scanned_at_no_time(shop: Workshop) -> None:
    shop.change(shop.make("cuda-base"), "scan.json", finished=None)


def exception_expired_since(shop: Workshop) -> None:
    expired = {"identifier": "CVE-2026-12345", "expires": "2026-01-31"}
    shop.change(shop.make("cuda-base"), "scan.json", exceptions=[expired])


def no_sbom(shop: Workshop) -> None:
    (shop.make("cuda-base").results / "sbom.spdx.json").unlink()


def sbom_of_another(shop: Workshop) -> None:
    image = shop.make("cuda-base")
    identity = results.read_json(image.results / "build.json")["image"]
    rows = [{"name": sbom.IMAGE, "value": "sha256:1"}, {"name": "of its base", "value": identity}]
    shop.change(image, "sbom.cdx.json", metadata={"properties": rows})


def other_sbom_of_another(shop: Workshop) -> None:
    shop.change(shop.make("cuda-base"), "sbom.spdx.json", comment=f"{sbom.IMAGE} sha256:1")


def strange_sbom(shop: Workshop) -> None:
    shop.change(shop.make("cuda-base"), "sbom.cdx.json", metadata=[1])


def audit_failed(shop: Workshop) -> None:
    shop.change(shop.make("cuda-base"), "audit.json", verdict="failed")


def audit_of_another(shop: Workshop) -> None:
    shop.change(shop.make("cuda-base"), "audit.json", image="sha256:1")


def vulnerable(shop: Workshop) -> None:
    shop.change(shop.make("cuda-base"), "scan.json", verdict="vulnerable", allow_not_scanned=True)


def not_scanned(shop: Workshop) -> None:
    shop.change(shop.make("cuda-base"), "scan.json", verdict="not scanned")


def no_verdict(shop: Workshop) -> None:
    shop.change(shop.make("cuda-base"), "scan.json", verdict=None)


def damaged_scan(shop: Workshop) -> None:
    results.write(shop.make("cuda-base").results / "scan.json", '{"verdict": "pas')


@pytest.mark.parametrize(
    ("breakage", "reason"),
    [
        (dirty, "built from files that differ from commit"),
        (unknown_commit, "this repository has no Dockerfile.cuda at commit ffffffffffff"),
        (lying_label, "has nothing on its label slipway.cuda"),
        (lying_flavor, "has devel on its label slipway.flavor"),
        (rebuilt, "is not the image of its last build"),
        (never_built, "it was not built here"),
        (untested, r"it was not tested: nox -s test -- cuda-base"),
        (failed, r"its tests have not passed \(1 failed, 1 passed\)"),
        (tested_another, "its tests are about another image"),
        (tested_nothing, r"its tests have not passed \(0 failed, 0 passed\)"),
        (damaged_tests, "tests.xml is damaged"),
        (tested_in_part, r"only a part of its checks was run: nox -s test -- cuda-base"),
        (tested_by_another_contract, "not a whole run of the checks of this image"),
        (cut_run, "not a whole run of the checks of this image"),
        (refused_run, "its tests ended with an error"),
        (tested_by_changed_checks, "were changed and not committed"),
        (tested_by_other_checks, "its tests have changed since they ran at commit"),
        (tested_long_ago, r"the result of its tests is \d+ days old, more than 7"),
        (audited_long_ago, r"audit.json is \d+ days old, more than 7"),
        (scanned_at_no_time, "scan.json does not say when it was made"),
        (exception_expired_since, "rests on the exception CVE-2026-12345, which expired on 2026-01-31"),
        (no_sbom, r"there is no readable sbom.spdx.json: nox -s sbom -- cuda-base"),
        (sbom_of_another, "sbom.cdx.json is about another image"),
        (other_sbom_of_another, "sbom.spdx.json is about another image"),
        (strange_sbom, "sbom.cdx.json is about another image"),
        (audit_failed, "the verdict of audit.json is 'failed'"),
        (audit_of_another, "audit.json is about another image"),
        (vulnerable, r"the verdict of scan.json is 'vulnerable': nox -s scan -- cuda-base"),
        (not_scanned, "the verdict of scan.json is 'not scanned'"),
        (no_verdict, "the verdict of scan.json is None"),
        (damaged_scan, "there is no readable scan.json"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.requirement("T10", "T11", "V6")
def test_what_lacks_evidence_is_refused_before_the_registry_is_asked(  # noqa: PLR0913, PLR0917 - fixtures
    shop: Workshop,
    run: Callable[..., int],
    proxy: Proxy,
    unsigned: None,
    breakage: Callable[[Workshop], None],
    reason: str,
) -> None:
    """Each reason is named, with the command that helps."""
    breakage(shop)
    with pytest.raises(SlipwayError, match=reason) as error:
        run("cuda-base")
    assert "nothing is published, because:\n" in str(error.value)
    assert proxy.requests == []


@pytest.mark.requirement("V6")
def test_images_that_would_share_a_tag_are_refused(
    shop: Workshop, run: Callable[..., int], proxy: Proxy, unsigned: None
) -> None:
    """One of them holds another version than its name says; the tag has the version that it holds."""
    shop.make("cuda-base", **{"slipway.cuda": "13.2"})
    shop.make("cuda13.2-base")
    with pytest.raises(SlipwayError, match=r"cuda-base, cuda13\.2-base: .* would both be 0\.1\.0-cuda13\.2-base"):
        run("cuda-base", "cuda13.2-base")
    assert proxy.requests == []


def test_platforms_of_different_commits_are_no_index(shop: Workshop, run: Callable[..., int], unsigned: None) -> None:
    """Whoever pulls the tag gets the same sources on each platform."""
    shop.make("cpu-base")
    git(shop.folder, "commit", "--quiet", "--allow-empty", "--message=More")
    shop.commit = git(shop.folder, "rev-parse", "HEAD")
    shop.make("cpu-base-arm64")
    with pytest.raises(SlipwayError, match="cpu-base, cpu-base-arm64: these were built from different commits"):
        run("cpu-base", "cpu-base-arm64")


def test_every_reason_is_named_at_once(shop: Workshop, target: str, unsigned: None) -> None:
    """Of all images, and the missing key."""
    image = shop.make("cuda-base")
    for name in ("audit.json", "scan.json"):
        (image.results / name).unlink()
    shop.test(shop.make("cpu-base"), failures=1)
    with pytest.raises(SlipwayError) as error:
        publish.main([f"--registry={target}", "cuda-base", "cpu-base", "cpu-runtime"])
    lines = str(error.value).splitlines()
    assert len(lines) == 6
    assert "no key or identity to sign or verify with" in lines[-1]


@pytest.mark.requirement("T11")
def test_what_was_allowed_not_to_be_scanned_says_so(
    shop: Workshop, run: Callable[..., int], target: str, unsigned: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """When it is published and when it is verified; its evidence keeps the verdict."""
    image = shop.make("cuda-base")
    shop.change(image, "scan.json", verdict="not scanned", allow_not_scanned=True)
    assert run("cuda-base") == 0
    assert "cuda-base: NOT SCANNED, by --allow-not-scanned" in capsys.readouterr().out
    run("--verify", "latest")
    assert "NOT SCANNED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("https://registry.example.com/x", "without https://"),
        ("user:secret@registry.example.com/x", "docker login HOST"),
        ("team/slipway", "names no registry's host"),
        ("registry.example.com", "the name after the host"),
        ("registry.example.com/Team", "the name after the host"),
        ("registry.example.com/team/../other", "the name after the host"),
    ],
)
def test_a_name_that_is_no_repository_is_refused(name: str, reason: str) -> None:
    """A login in it is not shown."""
    with pytest.raises(SlipwayError, match=reason) as error:
        registry.parse_repository(name)
    assert "secret" not in str(error.value)


# --- a dry run, a mark, a verification -----------------------------------------------------------


def test_a_dry_run_tells_and_writes_nothing(
    shop: Workshop, run: Callable[..., int], proxy: Proxy, unsigned: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """What would be published, and when it is there already."""
    image = shop.make("cuda-base")
    assert run("--dry-run", "cuda-base") == 0
    told = capsys.readouterr().out
    assert "0.1.0-cuda13.0-base-r1 would be published: cuda-base" in told
    assert "  latest would move there from nothing" in told
    assert proxy.written() == []
    assert not (image.results / "publish.json").exists()
    run("cuda-base")
    proxy.requests.clear()
    capsys.readouterr()
    run("--dry-run", "cuda-base")
    assert capsys.readouterr().out.strip().endswith("0.1.0-cuda13.0-base-r1 is published already: cuda-base")
    shop.change(image, "scan.json", verdict="vulnerable")
    with pytest.raises(SlipwayError, match=r"the verdict of scan.json is 'vulnerable'"):
        run("--dry-run", "cuda-base")
    assert proxy.written() == []


def test_a_deprecated_revision_is_marked_and_stays(
    shop: Workshop, run: Callable[..., int], target: str, unsigned: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Publishing and verifying it say why; marking it twice is marking it once."""
    shop.make("cuda-base")
    run("cuda-base")
    there = open_registry(target)
    before = {tag: there.digest(tag) for tag in there.tags() if not tag.startswith("sha256-")}
    for _ in range(2):
        assert run("--deprecate", "its OpenSSL is broken", "0.1.0-cuda13.0-base-r1") == 0
    assert {tag: there.digest(tag) for tag in there.tags() if not tag.startswith("sha256-")} == before
    assert verify.list_deprecations(there, before["latest"], lambda _: True) == ["its OpenSSL is broken"]
    capsys.readouterr()
    run("--verify", "latest")
    run("cuda-base")
    told = capsys.readouterr().out
    assert "DEPRECATED: its OpenSSL is broken" in told
    assert "this revision is deprecated: its OpenSSL is broken" in told


@pytest.mark.requirement("U11")
def test_verifying_finds_what_is_wrong(shop: Workshop, run: Callable[..., int], proxy: Proxy, target: str) -> None:
    """Another key; an SBOM attached with another key does not count; a changed layer, a tag moved by hand."""
    shop.make("cuda-base")
    run("cuda-base")
    there = open_registry(target)
    manifest = there.require_manifest("latest")
    forged = attachments.make_attachment(
        "scan.json", attachments.TYPES["scan.json"], b'{"verdict":"passed"}', manifest.descriptor
    )
    attachments.attach(there, manifest.descriptor, [forged])
    assert run("--verify", "latest", key="cosign.pub") == 0
    with pytest.raises(signing.UnsignedError):
        run("--verify", "latest", key="other.pub")

    def flip(reply: Reply) -> Reply:
        return Reply(reply.status, reply.headers, bytes([reply.body[0] ^ 1]) + reply.body[1:] if reply.body else b"")

    layer = manifest.json["layers"][0]["digest"]
    proxy.fail("GET", f"blobs/{layer}", Fault(change=flip))
    with pytest.raises(SlipwayError, match=f"answers {layer} with sha256:"):
        run("--verify", "latest", key="cosign.pub")
    proxy.rules.clear()
    there.write_tag("0.1.0-cuda13.0-base", forged.manifest)
    with pytest.raises(SlipwayError, match="its highest revision -r1 sha256:"):
        run("--verify", "0.1.0-cuda13.0-base", key="cosign.pub")


@pytest.mark.parametrize(
    ("name", "document", "reason"),
    [
        ("sbom.cdx.json", {"metadata": {"properties": []}}, "its sbom.cdx.json is about another image"),
        ("tests.json", {"image": "sha256:1", "verdict": "passed"}, "its tests.json is about another image"),
        ("scan.json", {"image": "ID", "verdict": "vulnerable"}, "its scan.json says 'vulnerable'"),
        ("audit.json", {"image": "ID"}, "its audit.json says None"),
        ("provenance.json", {"subject": []}, "its provenance.json is about another image"),
        ("scan.json", [1], "holds no JSON object"),
    ],
)
@pytest.mark.requirement("U11")
def test_evidence_that_does_not_say_what_it_must_is_found(  # noqa: PLR0913, PLR0917 - fixtures
    shop: Workshop, run: Callable[..., int], target: str, unsigned: None, name: str, document: object, reason: str
) -> None:
    """Also where it is signed: by whoever has the key and does not use this program."""
    image = shop.make("cpu-base")
    run("cpu-base")
    identity = results.read_json(image.results / "build.json")["image"]
    there = open_registry(target)
    subject = there.require_manifest("0.1.0-cpu-base").descriptor
    text = json.dumps(document).replace("ID", identity).encode()
    attachments.attach(there, subject, [attachments.make_attachment(name, attachments.TYPES[name], text, subject)])
    with pytest.raises(SlipwayError, match=reason):
        run("--verify", "0.1.0-cpu-base")


@pytest.mark.slow
def test_a_mark_of_somebody_else_is_none(
    shop: Workshop, run: Callable[..., int], target: str, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who may push could else take an image back; our own mark counts."""
    shop.make("cpu-base")
    run("cpu-base")
    run("--deprecate", "a stranger's word", "0.1.0-cpu-base", key="other.key")
    capsys.readouterr()
    run("cpu-base")
    run("--verify", "0.1.0-cpu-base", key="cosign.pub")
    assert "a stranger's word" not in capsys.readouterr().out
    run("--deprecate", "our own word", "0.1.0-cpu-base")
    run("--verify", "0.1.0-cpu-base", key="cosign.pub")
    assert "DEPRECATED: our own word" in capsys.readouterr().out


@pytest.mark.requirement("U11")
def test_verifying_misses_what_is_not_attached(
    shop: Workshop, run: Callable[..., int], target: str, unsigned: None
) -> None:
    """The list of referrers lost all but one."""
    shop.make("cuda-base")
    run("cuda-base")
    there = open_registry(target)
    tag = registry.make_fallback_tag(there.digest("latest"))
    rows = there.require_manifest(tag).json["manifests"]
    there.write_tag(tag, registry.make_manifest({"manifests": rows[:1]}, registry.INDEX))
    with pytest.raises(
        SlipwayError, match=r"has no sbom.spdx.json, provenance.json, tests.json, .* attached; publish it"
    ):
        run("--verify", "latest")
    run("cuda-base")
    assert run("--verify", "latest") == 0


def test_the_session_calls_the_program() -> None:
    """With its options; an error is one message."""
    command = [sys.executable, "-m", "nox", f"--noxfile={repository.ROOT / 'noxfile.py'}", "-s", "publish", "--"]
    command += ["--registry=team/slipway", "cpu-base"]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert result.returncode == 1
    assert "error: 'team/slipway' names no registry's host" in result.stdout
    assert "Traceback" not in result.stdout


# --- registries that fail or lie, several publishers ---------------------------------------------


FAULTS = [
    Fault(status=500),
    Fault(cut=True),
    Fault(cut=True, late=True),
    Fault(status=429, headers={"Retry-After": "0"}),
]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "GET"])
@pytest.mark.requirement("V7")
def test_from_any_request_on_a_registry_may_fail(  # noqa: PLR0913, PLR0917 - fixtures
    shop: Workshop, run: Callable[..., int], proxy: Proxy, target: str, unsigned: None, method: str
) -> None:
    """A fault at every fifth request of a method and all later ones; the next run publishes, and no revision moves."""
    seen: dict[str, str] = {}
    for number in range(0, 60, 5):
        shop.make("cpu-base", content=f"{method} {number}")
        broken = fail_from(proxy, method, number, FAULTS[number // 5 % len(FAULTS)])
        with suppress(SlipwayError):
            run("cpu-base")
        proxy.rules.clear()
        run("cpu-base")
        there = open_registry(target)
        now = {tag: there.digest(tag) for tag in there.tags() if re.search(r"-r\d+$", tag)}
        assert seen.items() <= now.items()
        assert (
            there.digest("0.1.0-cpu-base")
            == now[f"0.1.0-cpu-base-r{revisions.find_highest_listed('0.1.0-cpu-base', now)}"]
        )
        seen = now
        if not broken:
            break
    assert run("--verify", "0.1.0-cpu-base") == 0


def fail_from(proxy: Proxy, method: str, number: int, fault: Fault) -> list[str]:
    """Let all requests of a method fail from a certain one on; the list holds those that did."""
    count = itertools.count()
    broken: list[str] = []

    def rule(request: Request) -> Fault | None:
        if request.method != method or next(count) < number:
            return None
        broken.append(request.path)
        return fault

    proxy.rules.append(rule)
    return broken


@pytest.mark.parametrize("kind", ["manifest", "configuration"])
def test_a_registry_that_answers_with_other_bytes_is_caught(
    shop: Workshop, run: Callable[..., int], proxy: Proxy, unsigned: None, kind: str
) -> None:
    """What stands under a digest is compared with it, also when nothing is to be sent."""
    image = shop.make("cpu-base")
    run("cpu-base")
    record = results.read_json(image.results / "publish.json")

    def other(reply: Reply) -> Reply:
        return Reply(reply.status, reply.headers | {"Content-Length": "2"}, b"{}")

    asked = record["configuration"] if kind == "configuration" else "0.1.0-cpu-base-r1"
    proxy.fail("GET", f"{asked}$", Fault(change=other))
    with pytest.raises(SlipwayError, match=f"answers {asked} with sha256:"):
        run("--verify", "0.1.0-cpu-base-r1") if kind == "configuration" else run("cpu-base")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cosign that only notes its arguments; for processes of their own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "cosign").write_text(f'#!/bin/sh\necho "2.5.0 $*" | tee -a {folder}/calls\n')
    (folder / "cosign").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def start(shop: Workshop, target: str, *words: str) -> "subprocess.Popen[str]":
    """Start the program itself in a whole copy of the repository."""
    command = [sys.executable, "-m", "slipway.publish", f"--registry={target}", "--key=cosign.key", *words]
    return subprocess.Popen(command, cwd=shop.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("program")
@pytest.mark.requirement("V5", "V7")
def test_two_programs_at_once_lose_nothing(proxy: Proxy, tmp_path: Path, target: str) -> None:
    """Three times two publishers of two checkouts; the one that loses says so, and succeeds when it is run again."""
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        shops = [stack.enter_context(workshop(tmp_path / name, patch, whole=True)) for name in ("one", "two")]
        for number in range(3):
            for shop in shops:
                patch.setattr(repository, "ROOT", shop.folder)
                shop.make("cpu-base", content=f"{shop.folder.name} {number}")
            running = [(shop, start(shop, target, "cpu-base")) for shop in shops]
            ended = [(shop, process.communicate(timeout=100)[0], process.returncode) for shop, process in running]
            lost = [(shop, text) for shop, text, code in ended if code]
            assert all("Nothing was overwritten; run this again" in text for _, text in lost), lost
            for shop, _ in lost:
                again = start(shop, target, "cpu-base")
                assert "error:" not in again.communicate(timeout=100)[0]
                assert again.returncode == 0
        there = open_registry(target)
        found = {tag: there.digest(tag) for tag in there.tags() if re.search(r"-r\d+$", tag)}
        assert len(set(found.values())) == len(found) == 6
        assert (
            there.digest("0.1.0-cpu-base")
            == found[f"0.1.0-cpu-base-r{revisions.find_highest_listed('0.1.0-cpu-base', found)}"]
        )
    written = {(each.path, each.digest) for each in proxy.written() if re.search(r"-r\d+$", each.path)}
    assert len(written) == 6


# --- credentials ---------------------------------------------------------------------------------

SECRET = "correct-horse-battery"  # noqa: S105 - a login that is made up here
TOKEN = "a-token-for-this-scope"  # noqa: S105


def require_login(proxy: Proxy, kind: str) -> None:
    """Let the registry want a login, by itself or by a token from elsewhere."""
    basic = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
    bearer = f'Bearer realm="http://{proxy.host}/token",service="registry",scope="repository:x:pull,push"'

    def rule(request: Request) -> Fault | None:
        if request.path.startswith("/token"):
            body = json.dumps({"token": TOKEN}).encode()
            return Fault(status=200, body=body) if request.authorization == basic else Fault(status=401)
        wanted = basic if kind == "basic" else f"Bearer {TOKEN}"
        if request.authorization == wanted:
            return None
        challenge = 'Basic realm="registry"' if kind == "basic" else bearer
        told = json.dumps({"errors": [{"code": "DENIED", "message": f"not with {request.authorization}"}]})
        return Fault(status=401, headers={"WWW-Authenticate": challenge}, body=told.encode())

    proxy.rules.append(rule)


def log_in(folder: Path, host: str, how: str, password: str = SECRET) -> None:
    """Leave a login as `docker login` does, in its file or with a credential helper."""
    folder.mkdir(exist_ok=True)
    settings: dict[str, object] = {"auths": {host: {"auth": base64.b64encode(f"me:{password}".encode()).decode()}}}
    if how == "helper":
        settings = {"credHelpers": {host: "test"}}
        helper = folder / "docker-credential-test"
        helper.write_text(f"""#!/bin/sh\necho '{{"Username": "me", "Secret": "{password}"}}'\n""")
        helper.chmod(0o755)
    (folder / "config.json").write_text(json.dumps(settings))


@pytest.mark.parametrize("how", ["file", "helper"])
@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_the_login_is_dockers_and_is_shown_nowhere(  # noqa: PLR0913, PLR0917 - fixtures
    proxy: Proxy, tmp_path: Path, target: str, program: Path, monkeypatch: pytest.MonkeyPatch, how: str, kind: str
) -> None:
    """Not in what is printed, not in dist/, not in an argument of any process, not in what is published."""
    log_in(tmp_path / "docker", proxy.host, how)
    monkeypatch.setenv("PATH", f"{tmp_path / 'docker'}:{os.environ['PATH']}")
    require_login(proxy, kind)
    seen: set[str] = set()
    with pytest.MonkeyPatch.context() as patch, workshop(tmp_path / "whole", patch, whole=True) as shop:
        shop.make("cpu-base")
        process = start(shop, target, "cpu-base")
        while process.poll() is None:
            seen |= arguments_of_all()
        told = process.communicate()[0]
        left = [file.read_text() for file in (shop.folder / "dist").rglob("*") if file.is_file()]
    assert process.returncode == 0, told
    assert any("slipway.publish" in each for each in seen)
    secrets = (SECRET, TOKEN, PASSWORD, base64.b64encode(f"me:{SECRET}".encode()).decode())
    for text in (told, *left, *seen, (program / "calls").read_text()):
        assert not [secret for secret in secrets if secret in text]


def arguments_of_all() -> set[str]:
    """Return the command lines of all processes."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.add(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


@pytest.mark.parametrize("how", ["file", "helper"])
def test_a_wrong_login_is_named_without_being_shown(  # noqa: PLR0913, PLR0917 - fixtures
    shop: Workshop, run: Callable[..., int], proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Even where the registry repeats it in its answer."""
    log_in(tmp_path / "docker", proxy.host, how, "wrong-horse")
    monkeypatch.setenv("PATH", f"{tmp_path / 'docker'}:{os.environ['PATH']}")
    require_login(proxy, "basic")
    shop.make("cpu-base")
    with pytest.raises(
        SlipwayError, match=r"is not allowed \(401 Unauthorized DENIED: not with Basic \*\*\*\): docker login"
    ) as error:
        run("cpu-base")
    assert "wrong-horse" not in str(error.value)
    assert base64.b64encode(b"me:wrong-horse").decode() not in str(error.value)


def test_without_a_login_the_message_says_how(shop: Workshop, run: Callable[..., int], proxy: Proxy) -> None:
    """docker's own command."""
    require_login(proxy, "basic")
    shop.make("cpu-base")
    with pytest.raises(SlipwayError, match=f"requires a login: docker login {proxy.host}"):
        run("cpu-base")


def test_credentials_go_to_no_address_without_tls(
    shop: Workshop, run: Callable[..., int], proxy: Proxy, tmp_path: Path
) -> None:
    """A registry that sends its clients elsewhere for a token."""
    log_in(tmp_path / "docker", proxy.host, "file")
    challenge = {"WWW-Authenticate": 'Bearer realm="http://elsewhere.example.com/token"'}
    proxy.fail("GET", "", Fault(status=401, headers=challenge))
    shop.make("cpu-base")
    with pytest.raises(SlipwayError, match="asks for credentials at an address without TLS; they were not sent"):
        run("cpu-base")


def test_an_image_that_is_built_again_meanwhile_is_not_published(shop: Workshop, target: str, unsigned: None) -> None:
    """Between the look at its evidence and the first byte."""
    shop.make("cpu-base")
    (publication,), _ = publish.examine_images([shop.the_matrix.find_image("cpu-base")])
    shop.make("cpu-base", content="2")
    there = open_registry(target)
    with pytest.raises(SlipwayError, match="cpu-base was built or tested again meanwhile"):
        publish.publish_images(there, signing.Signer("key"), publication)
    assert there.tags() == []
