"""Scans with the real Trivy, small databases and small images: what is found, and when an image was not scanned."""

import base64
import functools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from slipway import matrix, tools
from slipway.errors import SlipwayError
from slipway.scan import pending_updates, policy, scan, trivy, unused
from slipway.scan.pending_updates import NotRunError
from slipway.scan.trivy import NotScannedError
from tests.helpers import checkout
from tests.helpers.built_images import make_name
from tests.helpers.checkout import small_matrix
from tests.helpers.matrices import parse_matrix
from tests.helpers.programs import write_program
from tests.integration import trivy_database as databases
from tests.integration.registries import running_registry
from tests.integration.trivy_database import WELL_KNOWN, Advisory, debian, python
from tests.integration.try_images import build

pytestmark = [pytest.mark.timeout(600), pytest.mark.requirement("A10", "T10")]

# Packages that a test's image holds beside Debian's own.
INSTALLED = """
FROM debian:trixie-slim
RUN mkdir -p /opt/venv/lib/python3.13/site-packages/shop-1.0.dist-info \\
    && printf 'Metadata-Version: 2.1\\nName: shop\\nVersion: 1.0\\n' \\
        >/opt/venv/lib/python3.13/site-packages/shop-1.0.dist-info/METADATA
USER 1000:0
HEALTHCHECK CMD true
"""
TODAY = policy.find_today()
# A key in form; nothing is locked by it.
BODY = base64.encodebytes(bytes(number * 89 % 251 for number in range(1200))).decode()
KEY = f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}-----END RSA PRIVATE KEY-----\n"


real_scan_settings = trivy.scan_settings
KNOWN_SETTINGS: dict[str, bytes] = {}


def scan_settings_once(program: Path, name: str, config: dict[str, Any], inputs: dict[str, str]) -> bytes:
    """Ask Trivy once for the same settings: most of these images have them."""
    key = trivy.make_dockerfile(config) + str(inputs)
    if key not in KNOWN_SETTINGS:
        KNOWN_SETTINGS[key] = real_scan_settings(program, name, config, inputs)
    return KNOWN_SETTINGS[key]


@functools.cache
def debian_packages(image_id: str) -> list[str]:
    """Return the purls of an image's Debian packages, as dpkg lists them."""
    purl = "--showformat=pkg:deb/debian/${Package}@${Version}?arch=${Architecture}\\n"
    command = ["docker", "run", "--rm", "--network=none", "--entrypoint=dpkg-query", image_id, "--show", purl]
    return subprocess.check_output(command, text=True).splitlines()


class Scanned:
    """A matrix with one image, which a test builds, gives an SBOM and scans."""

    def __init__(self, folder: Path, repository: str) -> None:
        """Take a folder for the evidence and a name for the images."""
        self.matrix = parse_matrix(small_matrix(repository))
        self.image = self.matrix.find_image("cpu-base")
        self.results = folder / "dist" / "cpu-base"
        self.policy = folder / "policy"
        shutil.copytree("policy", self.policy)
        limits = self.policy / policy.LIMITS  # without the components of real images
        limits.write_text(limits.read_text().partition("\n[[component]]")[0] + "\n")
        self.id = ""
        self.accepted: dict[str, list[dict[str, Any]]] = {}

    def build(self, dockerfile: str = INSTALLED, **sbom: str) -> None:
        """Build the image, with an SBOM of what is in it and of what `sbom` says is."""
        self.id = build(dockerfile, self.image.tag)
        self.results.mkdir(parents=True, exist_ok=True)
        (self.results / "build.json").write_text(json.dumps({"image": self.id}))
        self.write_sbom({"shop": "pkg:pypi/shop@1.0", **sbom})

    def write_sbom(self, more: dict[str, str]) -> None:
        """Write the SBOM: Debian's packages as dpkg lists them, and others by purl."""
        purls = [*debian_packages(self.id), *more.values()]
        document = {
            "bomFormat": "CycloneDX",
            "metadata": {"properties": [{"name": "slipway:image", "value": self.id}]},
            "components": [{"name": "x", "version": "1", "purl": purl} for purl in purls],
        }
        (self.results / "sbom.cdx.json").write_text(json.dumps(document))

    def accept(self, kind: str, identifier: str, *, days: int = 30, **where: str) -> None:
        """Accept one more finding for some days: `purls` and `paths`, one each."""
        entries = self.accepted.setdefault(kind, [])
        statement = f"a{' further' * len(entries)} test (owner: a tester)"
        entry = {"id": identifier, "statement": statement, "expired_at": TODAY + timedelta(days=days)}
        entries.append(entry | {key: [text] for key, text in where.items()})
        (self.policy / policy.ACCEPTED).write_text(yaml.safe_dump(self.accepted))

    def limit(self, old: str, new: str) -> None:
        """Replace a text of policy/scan.toml."""
        file = self.policy / policy.LIMITS
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    def append(self, text: str) -> None:
        """Append to policy/scan.toml."""
        with (self.policy / policy.LIMITS).open("a") as file:
            file.write(text)

    def scan(self, *words: str) -> int:
        """Scan it as the command line does; the exit code."""
        return scan.main(["cpu-base", *words])

    @property
    def result(self) -> dict[str, Any]:
        """What scan.json says."""
        return dict(json.loads((self.results / "scan.json").read_text()))

    def reasons(self) -> str:
        """The reasons of the verdict, a line for each."""
        return "\n".join(self.result["reasons"])


@pytest.fixture
def scanned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scanned]:
    """An image that has no pending update and no old lock; it is gone afterwards."""
    made = Scanned(tmp_path, make_name())
    load = policy.load
    monkeypatch.setattr(policy, "load", lambda: load(made.policy))
    monkeypatch.setattr(policy, "find_today", lambda: TODAY)
    monkeypatch.setattr(scan, "load_matrix", lambda: made.matrix)
    monkeypatch.setattr(unused, "load_matrix", lambda: made.matrix)
    monkeypatch.setattr(matrix.Image, "results", property(lambda _: made.results))
    monkeypatch.setattr(pending_updates, "pending_updates", lambda *_: [])
    monkeypatch.setattr(pending_updates, "list_old_locks", lambda *_: [])
    monkeypatch.setattr(trivy, "scan_settings", scan_settings_once)
    monkeypatch.setenv("TRIVY_CACHE_DIR", str(tmp_path / "trivy"))
    yield made
    subprocess.run(["docker", "image", "rm", "--force", made.image.tag], capture_output=True, check=False)


@pytest.fixture
def ready(scanned: Scanned) -> Scanned:
    """The image of INSTALLED, built."""
    scanned.build()
    return scanned


Make = Callable[..., str]


@pytest.fixture
def database(tmp_path: Path) -> Make:
    """Make a database of what every one knows and of some advisories more; the option that names it."""

    def make(*advisories: Advisory, **options: Any) -> str:
        databases.make(tmp_path / "database" / "db", [*WELL_KNOWN, *advisories], **options)
        return f"--database={tmp_path / 'database'}"

    return make


# --- what is found -------------------------------------------------------------------------------

SHOP = python("shop", "1.1", severity="CRITICAL")
PURL = "pkg:pypi/shop@1.0"


@pytest.mark.requirement("N4")
def test_an_image_without_vulnerabilities_passes(
    ready: Scanned, database: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what it rests on: scanner, database, packages of each kind."""
    assert ready.scan(database()) == 0, ready.reasons()
    assert (ready.result["verdict"], ready.result["image"]) == ("passed", ready.id)
    assert ready.result["scanner"] == f"Trivy {tools.read_tool('trivy').version}"
    coverage = {kind["name"]: kind for kind in ready.result["coverage"]}
    assert coverage["pypi"]["listed"] == coverage["pypi"]["examined"] == 1
    assert coverage["deb"]["listed"] == coverage["deb"]["examined"] > 70
    report = json.loads((ready.results / "trivy.json").read_text())
    assert report["SchemaVersion"] == 2
    assert any(result.get("Licenses") for result in report["Results"]), "the audit reads them"
    assert "verdict: passed" in capsys.readouterr().out


def test_a_vulnerable_package_is_found(ready: Scanned, database: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """In the operating system and in Python, with the version that mends it."""
    assert ready.scan(database(debian("bash", "99"), SHOP)) == 1
    assert ready.result["verdict"] == "vulnerable"
    found = {finding["package"]: finding for finding in ready.result["gating"]}
    printed = capsys.readouterr().out
    for package, identifier in (("bash", "CVE-2026-0001"), ("shop", "CVE-2026-0002")):
        assert found[package]["identifier"] == identifier
        assert found[package]["fixed"]
        assert f"{identifier}  {package}" in printed


def test_what_is_not_to_be_mended_now_passes(ready: Scanned, database: Make) -> None:
    """A version that has the fix, a lesser severity, a vulnerability without a fix, another package."""
    passing = [
        debian("bash", "1.0"),
        python("shop", "1.0"),
        debian("bash", "99", severity="MEDIUM", identifier="CVE-2026-0003"),
        debian("bash", "", identifier="CVE-2026-0004"),
        debian("nothing-of-the-image", "99", identifier="CVE-2026-0005"),
    ]
    assert ready.scan(database(*passing)) == 0, ready.reasons()
    found = ready.result["found"]
    assert (found["vulnerability"], found["unfixed"]) == ({"MEDIUM": 1}, {"HIGH": 1})


def test_a_key_in_a_lower_layer_is_found(scanned: Scanned, database: Make) -> None:
    """Deleting it above takes it out of the file system and leaves it in the image; no report shows it."""
    scanned.build(f"{INSTALLED}COPY <<EOT /opt/id_rsa\n{KEY}EOT\nUSER 0\nRUN rm /opt/id_rsa\nUSER 1000:0\n")
    assert scanned.scan(database()) == 1
    assert [(f["kind"], f["package"]) for f in scanned.result["gating"]] == [("secret", "/opt/id_rsa")]
    for name in ("scan.json", "trivy.json"):
        assert BODY.splitlines()[3] not in (scanned.results / name).read_text()


def test_a_secret_in_the_settings_is_found_and_not_repeated(scanned: Scanned, database: Make) -> None:
    """An access key in the environment; neither it nor a word beside it that Trivy does not take for a secret."""
    secret = "AKIA" + "Q3EGRIJ5XTLPVN2M"
    scanned.build(f"{INSTALLED}ENV AWS_ACCESS_KEY_ID={secret}\nENV OPEN=opensesame2\n")
    assert scanned.scan(database()) == 1
    found = {(finding["kind"], finding["package"]) for finding in scanned.result["gating"]}
    assert ("secret", scanned.image.tag) in found
    for name in ("scan.json", "trivy.json"):
        text = (scanned.results / name).read_text()
        assert secret not in text
        assert "opensesame2" not in text


@pytest.mark.parametrize(
    ("settings", "identifier"),
    [("USER 0", "DS-0002"), ("ENV DATABASE_PASSWORD=opensesame1", "DS-0031")],
    ids=["root", "password"],
)
def test_a_misconfiguration_is_found(scanned: Scanned, database: Make, settings: str, identifier: str) -> None:
    """In the image's settings, whatever instructions have made them; a heredoc keeps nothing from being checked."""
    scanned.build(f"{INSTALLED}RUN <<EOT\n    export A=1\n    true\nEOT\n{settings}\n")
    assert scanned.scan(database()) == 1
    found = [(finding["kind"], finding["identifier"]) for finding in scanned.result["gating"]]
    assert found == [("misconfiguration", identifier)]
    assert "opensesame1" not in (scanned.results / "trivy.json").read_text()


def test_nothing_around_the_scan_hides_a_finding(
    ready: Scanned, database: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither Trivy's variables nor its files in the folder where the command is given."""
    for name, value in {
        "TRIVY_SEVERITY": "LOW",
        "TRIVY_IGNORE_UNFIXED": "true",
        "TRIVY_PKG_TYPES": "library",
        "TRIVY_SKIP_FILES": "**/status",
        "TRIVY_SCANNERS": "secret",
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / ".trivyignore").write_text("CVE-2026-0001\n")
    (tmp_path / "trivy.yaml").write_text("severity: [LOW]\nscan: {scanners: [secret]}\n")
    monkeypatch.chdir(tmp_path)
    assert ready.scan(database(debian("bash", "99"))) == 1
    assert ready.result["gating"]


# --- the policy ----------------------------------------------------------------------------------


def test_severities_and_fixes_are_the_policys(
    ready: Scanned, database: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """What does not fail the scan is shown, and can be made to fail it."""
    option = database(debian("bash", "", severity="CRITICAL"), python("shop", "1.1", severity="UNKNOWN"))
    assert ready.scan(option) == 0, ready.reasons()
    assert ready.result["found"]["vulnerability"] == {"UNKNOWN": 1}
    assert ready.result["found"]["unfixed"] == {"CRITICAL": 1}
    assert [(f["kind"], f["package"]) for f in ready.result["shown"]] == [
        ("unfixed", "bash"),
        ("vulnerability", "shop"),
    ]
    assert re.search(r"CRITICAL +CVE-2026-0001 +bash .*allowed by the policy", capsys.readouterr().out)
    ready.limit("unfixed = []", 'unfixed = ["CRITICAL"]')
    ready.limit('vulnerability = ["CRITICAL", "HIGH"]', 'vulnerability = ["UNKNOWN"]')
    assert ready.scan(option) == 1
    assert "vulnerable: the policy does not allow: unfixed 1, vulnerability 1" in ready.reasons()


def test_an_accepted_finding_passes_and_is_told(
    ready: Scanned, database: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """With who accepted it and why; on its last day Trivy itself would take it for expired."""
    ready.accept("vulnerabilities", "CVE-2026-0002", purls=PURL, days=0)
    assert ready.scan(database(SHOP)) == 0, ready.reasons()
    expected = {"identifier": "CVE-2026-0002", "statement": "a test (owner: a tester)", "expires": str(TODAY)}
    assert (ready.result["exceptions"], ready.result["not needed"]) == ([expected], [])
    assert re.search(r"CVE-2026-0002 +shop 1.0 .*ignored: a test \(owner: a tester\)", capsys.readouterr().out)
    assert json.loads((ready.results / "trivy.json").read_text())["Results"][1]["ExperimentalModifiedFindings"]


def test_an_expired_exception_accepts_nothing(ready: Scanned, database: Make) -> None:
    ready.accept("vulnerabilities", "CVE-2026-0002", purls=PURL, days=-1)
    assert ready.scan(database(SHOP)) == 1
    assert ready.result["verdict"] == "vulnerable"
    assert "failed: the exception for CVE-2026-0002 has expired" in ready.reasons()


def test_an_exception_for_something_else_accepts_nothing(ready: Scanned, database: Make) -> None:
    """Another vulnerability, another version or package, another place."""
    ready.accept("vulnerabilities", "CVE-2026-0009", purls=PURL)
    ready.accept("vulnerabilities", "CVE-2026-0002", purls="pkg:pypi/shop@0.9")
    ready.accept("vulnerabilities", "CVE-2026-0002", purls="pkg:pypi/other@1.0")
    ready.accept("vulnerabilities", "CVE-2026-0002", purls=PURL, paths="opt/other/**")
    assert ready.scan(database(SHOP)) == 1
    assert ready.result["verdict"] == "vulnerable"
    assert len(ready.result["not needed"]) == 4


def test_a_secret_is_accepted_in_its_file_alone(scanned: Scanned, database: Make) -> None:
    """And no report shows it."""
    scanned.build(f"{INSTALLED}COPY <<EOT /opt/id_rsa\n{KEY}EOT\nCOPY <<EOT /srv/id_rsa\n{KEY}EOT\n")
    scanned.accept("secrets", "private-key", paths="/opt/*_rsa")
    assert scanned.scan(database()) == 1
    assert [f["package"] for f in scanned.result["gating"]] == ["/srv/id_rsa"]
    assert [f["package"] for f in scanned.result["shown"]] == ["/opt/id_rsa"]
    assert BODY.splitlines()[3] not in (scanned.results / "trivy.json").read_text()


def test_a_misconfiguration_is_accepted_while_there_is_one(scanned: Scanned, database: Make) -> None:
    """Trivy suppresses the check also where it finds nothing."""
    scanned.accept("misconfigurations", "DS-0002", paths="cpu-base.Dockerfile")
    scanned.build(f"{INSTALLED}USER 0\n")
    assert scanned.scan(database()) == 0, scanned.reasons()
    assert [item["identifier"] for item in scanned.result["exceptions"]] == ["DS-0002"]
    scanned.build()
    assert scanned.scan(database()) == 0, scanned.reasons()
    assert [item["identifier"] for item in scanned.result["not needed"]] == ["DS-0002"]


def test_an_exception_that_no_image_needs_fails_once_all_are_scanned(
    ready: Scanned, database: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would accept the next finding. The scan of one image only lists it."""
    ready.accept("vulnerabilities", "CVE-2026-0002", purls=PURL)
    assert ready.scan(database(python("shop", "1.0"))) == 0, ready.reasons()
    with pytest.raises(SlipwayError, match=r"no published image needs these entries .*: CVE-2026-0002, a test"):
        unused.main()
    assert ready.scan(database(python("shop", "1.0"), days=9)) == 3
    assert unused.main() == 0
    assert "unused exceptions: not run, 0 of 1 published images are scanned by this policy" in capsys.readouterr().out
    assert ready.scan(database(SHOP)) == 0, ready.reasons()
    assert unused.main() == 0
    assert "unused exceptions: none in 1 published images" in capsys.readouterr().out


@pytest.mark.parametrize("product", [PURL, "pkg:pypi/other@1.0"])
def test_a_vex_document_is_taken(ready: Scanned, database: Make, tmp_path: Path, product: str) -> None:
    statement = {"vulnerability": {"name": "CVE-2026-0002"}, "products": [{"@id": product}], "status": "not_affected"}
    document: dict[str, Any] = {"@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://example.com/1"}
    document |= {"author": "a tester", "timestamp": f"{TODAY}T00:00:00Z", "version": 1}
    file = tmp_path / "shop.json"
    file.write_text(
        json.dumps(document | {"statements": [statement | {"justification": "vulnerable_code_not_in_execute_path"}]})
    )
    assert ready.scan(database(SHOP), f"--vex={file}") == (0 if product == PURL else 1)
    assert list(ready.result["vex"]) == ["shop.json"]
    assert [item["statement"] for item in ready.result["exceptions"]] == ["VEX document (owner: a tester)"]
    shown = [(f["status"], f["source"]) for f in ready.result["shown"]]
    assert shown == ([("not_affected", "vex-1-shop.json")] if product == PURL else [])


def test_a_vex_document_that_is_none_is_not_scanned(
    ready: Scanned, database: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trivy says why; one without an owner, that is not there or cannot be read is the user's mistake."""
    (tmp_path / "vex.json").write_text("{}")
    with pytest.raises(SlipwayError, match=r"--vex: vex.json must be an OpenVEX or CSAF document with an author"):
        ready.scan(f"--vex={tmp_path / 'vex.json'}")
    (tmp_path / "vex.json").write_text(json.dumps({"author": "a tester", "timestamp": f"{TODAY}T00:00:00Z"}))
    assert_not_scanned(ready, "VEX", database(), f"--vex={tmp_path / 'vex.json'}")
    with pytest.raises(SlipwayError, match="--vex: there is no readable file /nowhere"):
        ready.scan("--vex=/nowhere")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(SlipwayError, match=r"--vex: there is no readable file .*vex.json"):
        ready.scan(f"--vex={tmp_path / 'vex.json'}")


def test_a_wrong_policy_ends_the_scan_before_it_begins(ready: Scanned, database: Make) -> None:
    """An earlier verdict does not outlive it."""
    assert ready.scan(database()) == 0, ready.reasons()
    ready.limit("lock_days = 60", "lock_days = 0")
    with pytest.raises(SlipwayError, match="lock_days is 0"):
        ready.scan(database())
    assert not (ready.results / "scan.json").exists()


# --- not scanned ---------------------------------------------------------------------------------


def assert_not_scanned(scanned: Scanned, reason: str, *words: str) -> None:
    """Its own exit code and the reason."""
    assert scanned.scan(*words) == 3, scanned.reasons()
    assert scanned.result["verdict"] == "not scanned"
    assert reason in scanned.reasons()


@pytest.mark.requirement("N4")
def test_not_scanned_is_accepted_where_it_is_said_in_so_many_words(
    ready: Scanned, database: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verdict stays what it is, and the report shows who accepts it; what an old database finds is still found."""
    option = database(days=4)
    assert_not_scanned(ready, "4.0 days old, and 3 are allowed", option)
    assert ready.result["allow_not_scanned"] is False
    assert ready.scan(option, "--allow-not-scanned") == 0
    assert (ready.result["verdict"], ready.result["allow_not_scanned"]) == ("not scanned", True)
    assert "verdict: not scanned, which --allow-not-scanned accepts" in capsys.readouterr().out
    assert ready.scan(database(debian("bash", "99"), days=9), "--allow-not-scanned") == 1
    assert ready.result["verdict"] == "vulnerable"


@pytest.mark.requirement("T11", "N4")
def test_no_database_is_not_scanned(ready: Scanned, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mirror that does not answer, a folder without it. Secrets are looked for, and no number stands for the rest."""
    assert_not_scanned(ready, "not renewed: Trivy failed", "--db-repository=127.0.0.1:9/none:2")
    assert ready.result["found"] == {"vulnerability": None, "unfixed": None, "secret": {}, "misconfiguration": {}}
    assert re.search(r"(?m)^vulnerability +not run$", capsys.readouterr().out)
    (tmp_path / "empty").mkdir()
    assert_not_scanned(ready, "there is no vulnerability database in ", f"--database={tmp_path / 'empty'}")


LACKS = "the vulnerability database lists no {} packages of this system"


@pytest.mark.parametrize(
    ("known", "schema", "reason"),
    [
        # Trivy finds nothing in the packages of a kind that the database lacks, and says 0.
        ([databases.WELL_KNOWN_DEBIAN], 2, LACKS.format("pypi")),
        ([databases.WELL_KNOWN_PYTHON], 2, LACKS.format("deb")),
        (WELL_KNOWN, 1, "Trivy failed"),
    ],
    ids=["without Python", "without Debian", "another schema"],
)
@pytest.mark.requirement("N4")
def test_a_database_that_lacks_something_is_not_scanned(
    ready: Scanned, tmp_path: Path, known: list[Advisory], schema: int, reason: str
) -> None:
    databases.make(tmp_path / "database" / "db", known, schema=schema)
    assert_not_scanned(ready, reason, f"--database={tmp_path / 'database'}")


EXOTIC = r"""
FROM debian:trixie-slim AS debian
RUN printf 'ID=exotic\nVERSION_ID=1\n' >/usr/lib/os-release && rm /etc/debian_version
FROM scratch
COPY --from=debian / /
USER 1000:0
"""
EXAMINED = "{} pypi packages of the SBOM were examined, not: {}"


@pytest.mark.parametrize(
    ("dockerfile", "sbom", "reason"),
    [
        (EXOTIC, {}, "Trivy does not know the image's operating system"),
        (
            f"{INSTALLED}USER 0\nRUN echo 10.13 >/etc/debian_version\nUSER 1000:0\n",
            {},
            "debian 10.13 gets no security fixes any longer",
        ),
        (INSTALLED, {"hidden": "pkg:pypi/hidden@2.0"}, EXAMINED.format("1 of 2", "hidden 2.0")),
        (INSTALLED, {"shop": "pkg:pypi/shop@9.0"}, EXAMINED.format("0 of 1", "shop 9.0")),
    ],
    ids=["unknown operating system", "release without support", "overlooked package", "another version"],
)
@pytest.mark.requirement("N4")
def test_what_trivy_cannot_judge_is_not_scanned(
    scanned: Scanned, database: Make, dockerfile: str, sbom: dict[str, str], reason: str
) -> None:
    """A package that the SBOM lists and Trivy has not examined is named."""
    scanned.build(dockerfile, **sbom)
    assert_not_scanned(scanned, reason, database())


@pytest.mark.requirement("N4")
def test_what_no_database_knows_is_accepted_by_version(scanned: Scanned, database: Make) -> None:
    """policy/scan.toml gives the reason; what is not named there stays out, whatever its kind."""
    scanned.build(INSTALLED, node="pkg:generic/node@22.1.0", openssl="pkg:generic/openssl@1.0.2")
    reason = "the vulnerability database lists no generic packages of this system: "
    assert_not_scanned(scanned, f"{reason}node 22.1.0, openssl 1.0.2", database())
    named = f'[[component]]\npurl = "pkg:generic/%s"\nreason = "a test"\nexpired_at = {TODAY}\n'
    scanned.append(named % "node@22.1.0")
    assert_not_scanned(scanned, f"{reason}openssl 1.0.2", database())
    scanned.append(named % "openssl@1.0.2")
    assert scanned.scan(database()) == 0, scanned.reasons()
    assert {item["identifier"] for item in scanned.result["exceptions"]} == {
        "pkg:generic/node@22.1.0",
        "pkg:generic/openssl@1.0.2",
    }


@pytest.mark.requirement("N4")
def test_no_sbom_of_this_image_is_not_scanned(ready: Scanned, database: Make) -> None:
    (ready.results / "sbom.cdx.json").unlink()
    assert_not_scanned(ready, "nox -s sbom -- cpu-base", database())


def test_a_scan_that_cannot_ask_debian_is_not_scanned(
    ready: Scanned, database: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that was not run is no pass."""

    def out_of_reach(*_: object) -> list[str]:
        raise NotRunError("Debian's security updates were not reached")

    monkeypatch.setattr(pending_updates, "pending_updates", out_of_reach)
    assert_not_scanned(ready, "Debian's security updates were not reached", database())


def test_a_pending_update_and_an_old_lock_fail(ready: Scanned, database: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_updates, "list_old_locks", lambda *_: ["requirements/x.txt is 99 days old"])
    assert ready.scan(database()) == 1
    assert ready.result["verdict"] == "failed"
    monkeypatch.setattr(pending_updates, "pending_updates", lambda *_: ["openssl 1 -> 2"])
    assert ready.scan(database()) == 1
    assert ready.result["verdict"] == "vulnerable"


# --- a scanner that fails ------------------------------------------------------------------------


@pytest.fixture
def stand_in(ready: Scanned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a shell script in Trivy's place; $real is Trivy."""
    real = tools.provide_program(tools.read_tool("trivy"))

    def put(script: str) -> None:
        program = write_program(tmp_path / "trivy.sh", f"real={real}\n{script}")
        monkeypatch.setattr(tools, "provide_program", lambda _: program)

    return put


IMAGE_ONLY = 'case "$*" in *--image-src*) {} ;; *) exec "$real" "$@" ;; esac'
CRASHES = {
    "killed": ("kill -KILL $$", "Trivy was ended by signal 9"),
    "fails": ("echo FATAL: out of paper >&2; exit 1", "Trivy failed with exit code 1: FATAL: out of paper"),
    "no JSON": ("echo '<report/>'", "Trivy's report cannot be read"),
    "of no image": ("echo '{\"SchemaVersion\": 2}'", "Trivy's report is about another image: it names none"),
    "of another image": (
        '"$real" "$@" | sed "s/sha256:[0-9a-f]\\{64\\}/sha256:0/"',
        "Trivy's report is about another image: sha256:0",
    ),
}


@pytest.mark.requirement("T11", "N4")
@pytest.mark.parametrize("crash", CRASHES)
def test_a_scanner_that_fails_is_not_scanned(
    ready: Scanned, database: Make, stand_in: Callable[[str], None], crash: str
) -> None:
    """It crashes, is killed, or leaves a report that cannot be read or is about something else."""
    script, reason = CRASHES[crash]
    option = database()
    stand_in(IMAGE_ONLY.format(script))
    assert_not_scanned(ready, reason, option)


def test_what_was_found_before_a_failure_is_still_found(
    ready: Scanned, database: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--allow-not-scanned does not accept it."""

    def fails(*_: object) -> str:
        raise NotScannedError("Trivy failed")

    monkeypatch.setattr(trivy, "scan_settings", fails)
    assert ready.scan(database(debian("bash", "99")), "--allow-not-scanned") == 1
    assert ready.result["verdict"] == "vulnerable"
    assert ready.result["found"]["misconfiguration"] is None
    assert "not scanned: Trivy failed" in ready.reasons()


def test_a_scanner_that_hangs_is_not_scanned(
    ready: Scanned, database: Make, stand_in: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    option = database()
    stand_in(IMAGE_ONLY.format("exec sleep 60"))
    monkeypatch.setattr(trivy, "PATIENCE", 3)
    assert_not_scanned(ready, "Trivy did not end within 3 s", option)


# --- where the database comes from ---------------------------------------------------------------


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """A registry on loopback that has the database."""
    archive = databases.pack(
        databases.make(tmp_path / "mirrored", [*WELL_KNOWN, debian("bash", "99")]), tmp_path / "db.tgz"
    )
    with running_registry(tmp_path) as name:
        yield databases.push(name, archive)


def test_the_database_comes_from_a_mirror(
    ready: Scanned, mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real registry, asked by option, and by the variable of Trivy alone."""
    assert ready.scan(f"--db-repository={mirror}") == 1
    assert ready.result["database"]["source"] == mirror
    assert [finding["package"] for finding in ready.result["gating"]] == ["bash"]
    shutil.rmtree(tmp_path / "trivy")
    monkeypatch.setenv("TRIVY_DB_REPOSITORY", mirror)
    assert ready.scan() == 1
    assert [finding["package"] for finding in ready.result["gating"]] == ["bash"]


def test_an_earlier_database_serves_while_it_is_young(ready: Scanned, database: Make, tmp_path: Path) -> None:
    """Where it cannot be renewed, and the report says so."""
    databases.make(tmp_path / "trivy" / "db", days=2)
    assert ready.scan("--db-repository=127.0.0.1:9/none:2") == 0, ready.reasons()
    assert ready.result["database"]["note"].startswith("not renewed: Trivy failed")


# --- the session ---------------------------------------------------------------------------------


def test_nox_passes_the_exit_code_on(tmp_path: Path, database: Make) -> None:
    """An earlier session that failed counts before it. The SBOM is made for the scan."""
    copy = checkout.make(tmp_path / "slipway", make_name())
    try:
        assert copy.nox("-s", "build-cpu(base)").returncode == 0
        words = ["scan", "--", "cpu-base", database()]
        alone = copy.nox("-s", *words)
        assert alone.returncode == 3, alone.stdout
        assert "dist/cpu-base/sbom.cdx.json  " in alone.stdout
        assert "not scanned: the vulnerability database lists no" in alone.stdout
        assert "Traceback" not in alone.stdout
        assert copy.nox("-s", "summary", *words).returncode == 1, "the summary has failed before, without any results"
        assert copy.nox("-s", *words, "--allow-not-scanned").returncode == 0
    finally:
        subprocess.run(["docker", "image", "rm", "--force", copy.tag], capture_output=True, check=False)


# --- what is refused -----------------------------------------------------------------------------


def test_an_image_that_is_not_there_is_refused(ready: Scanned, database: Make) -> None:
    subprocess.run(["docker", "image", "rm", "--force", ready.image.tag], capture_output=True, check=True)
    with pytest.raises(SlipwayError, match="is not an image of this engine; build it"):
        ready.scan(database())


def test_a_database_that_is_not_there_is_refused(ready: Scanned) -> None:
    """It is the user's mistake, and nothing is scanned."""
    with pytest.raises(SlipwayError, match="--database: there is no folder /nowhere"):
        ready.scan("--database=/nowhere")
