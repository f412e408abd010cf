"""What must be in order before an image is published: each reason against it is named, and nothing is sent."""

import re
from collections.abc import Callable

import pytest

from slipway import results, sbom
from slipway.errors import SlipwayError
from slipway.publish import command
from tests.integration.publications import Workshop, git
from tests.integration.registries import Proxy

pytestmark = pytest.mark.usefixtures("fake_cosign")


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


def derived_run(shop: Workshop) -> None:
    change_run(shop, "derived", "yes")


def run_of_unknown_kind(shop: Workshop) -> None:
    image = shop.make("cuda-base")
    text = (image.results / "tests.xml").read_text()
    results.write(image.results / "tests.xml", text.replace('<property name="derived" value="no"/>', ""))


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


def audited_by_a_changed_policy(shop: Workshop) -> None:
    shop.change(shop.make("cuda-base"), "audit.json", commit=f"{shop.commit}-dirty")


def scanned_by_an_unknown_policy(shop: Workshop) -> None:
    shop.change(shop.make("cuda-base"), "scan.json", commit=None)


def sbom_of_the_same_image_changed(shop: Workshop) -> None:
    shop.change(shop.make("cuda-base"), "sbom.cdx.json", components=[])


def malformed_exceptions(shop: Workshop) -> None:
    shop.change(shop.make("cuda-base"), "scan.json", exceptions=[{"identifier": "CVE-2026-12345"}])


def exceptions_of_another_kind(shop: Workshop) -> None:
    shop.change(shop.make("cuda-base"), "scan.json", exceptions=None)


def built_at_no_time(shop: Workshop) -> None:
    shop.change(shop.make("cuda-base"), "build.json", built=None)


def built_in_no_time(shop: Workshop) -> None:
    shop.change(shop.make("cuda-base"), "build.json", seconds="3.5")


def built_on_nothing_known(shop: Workshop) -> None:
    shop.change(shop.make("cuda-base"), "build.json", base={"name": "debian:trixie-slim"})


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


def tool_of_the_machine(shop: Workshop) -> None:
    shop.change(shop.make("cuda-base"), "scan.json", program=f"/usr/bin/trivy sha256:{'0' * 64}")


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
        (derived_run, "not a whole run of the checks of this image"),
        (run_of_unknown_kind, "not a whole run of the checks of this image"),
        (refused_run, "its tests ended with an error"),
        (tested_by_changed_checks, "were changed and not committed"),
        (tested_by_other_checks, "its tests have changed since they ran at commit"),
        (tested_long_ago, r"the result of its tests is \d+ days old, more than 7"),
        (audited_long_ago, r"audit.json is \d+ days old, more than 7"),
        (scanned_at_no_time, "scan.json does not say when it was made"),
        (exception_expired_since, "rests on the exception CVE-2026-12345, which expired on 2026-01-31"),
        (audited_by_a_changed_policy, "the policy or the code of audit.json was changed and not committed"),
        (scanned_by_an_unknown_policy, "the policy or the code of scan.json was changed and not committed"),
        (sbom_of_the_same_image_changed, r"(?s)audit.json is about another sbom\.cdx.*scan.json is about another sbom"),
        (malformed_exceptions, "scan.json has an exception without its identifier"),
        (exceptions_of_another_kind, "scan.json has an exception without its identifier"),
        (built_at_no_time, "build.json does not say when it was built: nox -s build -- cuda-base"),
        (built_in_no_time, "build.json does not say when it was built: nox -s build -- cuda-base"),
        (built_on_nothing_known, "build.json does not say on which base image it was built"),
        (no_sbom, r"there is no readable sbom.spdx.json: nox -s sbom -- cuda-base"),
        (sbom_of_another, "sbom.cdx.json is about another image"),
        (other_sbom_of_another, "sbom.spdx.json is about another image"),
        (strange_sbom, "sbom.cdx.json is about another image"),
        (audit_failed, "the verdict of audit.json is 'failed'"),
        (audit_of_another, "audit.json is about another image"),
        (vulnerable, r"the verdict of scan.json is 'vulnerable': nox -s scan -- cuda-base"),
        (not_scanned, "the verdict of scan.json is 'not scanned'"),
        (no_verdict, "the verdict of scan.json is None"),
        (tool_of_the_machine, "scan.json is by /usr/bin/trivy sha256:0+, not by the one built from tools/"),
        (damaged_scan, "there is no readable scan.json"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.requirement("T10", "T11", "V6", "N5")
def test_what_lacks_evidence_is_refused_before_the_registry_is_asked(
    shop: Workshop,
    run: Callable[..., int],
    proxy: Proxy,
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
def test_images_that_would_share_a_tag_are_refused(shop: Workshop, run: Callable[..., int], proxy: Proxy) -> None:
    """One of them holds another version than its name says; the tag has the version that it holds."""
    shop.make("cuda-base", **{"slipway.cuda": "13.2"})
    shop.make("cuda13.2-base")
    with pytest.raises(SlipwayError, match=r"cuda-base, cuda13\.2-base: .* would both be 0\.1\.0-cuda13\.2-base"):
        run("cuda-base", "cuda13.2-base")
    assert proxy.requests == []


def test_platforms_of_different_commits_are_no_index(shop: Workshop, run: Callable[..., int]) -> None:
    """Whoever pulls the tag gets the same sources on each platform."""
    shop.make("cpu-base")
    git(shop.folder, "commit", "--quiet", "--allow-empty", "--message=More")
    shop.commit = git(shop.folder, "rev-parse", "HEAD")
    shop.make("cpu-base-arm64")
    with pytest.raises(SlipwayError, match="cpu-base, cpu-base-arm64: these were built from different commits"):
        run("cpu-base", "cpu-base-arm64")


def test_every_reason_is_named_at_once(shop: Workshop, target: str) -> None:
    """Of all images, and the missing key."""
    image = shop.make("cuda-base")
    for name in ("audit.json", "scan.json"):
        (image.results / name).unlink()
    shop.test(shop.make("cpu-base"), failures=1)
    with pytest.raises(SlipwayError) as error:
        command.main([f"--registry={target}", "--allow-local-base", "cuda-base", "cpu-base", "cpu-runtime"])
    lines = str(error.value).splitlines()
    assert len(lines) == 6
    assert "no key or identity to sign or verify with" in lines[-1]


@pytest.mark.requirement("T11")
def test_what_was_allowed_not_to_be_scanned_says_so(
    shop: Workshop, run: Callable[..., int], target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """When it is published and when it is verified; its evidence keeps the verdict."""
    image = shop.make("cuda-base")
    shop.change(image, "scan.json", verdict="not scanned", allow_not_scanned=True)
    assert run("cuda-base") == 0
    assert "cuda-base: NOT SCANNED, by --allow-not-scanned" in capsys.readouterr().out
    run("--verify", "latest")
    assert "NOT SCANNED" in capsys.readouterr().out
