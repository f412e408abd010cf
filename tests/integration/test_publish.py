"""Publishing to a real registry: what goes up, what an unchanged image costs, what is verified, what may fail."""

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from slipway import docker, repository, results
from slipway.errors import SlipwayError
from slipway.publish import (
    attestations,
    command,
    cosign,
    oci_layout,
    provenance,
    publish,
    published,
    registry,
    release_checks,
    staging,
    tags,
)
from slipway.publish.cosign import Signer
from slipway.publish.registry import Manifest, Repository
from tests.helpers.programs import run_merged
from tests.integration.publications import OCI, Workshop, workshop
from tests.integration.registries import Fault, Proxy, Reply, Request

TAG = "0.1.0-cuda13.0-base"
VERSION = "org.opencontainers.image.version"
Run = Callable[..., int]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key of the real cosign and another one."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("own", "other"):
        words = [str(cosign.provide_cosign()), "generate-key-pair", f"--output-key-prefix={name}"]
        subprocess.run(words, cwd=folder, env={**os.environ, "COSIGN_PASSWORD": ""}, capture_output=True, check=True)
    return folder


@pytest.fixture
def real(keys: Path, target: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The program with the real cosign and a key."""
    monkeypatch.setenv("COSIGN_PASSWORD", "")

    def call(*words: str, key: str = "own.key") -> int:
        return command.main([f"--registry={target}", f"--key={keys / key}", "--allow-local-base", *words])

    return call


def open_repository(target: str) -> Repository:
    """Return the repository that the program publishes to."""
    return registry.parse_repository(target)


def list_revisions(there: Repository) -> dict[str, str]:
    """Return the digest of each revision."""
    return {tag: there.find_digest(tag) for tag in there.list_tags() if re.search(r"-r\d+$", tag)}


def push_image(there: Repository, tag: str, content: bytes = b"{}", **settings: object) -> Manifest:
    """Push an image by hand, as a stranger would."""
    with oci_layout.temporary_layout() as layout:
        blob = layout.describe(oci_layout.LAYER, layout.add_blob(content))
        text = json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": []}} | settings)
        settings_blob = layout.describe(oci_layout.CONFIGURATION, layout.add_blob(text.encode()))
        manifest = layout.add_manifest(settings_blob, [blob])
        layout.write_index([(manifest, {})])
        there.push(layout.folder, tag)
    return manifest


# --- with the real cosign ------------------------------------------------------------------------


@pytest.mark.parametrize("referrers", [False, True])
@pytest.mark.requirement("A5", "V5", "U11", "N11")
def test_an_image_goes_up_with_all_that_belongs_to_it(  # noqa: PLR0913 - fixtures
    shop: Workshop, real: Run, proxy: Proxy, target: str, capsys: pytest.CaptureFixture[str], *, referrers: bool
) -> None:
    """Also where the registry has no API for referrers; the engine pulls it under the ID that was tested."""
    proxy.referrers = referrers
    image = shop.make("cuda-base")
    assert real("cuda-base") == 0
    there = open_repository(target)
    digests = {there.find_digest(tag) for tag in (f"{TAG}-r1", TAG, "latest-base", "0.1.0", "latest")}
    assert len(digests) == 1
    manifest = there.require_manifest("latest")
    layers = manifest.json["layers"]
    assert [layer["mediaType"] for layer in layers] == ["application/vnd.oci.image.layer.v1.tar+zstd"] * 2
    record = results.read_json(image.results / "publish.json")
    assert (record["verdict"], record["digest"], record["revision"]) == ("published", manifest.digest, 1)
    docker.output("image", "rm", "--force", image.tag)
    docker.output("pull", "--quiet", f"{target}:latest")
    pulled = docker.require_image(f"{target}:latest")["Id"]
    docker.output("image", "rm", "--force", f"{target}:latest")
    assert pulled == record["image"]
    capsys.readouterr()
    assert real("--verify", f"{TAG}-r1", TAG, "latest", key="own.pub") == 0
    told = capsys.readouterr().out
    assert told.count(f"{manifest.digest}  signed") == 3
    assert "CycloneDX, SPDX, provenance, checks, audit, scan" in told


@pytest.mark.requirement("U11")
def test_others_verify_it_with_cosign_alone(  # noqa: PLR0913, PLR0917 - fixtures
    shop: Workshop, real: Run, keys: Path, target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By cosign's names of the predicates, and by a rule about their content; another key verifies nothing."""
    shop.make("cuda-base")
    real("cuda-base")

    def verify(*options: str) -> int:
        words = [str(cosign.provide_cosign()), "verify-attestation", f"--key={keys / 'own.pub'}", *options]
        words += ["--insecure-ignore-tlog=true", f"{target}:latest"]
        return subprocess.run(words, capture_output=True, check=False).returncode

    for name in ("cyclonedx", "spdxjson", "slsaprovenance1", "vuln", attestations.TEST_RESULT):
        assert verify(f"--type={name}") == 0, name
    policy = tmp_path / "policy.cue"
    for verdict, code in (("passed", 0), ("vulnerable", 1)):
        policy.write_text(f'predicate: scanner: result: verdict: "{verdict}"')
        assert verify("--type=vuln", f"--policy={policy}") == code
    with pytest.raises(SlipwayError, match="is not signed by key"):
        real("--verify", "latest", key="other.pub")
    real("--deprecate", "a stranger's word", "latest", key="other.key")
    real("--deprecate", "our own word", "latest")
    capsys.readouterr()
    assert real("--verify", "latest", key="own.pub") == 0
    told = capsys.readouterr().out
    assert "DEPRECATED: our own word" in told
    assert "stranger" not in told


def find_attached(proxy: Proxy, there: Repository, digest: str) -> list[str]:
    """Return the digests of the blobs that are attached to a manifest, its signature's last."""
    attached = [there.require_manifest(str(row["digest"])) for row in proxy.subjects[digest]]
    return [layer for manifest in attached for layer in manifest.layers]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.requirement("V7")
def test_a_registry_that_fails_is_not_taken_for_an_unsigned_image(
    shop: Workshop, real: Run, proxy: Proxy, target: str
) -> None:
    """cosign says `no signatures found` then. Neither does `latest` go back, nor is a revision passed over."""
    proxy.referrers = True
    shop.make("cuda-base", **{VERSION: "0.2.0"})
    real("cuda-base")
    there = open_repository(target)
    latest = there.find_digest("latest")
    signature = find_attached(proxy, there, latest)[-1]
    shop.make("cuda-base", content="2", **{VERSION: "0.2.0"})
    for path, status in (("/referrers/", 403), ("/referrers/", 429), ("/referrers/", 500), (signature, 403)):
        proxy.requests.clear()
        proxy.fail("GET", path, Fault(status=status))
        with pytest.raises(SlipwayError, match=str(status)):
            real("cuda-base")
        with pytest.raises(SlipwayError, match=str(status)):
            real("--verify", "latest", key="own.pub")
        assert not [each for each in proxy.written() if "/manifests/" in each.path]
        proxy.rules.clear()
    assert real("cuda-base") == 0
    assert sorted(list_revisions(there)) == ["0.2.0-cuda13.0-base-r1", "0.2.0-cuda13.0-base-r2"]


# --- the whole way, signatures by a stand-in -----------------------------------------------------


@pytest.mark.usefixtures("fake_cosign")
@pytest.mark.requirement("U11")
def test_what_is_attested_is_what_was_found(shop: Workshop, run: Run, target: str, signer: Signer) -> None:
    """The results byte for byte; how it was built: the commit, the Dockerfile and the locks by digest, the base."""
    image = shop.make("cuda-base")
    run("cuda-base")
    reference = f"{target}@{open_repository(target).find_digest('latest')}"
    (scan,) = attestations.find_predicates(signer, reference)["scan"]
    assert scan["scanner"]["result"] == results.read_json(image.results / "scan.json")
    (found,) = attestations.find_predicates(signer, reference)["CycloneDX"]
    assert found == results.read_json(image.results / "sbom.cdx.json")
    (checks,) = attestations.find_predicates(signer, reference)["checks"]
    assert (checks["result"], len(checks["passedTests"])) == ("PASSED", 2)
    assert checks["notRun"] == {"no GPU on this host": 1}
    assert "the-builders-machine" not in json.dumps(checks)
    (said,) = attestations.find_predicates(signer, reference)["provenance"]
    build = said["buildDefinition"]
    assert build["externalParameters"]["session"] == "build -- cuda-base"
    assert build["externalParameters"]["arguments"] == {"CUDA_VERSION": "13.0"}
    source, base, *files = build["resolvedDependencies"]
    assert source["digest"] == {"gitCommit": shop.commit}
    assert base["name"] == "debian:trixie-slim, made by mmdebstrap"
    names = {"Dockerfile.cuda", "images.toml", "requirements/cuda13.0-base.txt", "requirements/uv.txt"}
    digests = {file["name"]: file["digest"]["sha256"] for file in files}
    assert names <= digests.keys()
    assert "requirements/cpu-base.txt" not in digests
    for name, digest in digests.items():
        assert digest == subprocess.check_output(["sha256sum", repository.ROOT / name], text=True).split()[0]
    assert said["runDetails"]["builder"]["id"].endswith("/docs/publishing.md#builder")
    assert said["runDetails"]["metadata"]["startedOn"] == "2026-11-21T11:59:56Z"


@pytest.mark.requirement("U11")
def test_the_provenance_of_a_workload_has_its_parent_beside_the_base(shop: Workshop) -> None:
    """An address only for what has a digest in a registry: that of the base image; the parent was built before."""
    image = shop.make("cpu-base-workbench", **{f"{OCI}.base.name": "slipway:cpu-base"})
    pulled = {"name": "debian:trixie-slim", "id": "sha256:" + "6" * 64, "digest": f"sha256:{'7' * 64}"}
    run_by = {
        "builder": "https://github.com/team/slipway/.github/workflows/publish.yml@refs/tags/v1",
        "run": "https://run",
    }
    shop.change(image, "build.json", base=pulled | {"origin": "pulled"}, **run_by)
    said = provenance.make_predicate(release_checks.find_candidate(image))
    _, base, parent, *files = said["buildDefinition"]["resolvedDependencies"]
    assert (base["uri"], base["digest"]) == ("pkg:docker/debian:trixie-slim", {"sha256": "7" * 64})
    assert parent == {"name": "slipway:cpu-base", "digest": {"sha256": "5" * 64}}
    assert {"Dockerfile", "Dockerfile.cpu"} <= {file["name"] for file in files}
    assert said["runDetails"]["builder"]["id"] == run_by["builder"]
    assert said["runDetails"]["metadata"]["invocationId"] == "https://run"


@pytest.mark.usefixtures("fake_cosign")
@pytest.mark.requirement("V5")
def test_an_unchanged_image_sends_nothing(
    shop: Workshop, run: Run, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not saved again either; the same without the record of the first time. `bench` has the seconds."""
    image = shop.make("cuda-base")
    run("cuda-base")
    proxy.requests.clear()
    monkeypatch.setattr("slipway.docker.save", lambda *_: pytest.fail("it was saved again"))
    assert run("cuda-base") == 0
    assert proxy.written() == []
    assert "is published already, in" in capsys.readouterr().out
    (image.results / "publish.json").unlink()
    assert run("cuda-base") == 0
    assert proxy.written() == []


@pytest.mark.usefixtures("fake_cosign")
def test_new_results_of_an_unchanged_image_are_attested(shop: Workshop, run: Run, target: str, signer: Signer) -> None:
    image = shop.make("cuda-base")
    run("cuda-base")
    shop.change(image, "scan.json", note="scanned again")
    run("cuda-base")
    there = open_repository(target)
    assert list(list_revisions(there)) == [f"{TAG}-r1"]
    reference = there.refer(there.find_digest("latest"))
    found = [len(each) for each in attestations.find_predicates(signer, reference).values()]
    assert found == [1, 1, 1, 1, 1, 2]


@pytest.mark.usefixtures("fake_cosign")
@pytest.mark.requirement("V5")
def test_a_changed_image_is_the_next_revision_and_sends_only_what_is_new(
    shop: Workshop, run: Run, proxy: Proxy, target: str
) -> None:
    """Its unchanged layer is not sent again; the revision before stays."""
    shop.make("cuda-base")
    run("cuda-base")
    there = open_repository(target)
    first = there.require_manifest("latest")
    proxy.requests.clear()
    shop.make("cuda-base", content="2")
    run("cuda-base")
    second = there.require_manifest("latest")
    assert list_revisions(there) == {f"{TAG}-r1": first.digest, f"{TAG}-r2": second.digest}
    assert first.layers[0] == second.layers[0]
    sent = {request.path.rpartition("digest=")[2] for request in proxy.written() if "digest=" in request.path}
    assert second.layers[1].replace(":", "%3A") in sent
    assert first.layers[0].replace(":", "%3A") not in sent


@pytest.mark.usefixtures("fake_cosign")
@pytest.mark.requirement("A5")
@pytest.mark.parametrize("signers", ["one key", "one workflow", "another key"])
def test_latest_never_goes_back_to_an_earlier_release(
    shop: Workshop, target: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], signers: str
) -> None:
    """A correction of 0.1 after 0.2: its own tags move, those of 0.2 and `latest` do not, whoever signed it.

    A workflow's identity names the tag of its release; a key may be new, and the label of the source is ours.
    """
    workflow = "https://github.com/team/slipway/.github/workflows/publish.yml@refs/tags/v"
    for content, release in (("2", "0.2.0"), ("1", "0.1.7")):
        identity = f"{workflow}{release}"
        by = [f"--key={'own' if signers == 'one key' else release}.key"]
        if signers == "one workflow":
            by = [f"--identity={identity}", "--issuer=github"]
        monkeypatch.setenv("FAKE_IDENTITY", identity)
        shop.make("cuda-base", content=content, **{VERSION: release})
        assert command.main([f"--registry={target}", *by, "--allow-local-base", "cuda-base"]) == 0
    there = open_repository(target)
    new, old = (there.find_digest(f"{release}-cuda13.0-base-r1") for release in ("0.2.0", "0.1.7"))
    assert [there.find_digest(tag) for tag in ("latest", "0.2", "0.1", "0.1.7")] == [new, new, old, old]
    (said,) = re.findall(r"tags stay at a later release: (.*)", capsys.readouterr().out)
    unsigned = ", NOT SIGNED by key 0.1.7.key: verify it by the key of its publisher, or delete the tags at it"
    assert said == new + (unsigned if signers == "another key" else "")
    command.main([f"--registry={target}", *by, "--allow-local-base", "--dry-run", "cuda-base"])
    assert f"latest stays at a later release, {new}" in capsys.readouterr().out
    if signers == "one key":
        assert command.main([f"--registry={target}", "--key=own.pub", "--verify", "latest", "0.1"]) == 0
    there.write_tag("latest", old)
    if signers == "one workflow":
        with pytest.raises(SlipwayError, match=r"but 0\.2\.0-cuda13\.0-base-r1 was published under this tag after it"):
            command.main([f"--registry={target}", *by, "--verify", "latest"])


@pytest.mark.usefixtures("fake_cosign")
def test_two_platforms_become_one_index(shop: Workshop, run: Run, target: str, signer: Signer) -> None:
    """Each has its own evidence, and neither is published in the other's place."""
    shop.make("cpu-base")
    shop.make("cpu-base-arm64")
    run("cpu-base", "cpu-base-arm64")
    there = open_repository(target)
    index = there.require_manifest("0.1.0-cpu-base-r1")
    rows = index.json["manifests"]
    assert [row["platform"]["architecture"] for row in rows] == ["amd64", "arm64"]
    for row in rows:
        assert all(attestations.find_predicates(signer, there.refer(row["digest"])).values())
    assert run("--verify", "0.1.0-cpu-base") == 0
    shop.make("cpu-base", content="2")
    with pytest.raises(SlipwayError, match="is also there for linux/arm64: name that image, too"):
        run("cpu-base")
    assert there.find_digest("0.1.0-cpu-base") == index.digest
    run("cpu-base", "cpu-base-arm64")
    assert there.find_digest("0.1.0-cpu-base") == there.find_digest("0.1.0-cpu-base-r2") != index.digest


@pytest.mark.usefixtures("fake_cosign")
@pytest.mark.requirement("T10")
def test_what_one_job_stages_another_publishes(
    shop: Workshop, run: Run, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes and results, without an engine; what is missing in the results is refused there, too."""
    image = shop.make("cuda-base")
    staging = f"{target}/staging"
    words = [f"--registry={staging}", "--stage", f"--output={tmp_path / 'output'}", "--allow-local-base", "cuda-base"]
    assert command.main(words) == 0
    name, _, reference = (tmp_path / "output").read_text().strip().partition("=")
    assert (name, open_repository(staging).list_tags()) == ("cuda-base", [])
    shop.make("cuda13.2-base")
    command.main([*words[:-1], "cuda13.2-base"])
    assert (tmp_path / "output").read_text().splitlines()[1].startswith("cuda13.2-base=")  # as publish.yml reads it
    monkeypatch.setattr("slipway.docker.call", lambda *_: pytest.fail("the engine was asked"))
    assert run("--staged", reference) == 0
    there = open_repository(target)
    assert there.require_manifest("latest").configuration == results.read_json(image.results / "build.json")["image"]
    assert run("--verify", "latest") == 0
    assert run("--staged", reference) == 0
    assert list(list_revisions(there)) == [f"{TAG}-r1"]
    with pytest.raises(SlipwayError, match="names no staged image"):
        run("--staged", "cuda-base")
    with pytest.raises(SlipwayError, match="is not what `publish --stage` sends"):
        run("--staged", there.refer(there.find_digest("latest")))


def test_an_output_that_cannot_be_written_stages_nothing(
    shop: Workshop, proxy: Proxy, target: str, tmp_path: Path
) -> None:
    shop.make("cuda-base")
    with pytest.raises(SlipwayError, match=r"--output: cannot write .*Is a directory"):
        command.main([f"--registry={target}", "--stage", f"--output={tmp_path}", "--allow-local-base", "cuda-base"])
    assert not proxy.written()


@pytest.mark.usefixtures("fake_cosign")
@pytest.mark.parametrize(
    "document",
    [b"{", b"[]", b'{"image": "cuda-base", "id": 1, "files": {}}', b'{"image": "cuda-base", "id": "1", "files": {}}'],
)
def test_malformed_results_of_a_staged_image_are_one_message(run: Run, target: str, document: bytes) -> None:
    """Whoever may write to the staging repository can put them there."""
    there = open_repository(target)
    with oci_layout.temporary_layout() as layout:
        empty = layout.describe(oci_layout.EMPTY, layout.add_blob(b"{}"))
        image = layout.add_manifest(empty, [empty])
        content = layout.describe(staging.RESULTS, layout.add_blob(document))
        evidence = layout.add_manifest(empty, [content], artifactType=staging.RESULTS)
        index = layout.write_index([(image, {}), (evidence, {})])
        there.push(layout.folder, index.digest, is_index=True)
    with pytest.raises(SlipwayError, match="has no results as `publish --stage` sends them"):
        run("--staged", there.refer(index.digest))


@pytest.mark.usefixtures("fake_cosign")
def test_a_dry_run_tells_and_writes_nothing(
    shop: Workshop, run: Run, proxy: Proxy, capsys: pytest.CaptureFixture[str]
) -> None:
    """What would be published, and when it is there already."""
    image = shop.make("cuda-base")
    assert run("--dry-run", "cuda-base") == 0
    told = capsys.readouterr().out
    assert f"{TAG}-r1 would be published: cuda-base" in told
    assert "  latest would move there from nothing" in told
    assert proxy.written() == []
    assert not (image.results / "publish.json").exists()
    run("cuda-base")
    proxy.requests.clear()
    capsys.readouterr()
    run("--dry-run", "cuda-base")
    assert capsys.readouterr().out.strip().endswith(f"{TAG}-r1 is published already: cuda-base")
    shop.change(image, "scan.json", verdict="vulnerable")
    with pytest.raises(SlipwayError, match=r"the verdict of scan.json is 'vulnerable'"):
        run("--dry-run", "cuda-base")
    assert proxy.written() == []


@pytest.mark.usefixtures("fake_cosign")
def test_a_deprecated_revision_is_marked_and_stays(
    shop: Workshop, run: Run, target: str, signer: Signer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Publishing and verifying it say why; marking it twice is marking it once."""
    shop.make("cuda-base")
    run("cuda-base")
    there = open_repository(target)
    before = list_revisions(there)
    for _ in range(2):
        assert run("--deprecate", "its OpenSSL is broken", f"{TAG}-r1") == 0
    assert list_revisions(there) == before
    reference = there.refer(there.find_digest("latest"))
    assert len(signer.find_attestations(reference, attestations.DEPRECATION)) == 1
    capsys.readouterr()
    run("--verify", "latest")
    run("cuda-base")
    told = capsys.readouterr().out
    assert "DEPRECATED: its OpenSSL is broken" in told
    assert "this revision is deprecated: its OpenSSL is broken" in told


@pytest.mark.usefixtures("fake_cosign")
def test_an_image_that_is_built_again_meanwhile_is_not_published(shop: Workshop, run: Run, target: str) -> None:
    """Between the look at its evidence and the first byte."""
    shop.make("cpu-base")
    candidate = release_checks.find_candidate(shop.the_matrix.find_image("cpu-base"))
    shop.make("cpu-base", content="2")
    there = open_repository(target)
    with pytest.raises(SlipwayError, match="cpu-base was built or tested again meanwhile"):
        publish.publish_images(there, Signer("key"), publish.Publication((candidate,)))
    assert there.list_tags() == []


# --- strangers who may push ----------------------------------------------------------------------


@pytest.mark.usefixtures("fake_cosign")
@pytest.mark.requirement("N11")
def test_verifying_finds_a_tag_that_somebody_moved(shop: Workshop, run: Run, target: str) -> None:
    """To a stranger's image, to another image of ours, back to an earlier revision; a revision that was repointed."""
    for content in ("1", "2"):
        shop.make("cuda-base", content=content)
        run("cuda-base")
    shop.make("cpu-base")
    run("cpu-base")
    there = open_repository(target)
    digests = list_revisions(there)
    cases = {
        ("latest", push_image(there, "stranger").digest): "is not signed by key",
        ("latest", digests["0.1.0-cpu-base-r1"]): "and not under this tag: somebody moved it",
        ("latest", digests[f"{TAG}-r1"]): f"is {TAG}-r1, but {TAG}-r2 was published under this tag after it",
        (f"{TAG}-r2", digests[f"{TAG}-r1"]): "somebody let the revision point elsewhere",
    }
    for (tag, digest), reason in cases.items():
        there.write_tag(tag, digest)
        with pytest.raises(SlipwayError, match=reason):
            run("--verify", tag)
        there.write_tag(tag, digests[f"{TAG}-r2"])
        assert run("--verify", tag) == 0


@pytest.mark.usefixtures("fake_cosign")
@pytest.mark.requirement("N11")
def test_a_strangers_image_is_never_taken_for_ours(shop: Workshop, run: Run, target: str) -> None:
    """A manifest with our configuration and other layers as the next revision: not signed, and no tag moves to it."""
    shop.make("cuda-base")
    run("cuda-base")
    there = open_repository(target)
    own = there.require_manifest("latest")
    with oci_layout.temporary_layout() as layout:
        layer = layout.describe(oci_layout.LAYER, layout.add_blob(b"evil"))
        settings = layout.describe(oci_layout.CONFIGURATION, layout.add_blob(there.read_blob(own.configuration)))
        forged = layout.add_manifest(settings, [layer])
        layout.write_index([(forged, {})])
        there.push(layout.folder, f"{TAG}-r2")
    assert run("cuda-base") == 0
    assert there.find_digest("latest") == own.digest
    shop.make("cuda-base", content="2")
    assert run("cuda-base") == 0
    assert sorted(list_revisions(there)) == [f"{TAG}-r1", f"{TAG}-r2", f"{TAG}-r3"]
    assert there.find_digest("latest") == there.find_digest(f"{TAG}-r3")
    with pytest.raises(SlipwayError, match="is not signed by key"):
        run("--verify", f"{TAG}-r2")


@pytest.mark.usefixtures("fake_cosign")
@pytest.mark.requirement("U11")
def test_verifying_finds_a_layer_that_is_not_the_tested_one(
    shop: Workshop, run: Run, proxy: Proxy, target: str, signer: Signer
) -> None:
    """Other bytes under a layer's digest; a signed manifest whose layer is not that of its configuration."""
    shop.make("cuda-base")
    run("cuda-base")
    there = open_repository(target)
    manifest = there.require_manifest("latest")

    def flip(reply: Reply) -> Reply:
        return Reply(reply.status, reply.headers, bytes([reply.body[0] ^ 1]) + reply.body[1:] if reply.body else b"")

    proxy.fail("GET", f"blobs/{manifest.layers[0]}", Fault(change=flip))
    with pytest.raises(SlipwayError):
        run("--verify", "latest")
    proxy.rules.clear()
    assert run("--verify", "latest") == 0
    packed = subprocess.run(["zstd", "--stdout"], input=b"other", capture_output=True, check=True).stdout
    other = push_image(there, "1.0.0-x-r1", packed, rootfs={"diff_ids": ["sha256:" + "1" * 64]})
    published.sign_publication(there, signer, [other.digest], "1.0.0-x-r1", [], "")
    with pytest.raises(SlipwayError, match=r"is the layer sha256:\w+, and should be sha256:1111"):
        run("--verify", "1.0.0-x-r1")


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("CycloneDX", {"metadata": {"properties": []}}, "its CycloneDX is about another image"),
        ("checks", {"run": {"image": "sha256:1"}}, "its checks is about another image"),
        ("checks", {"result": "FAILED"}, "its checks says that the image is not in order"),
        ("scan", {"scanner": {"result": {"image": "ID", "verdict": "vulnerable"}}}, "its scan says"),
        ("audit", {"audit": {}}, "its audit is not what this version of Slipway attests"),
    ],
)
@pytest.mark.usefixtures("fake_cosign")
@pytest.mark.requirement("U11")
def test_evidence_that_does_not_say_what_it_must_is_found(  # noqa: PLR0913, PLR0917 - fixtures
    shop: Workshop, run: Run, target: str, signer: Signer, name: str, change: dict[str, object], reason: str
) -> None:
    """Also where it is signed: by whoever has the key and does not use this program."""
    image = shop.make("cpu-base")
    run("cpu-base")
    identity = results.read_json(image.results / "build.json")["image"]
    there = open_repository(target)
    reference = there.refer(there.find_digest("0.1.0-cpu-base"))
    (before,) = attestations.find_predicates(signer, reference)[name]
    text = json.dumps({**before, **change}).replace("ID", identity)
    signer.attest(reference, attestations.KINDS[name][0], text.encode())
    with pytest.raises(SlipwayError, match=reason):
        run("--verify", "0.1.0-cpu-base")


@pytest.mark.parametrize(
    ("kind", "is_lost"),
    [
        ("SPDX", lambda row: "spdx" in row["type"]),
        ("audit", lambda row: "audit" in row["predicate"]),  # for which two test results do not stand
    ],
)
@pytest.mark.requirement("U11")
def test_verifying_misses_what_is_not_attested(  # noqa: PLR0913, PLR0917 - fixtures
    shop: Workshop, run: Run, target: str, fake_cosign: Path, kind: str, is_lost: Callable[[dict[str, Any]], bool]
) -> None:
    """An attestation is gone; the next publication brings it back."""
    image = shop.make("cuda-base")
    run("cuda-base")
    shop.test(image)
    text = (image.results / "tests.xml").read_text()
    results.write(image.results / "tests.xml", text.replace("test_starts", "test_begins"))
    run("cuda-base")
    file = fake_cosign / "signed.json"
    kept = [row for row in json.loads(file.read_text()) if not is_lost(row)]
    assert sum(row["type"] == attestations.TEST_RESULT for row in kept) == (2 if kind == "audit" else 3)
    file.write_text(json.dumps(kept))
    with pytest.raises(SlipwayError, match=rf"has no {kind} that key .* attested; publish it again"):
        run("--verify", "latest")
    run("cuda-base")
    assert run("--verify", "latest") == 0


# --- registries that fail, several publishers ----------------------------------------------------


FAULTS = [
    Fault(status=500),
    Fault(cut=True),
    Fault(cut=True, late=True),
    Fault(status=401),
    Fault(status=403),
    Fault(status=429),
    Fault(status=307, headers={"Location": "http://127.0.0.1:9/"}),
]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("fake_cosign")
@pytest.mark.parametrize("number", range(0, 40, 4))
@pytest.mark.requirement("V7")
def test_from_any_request_on_a_registry_may_fail(
    shop: Workshop, run: Run, proxy: Proxy, target: str, number: int
) -> None:
    """From that request on each fails; the next run publishes, and no revision moves."""
    shop.make("cpu-base")
    run("cpu-base")
    there = open_repository(target)
    before = list_revisions(there)
    shop.make("cpu-base", content="2")
    count = itertools.count()
    fault = FAULTS[number // 4 % len(FAULTS)]
    proxy.rules.append(lambda _: fault if next(count) >= number else None)
    with suppress(SlipwayError):
        run("cpu-base")
    proxy.rules.clear()
    assert before.items() <= list_revisions(there).items()
    run("cpu-base")
    now = list_revisions(there)
    assert before.items() <= now.items()
    assert there.find_digest("0.1.0-cpu-base") == now[max(now, key=tags.parse_revision)] != before["0.1.0-cpu-base-r1"]
    assert run("--verify", "0.1.0-cpu-base") == 0


def start(shop: Workshop, target: str, *words: str) -> "subprocess.Popen[str]":
    """Start the program itself in a whole copy of the repository."""
    words = (f"--registry={target}", "--key=own.key", "--allow-local-base", *words)
    program = [sys.executable, "-m", "slipway.publish", *words]
    return subprocess.Popen(program, cwd=shop.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def kill_at(number: int, process: "subprocess.Popen[str]") -> Callable[[Request], None]:
    """Return a rule that kills a process at one of its requests."""
    count = itertools.count()

    def kill(_: Request) -> None:
        if next(count) == number:
            process.kill()

    return kill


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("fake_cosign")
@pytest.mark.requirement("V7")
def test_a_publisher_may_be_killed_at_any_point(proxy: Proxy, tmp_path: Path, target: str) -> None:
    """At twenty of its requests: nothing is overwritten, nothing is lost, and the next run finishes."""
    there = open_repository(target)
    with pytest.MonkeyPatch.context() as patch, workshop(tmp_path / "whole", patch, whole=True) as shop:
        seen: dict[str, str] = {}
        for number in range(20):
            shop.make("cpu-base", content=str(number))
            process = start(shop, target, "cpu-base")
            proxy.rules[:] = [kill_at(2 * number, process)]
            process.communicate(timeout=100)
            proxy.rules.clear()
            assert seen.items() <= list_revisions(there).items()
            again = start(shop, target, "cpu-base")
            told = again.communicate(timeout=100)[0]
            assert again.returncode == 0, told
            now = list_revisions(there)
            assert seen.items() <= now.items()
            assert there.find_digest("0.1.0-cpu-base") == now[max(now, key=tags.parse_revision)]
            seen = now
        assert len(seen) >= 20


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("fake_cosign")
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
        there = open_repository(target)
        found = list_revisions(there)
        assert len(set(found.values())) == len(found) == 6
        assert there.find_digest("0.1.0-cpu-base") == found[max(found, key=tags.parse_revision)]
    written = {(each.path, each.digest) for each in proxy.written() if re.search(r"-r\d+$", each.path)}
    assert len(written) == 6


def test_the_session_calls_the_program() -> None:
    words = [sys.executable, "-m", "nox", f"--noxfile={repository.ROOT / 'noxfile.py'}", "-s", "publish", "--"]
    result = run_merged([*words, "--registry=team/slipway", "cpu-base"])
    assert result.returncode == 1
    assert "error: 'team/slipway' names no registry's host" in result.stdout
    assert "Traceback" not in result.stdout


@pytest.mark.usefixtures("fake_cosign")
@pytest.mark.parametrize("status", [401, 403])
def test_without_a_login_the_message_says_how(shop: Workshop, run: Run, proxy: Proxy, status: int) -> None:
    proxy.fail("GET", "", Fault(status=status, headers={"WWW-Authenticate": 'Basic realm="registry"'}))
    shop.make("cpu-base")
    with pytest.raises(SlipwayError, match="docker login HOST"):
        run("cpu-base")
    assert not proxy.written()
