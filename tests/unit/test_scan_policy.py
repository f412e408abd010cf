"""policy/scan.toml and policy/.trivyignore.yaml: their valid content, and one clear message for each mistake."""

import hashlib
import json
import shutil
from argparse import Namespace
from datetime import timedelta
from pathlib import Path

import pytest

from slipway import repository, results, sbom, tools
from slipway.errors import SlipwayError
from slipway.matrix import load_matrix
from slipway.scan import policy, scan, unused
from slipway.scan.policy import ACCEPTED, LIMITS, Policy

TODAY = policy.find_today()
SOON = TODAY + timedelta(days=30)
ENTRIES = f"""
vulnerabilities:
  - id: CVE-2026-12345
    purls: ["pkg:deb/debian/libexample1@1.2-3", "pkg:pypi/shop@1.0"]
    statement: "nothing here calls the function (owner: platform team)"
    expired_at: {SOON}
secrets:
  - id: private-key
    paths: [/usr/share/doc/example/key.pem]
    statement: "an example's key (owner: platform team)"
    expired_at: {SOON}
"""
COMPONENT = f"""
[[component]]
purl = "pkg:generic/node@22.1.0"
reason = "a program without an entry in any database"
expired_at = {SOON}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A policy with an entry of each kind; the day does not end while a test runs."""
    monkeypatch.setattr(policy, "find_today", lambda: TODAY)
    shutil.copy(Path("policy") / LIMITS, tmp_path)
    with (tmp_path / LIMITS).open("a") as limits:
        limits.write(COMPONENT)
    (tmp_path / ACCEPTED).write_text(ENTRIES)
    return tmp_path


def change(folder: Path, name: str, old: str, new: str) -> Policy:
    """Load the policy with another text in one of its files."""
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))
    return policy.load(folder)


def test_this_repositorys_policy_is_valid() -> None:
    """As it is committed; HIGH and CRITICAL findings fail a scan, vulnerabilities only with a fix."""
    found = policy.load().limits.fails
    assert {kind: set(severities) for kind, severities in found.items()} == {
        "vulnerability": {"HIGH", "CRITICAL"},
        "unfixed": set(),
        "secret": {"HIGH", "CRITICAL"},
        "misconfiguration": {"HIGH", "CRITICAL"},
    }


@pytest.mark.parametrize(("days", "over"), [(0, False), (1, False), (-1, True)])
def test_the_last_day_counts(folder: Path, days: int, over: bool) -> None:  # noqa: FBT001
    """Trivy gets what holds on that day, and no end: its own would be the midnight before."""
    found = change(folder, ACCEPTED, str(SOON), str(TODAY + timedelta(days=days)))
    assert [item.has_expired for item in found.accepted.entries()] == [over, over]
    copy = json.loads(found.accepted.make_copy())
    assert "expired_at" not in str(copy)
    assert [item["id"] for items in copy.values() for item in items] == (
        [] if over else ["CVE-2026-12345", "private-key"]
    )
    assert over or copy["vulnerabilities"][0]["purls"][1] == "pkg:pypi/shop@1.0"


FAR = TODAY.replace(year=TODAY.year + 2, day=1)
MISTAKES = {
    "no YAML": (ACCEPTED, "secrets:", "secrets: [", f"{ACCEPTED} cannot be read"),
    "a list": (ACCEPTED, ENTRIES, "- id: x", "must be a table"),
    "other list": (ACCEPTED, "secrets:", "secret:", "has an unknown key 'secret'; allowed: vulnerabilities, misconf"),
    "misspelled key": (
        ACCEPTED,
        "purls:",
        "purl:",
        r"\[\[vulnerabilities\]\] 1 has an unknown key 'purl'; allowed: id",
    ),
    "every version": (ACCEPTED, "shop@1.0", "shop", "purls is .*; it must be a list of purls with versions"),
    "no purl": (
        ACCEPTED,
        '"pkg:deb/debian/libexample1@1.2-3"',
        "libexample1",
        "purls is .*; it must be a list of purls",
    ),
    "every package": (ACCEPTED, '["pkg:deb/debian/libexample1@1.2-3", "pkg:pypi/shop@1.0"]', "[]", "purls is"),
    "every file": (
        ACCEPTED,
        "    paths: [/usr/share/doc/example/key.pem]\n",
        "",
        "paths is missing; it must be a list",
    ),
    "every folder": (
        ACCEPTED,
        "/usr/share/doc/example/key.pem",
        '"**/key.pem"',
        "paths is .*; it must be a list of files",
    ),
    "every name": (ACCEPTED, "example/key.pem", "example/*", "paths is .*; it must be a list of files, without"),
    "every identifier": (ACCEPTED, "CVE-2026-12345", '"*"', "id is '\\*'; it must be one that a scan names"),
    "no reason": (ACCEPTED, "nothing here calls the function ", "", "statement is .*; it must be one line: REASON"),
    "no owner": (ACCEPTED, " (owner: platform team)", "", "statement is .*; it must be one line: REASON"),
    "no end": (ACCEPTED, f"    expired_at: {SOON}\nsecrets", "secrets", "expired_at is missing; it must be a date"),
    "for ever": (ACCEPTED, str(SOON), str(FAR), "expired_at is .*; it must be a date .* within the next 366 days"),
    "an hour": (ACCEPTED, str(SOON), f"{SOON}T12:00:00Z", "expired_at is .*; it must be a date"),
    "same statement": (
        ACCEPTED,
        "an example's key",
        "nothing here calls the function",
        "two entries have the statement",
    ),
    "unknown severity": (LIMITS, '"HIGH"', '"high"', "vulnerability is .*; it must be a list of CRITICAL"),
    "kind left out": (LIMITS, "unfixed = []", "", "fails is .*; it must be a table with all four kinds"),
    "no number of days": (LIMITS, "lock_days = 60", "lock_days = 0", "lock_days is 0; it must be a whole number"),
    "whole kind": (LIMITS, "node@22.1.0", "node", "purl is 'pkg:generic/node'; it must be a purl with a version"),
    "no reason why": (LIMITS, '"a program without an entry in any database"', '""', "reason is ''"),
    "same component": (LIMITS, COMPONENT, COMPONENT * 2, "two entries have the purl"),
}


@pytest.mark.requirement("T10")
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(folder: Path, mistake: str) -> None:
    """The file, the entry and key, the value found and the allowed ones."""
    *changed, message = MISTAKES[mistake]
    with pytest.raises(SlipwayError, match=message):
        change(folder, *changed)


def test_unused_entries_are_looked_for_in_the_published_images(
    folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Others are rarely built: with them, one that is never scanned would keep an unused entry for ever."""
    current, published = policy.load(folder), load_matrix().published
    monkeypatch.setattr(policy, "load", lambda: current)
    needed = [item.record() for item in current.entries()]
    record = {"complete": True, "policy": current.digest, "exceptions": needed}
    for image in published:
        assert unused.main() == 0
        results.write_json(image.results / "scan.json", record)
    assert unused.main() == 0
    *before, after = capsys.readouterr().out.splitlines()
    assert after == f"unused exceptions: none in {len(published)} published images"
    assert all("unused exceptions: not run" in line for line in before)
    for image in published:
        results.write_json(image.results / "scan.json", record | {"exceptions": needed[1:]})
    with pytest.raises(SlipwayError, match="no published image needs these entries of policy/, remove them: "):
        unused.main()


@pytest.mark.requirement("T10")
def test_a_scan_names_the_policy_and_the_documents_that_it_rests_on(
    folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit of the policy and of the scan's code, and the SBOM and Trivy's report by digest; empty without one."""
    image = load_matrix().find_image("cpu-base")
    monkeypatch.setattr(repository, "describe_head", lambda *paths: " ".join(paths))
    monkeypatch.setattr(tools, "describe_program", lambda _: "trivy")
    results.write_json(image.results / sbom.CYCLONEDX, {})
    options = Namespace(allow_not_scanned=False, vex=[])
    found = scan.make_record(scan.Scan(image, "sha256:1", policy.load(folder)), options, 1)
    assert found["commit"] == "policy requirements slipway/scan slipway/image"
    assert (found["sbom"], found["trivy"]) == (hashlib.sha256(b"{}\n").hexdigest(), "")
