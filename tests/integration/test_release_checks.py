"""What must be in order before an image is published: each reason against it is named, and nothing is sent."""

import re
import shutil
from collections.abc import Callable, Iterator

import pytest

from slipway import results, sbom
from slipway.errors import SlipwayError
from slipway.publish import command
from tests.integration.publications import OCI, Workshop, git, workshop
from tests.integration.registries import Proxy

pytestmark = pytest.mark.usefixtures("fake_cosign")

Breakage = Callable[[Workshop], object]


@pytest.fixture(scope="module")
def one_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """A repository for all these tests, whose images are loaded into the engine once."""
    with pytest.MonkeyPatch.context() as patch, workshop(tmp_path_factory.mktemp("shop") / "all", patch) as made:
        yield made


@pytest.fixture
def shop(one_shop: Workshop) -> Workshop:
    """The repository at its first commit, without results."""
    one_shop.commit = git(one_shop.folder, "rev-list", "--max-parents=0", "HEAD")
    git(one_shop.folder, "reset", "--quiet", "--hard", one_shop.commit)
    shutil.rmtree(one_shop.folder / "dist", ignore_errors=True)
    return one_shop


def labelled(**labels: str) -> Breakage:
    """An image with other labels."""
    return lambda shop: shop.make("cuda-base", **labels)


def changed(name: str, **content: object) -> Breakage:
    """A document of its evidence with other content."""
    return lambda shop: shop.change(shop.make("cuda-base"), name, **content)


def removed(name: str) -> Breakage:
    """Without a file of its evidence."""
    return lambda shop: (shop.make("cuda-base").results / name).unlink()


def rewritten(name: str, pattern: str, text: str) -> Breakage:
    """A file of its evidence in which another text is."""

    def write(shop: Workshop) -> None:
        file = shop.make("cuda-base").results / name
        results.write(file, re.sub(pattern, text, file.read_text(), flags=re.DOTALL))

    return write


def ran(name: str, value: str) -> Breakage:
    """A run of its checks with another property."""
    return rewritten("tests.xml", rf'(?<=name="{name}" value=")[^"]*', value)


def run_in_part(shop: Workshop) -> None:
    folder = shop.make("cuda-base").results
    (folder / "tests.xml").rename(folder / "tests.partial.xml")


def commit_a_check(shop: Workshop) -> None:
    shop.make("cuda-base")
    (shop.folder / "tests/images").mkdir(parents=True)
    (shop.folder / "tests/images/test_new.py").write_text("")
    git(shop.folder, "add", "--all", "tests")
    git(shop.folder, "commit", "--quiet", "--message=a new check")


def list_another(shop: Workshop) -> None:
    image = shop.make("cuda-base")
    identity = results.read_json(image.results / "build.json")["image"]
    rows = [{"name": sbom.IMAGE, "value": "sha256:1"}, {"name": "of its base", "value": identity}]
    shop.change(image, "sbom.cdx.json", metadata={"properties": rows})


LONG_AGO = "2020-01-01T00:00:00+00:00"
EXPIRED = {"identifier": "CVE-2026-12345", "expires": "2026-01-31"}
MACHINES = f"/usr/bin/trivy sha256:{'0' * 64}"
NOT_WHOLE = "not a whole run of the checks of this image"
NO_TIME = "build.json does not say when it was built: nox -s build -- cuda-base"
NOT_COMMITTED = "was changed and not committed"
LACKS: dict[str, tuple[Breakage, str]] = {
    "dirty": (
        lambda shop: shop.make("cuda-base", **{f"{OCI}.revision": f"{shop.commit}-dirty"}),
        "built from files that differ from commit",
    ),
    "unknown commit": (
        labelled(**{f"{OCI}.revision": "f" * 40}),
        "this repository has no Dockerfile.cuda at commit ffffffffffff",
    ),
    "lying label": (labelled(**{"slipway.cuda": ""}), "has nothing on its label slipway.cuda"),
    "lying flavor": (labelled(**{"slipway.flavor": "devel"}), "has devel on its label slipway.flavor"),
    "rebuilt": (lambda shop: shop.load(shop.make("cuda-base"), "another", {}), "is not the image of its last build"),
    "never built": (removed("build.json"), "it was not built here"),
    "built at no time": (changed("build.json", built=None), NO_TIME),
    "built in no time": (changed("build.json", seconds="3.5"), NO_TIME),
    "unknown base": (
        changed("build.json", base={"name": "debian:trixie-slim"}),
        "build.json does not say on which base image it was built",
    ),
    "untested": (removed("tests.xml"), "it was not tested: nox -s test -- cuda-base"),
    "failed": (
        lambda shop: shop.test(shop.make("cuda-base"), failures=1),
        r"its tests have not passed \(1 failed, 1 passed\)",
    ),
    "tested another": (
        lambda shop: shop.test(shop.make("cuda-base"), of="sha256:1"),
        "its tests are about another image",
    ),
    "tested nothing": (
        rewritten("tests.xml", "<testcase.*</testcase>", ""),
        r"its tests have not passed \(0 failed, 0 passed\)",
    ),
    "damaged tests": (rewritten("tests.xml", r"\A.+\Z", "<testsuites>"), "tests.xml is damaged"),
    "tested in part": (run_in_part, "only a part of its checks was run: nox -s test -- cuda-base"),
    "another contract": (ran("contract", "cpu-base"), NOT_WHOLE),
    "cut run": (ran("whole", "no"), NOT_WHOLE),
    "derived run": (ran("derived", "yes"), NOT_WHOLE),
    "run of unknown kind": (rewritten("tests.xml", '<property name="derived" value="no"/>', ""), NOT_WHOLE),
    "refused run": (ran("exit status", "1"), "its tests ended with an error"),
    "changed checks": (ran("commit", f"{'a' * 40}-dirty"), "were changed and not committed"),
    "other checks": (commit_a_check, "its tests have changed since they ran at commit"),
    "tested long ago": (ran("finished", LONG_AGO), r"the result of its tests is \d+ days old, more than 7"),
    "audited long ago": (changed("audit.json", finished=LONG_AGO), r"audit.json is \d+ days old, more than 7"),
    "scanned at no time": (changed("scan.json", finished=None), "scan.json does not say when it was made"),
    "expired exception": (
        changed("scan.json", exceptions=[EXPIRED]),
        "rests on the exception CVE-2026-12345, which expired on 2026-01-31",
    ),
    "malformed exceptions": (
        changed("scan.json", exceptions=[{"identifier": "CVE-2026-12345"}]),
        "scan.json has an exception without its identifier",
    ),
    "exceptions of another kind": (
        changed("scan.json", exceptions=None),
        "scan.json has an exception without its identifier",
    ),
    "changed policy": (
        lambda shop: shop.change(shop.make("cuda-base"), "audit.json", commit=f"{shop.commit}-dirty"),
        f"the policy or the code of audit.json {NOT_COMMITTED}",
    ),
    "unknown policy": (changed("scan.json", commit=None), f"the policy or the code of scan.json {NOT_COMMITTED}"),
    "changed SBOM": (
        changed("sbom.cdx.json", components=[]),
        r"(?s)audit.json is about another sbom\.cdx.*scan.json is about another sbom",
    ),
    "no SBOM": (removed("sbom.spdx.json"), "there is no readable sbom.spdx.json: nox -s sbom -- cuda-base"),
    "SBOM of another": (list_another, "sbom.cdx.json is about another image"),
    "SPDX of another": (
        changed("sbom.spdx.json", comment=f"{sbom.IMAGE} sha256:1"),
        "sbom.spdx.json is about another image",
    ),
    "strange SBOM": (changed("sbom.cdx.json", metadata=[1]), "sbom.cdx.json is about another image"),
    "audit failed": (changed("audit.json", verdict="failed"), "the verdict of audit.json is 'failed'"),
    "audit of another": (changed("audit.json", image="sha256:1"), "audit.json is about another image"),
    "vulnerable": (
        changed("scan.json", verdict="vulnerable", allow_not_scanned=True),
        "the verdict of scan.json is 'vulnerable': nox -s scan -- cuda-base",
    ),
    "not scanned": (changed("scan.json", verdict="not scanned"), "the verdict of scan.json is 'not scanned'"),
    "no verdict": (changed("scan.json", verdict=None), "the verdict of scan.json is None"),
    "tool of the machine": (
        changed("scan.json", program=MACHINES),
        f"scan.json is by {MACHINES}, not by the one built from tools/",
    ),
    "damaged scan": (rewritten("scan.json", r"\A.+\Z", '{"verdict": "pas'), "there is no readable scan.json"),
}


@pytest.mark.parametrize(("breakage", "reason"), LACKS.values(), ids=LACKS)
@pytest.mark.requirement("T10", "T11", "V6", "N5")
def test_what_lacks_evidence_is_refused_before_the_registry_is_asked(
    shop: Workshop, run: Callable[..., int], proxy: Proxy, breakage: Breakage, reason: str
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
