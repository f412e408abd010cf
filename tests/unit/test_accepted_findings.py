"""exceptions.toml: its valid content, and one clear message for each mistake."""

from collections.abc import Collection
from datetime import date, timedelta
from pathlib import Path

import pytest

from slipway import matrix
from slipway.errors import SlipwayError
from slipway.scan import accepted_findings
from slipway.scan.accepted_findings import Accepted
from slipway.toml import parse_toml

IMAGES = ("cpu-base", "cuda-devel")
SOON = accepted_findings.find_today() + timedelta(days=30)
ROW = f"""\
[[exception]]
identifier = "CVE-2026-12345"
package = "libexample1"
images = ["cuda-*"]
reason = "the vulnerable function is called by nothing here"
owner = "platform team"
expires = {SOON}
"""


def parse_accepted(text: str, images: Collection[str]) -> tuple[Accepted, ...]:
    """Return the exceptions of a text of exceptions.toml for images of these names."""
    content = parse_toml(text, accepted_findings.Exceptions, accepted_findings.FILE.name)
    return accepted_findings.check_accepted(content, images)


def test_this_repositorys_file_is_valid() -> None:
    """As it is committed."""
    accepted_findings.load_accepted([image.name for image in matrix.load_matrix().images])


def test_a_row_is_read() -> None:
    """All keys, and the images that it applies to."""
    (item,) = parse_accepted(ROW, IMAGES)
    assert (item.identifier, item.package, item.owner, item.expires) == (
        "CVE-2026-12345",
        "libexample1",
        "platform team",
        SOON,
    )
    assert item.applies_to("cuda-devel")
    assert not item.applies_to("cpu-base")


def test_without_images_it_is_for_every_image() -> None:
    (item,) = parse_accepted(ROW.replace('images = ["cuda-*"]\n', ""), IMAGES)
    assert item.applies_to("cpu-base")


def test_no_file_means_no_exception(tmp_path: Path) -> None:
    assert accepted_findings.load_accepted(IMAGES, tmp_path / "exceptions.toml") == ()


@pytest.mark.parametrize(("days", "over"), [(0, False), (1, False), (-1, True)])
def test_the_last_day_counts(days: int, over: bool) -> None:  # noqa: FBT001
    """It holds on the day that it names."""
    text = ROW.replace(str(SOON), str(accepted_findings.find_today() + timedelta(days=days)))
    assert parse_accepted(text, IMAGES)[0].has_expired() is over


@pytest.mark.parametrize(
    "identifier",
    [
        "CVE-2026-1234",
        "CVE-2024-1234567",
        "GHSA-2qqx-w9hr-q5gx",
        "DSA-5701-1",
        "DLA-3800-1",
        "TEMP-0841856-B18BAF",
        "PYSEC-2023-12",
        "GO-2024-2611",
        "RUSTSEC-2024-0001",
        "DS-0002",
        "AVD-DS-0002",
        "private-key",
        "aws-access-key-id",
    ],
)
def test_what_a_scan_names_can_be_accepted(identifier: str) -> None:
    """Vulnerabilities by their databases' numbers, rules of misconfigurations and of secrets."""
    assert parse_accepted(ROW.replace("CVE-2026-12345", identifier), IMAGES)[0].identifier == identifier


FAR = date(accepted_findings.find_today().year + 2, 1, 1)
MISTAKES = {
    "no TOML": ("[[exception]]", "[[exception", "exceptions.toml is not valid TOML"),
    "other table": ("[[exception]]", "[[exemption]]", "has an unknown key 'exemption'; allowed: exception"),
    "one table": ("[[exception]]", "[exception]", r"exception is {.*}; it must be \[\[exception\]\] tables"),
    "unknown key": ("owner =", "owners =", r"\[\[exception\]\] 1 has an unknown key 'owners'; allowed: identifier"),
    "unknown identifier": (
        "CVE-2026-12345",
        "CVE-26-1",
        r"\[\[exception\]\] 1 identifier is 'CVE-26-1'; it must",
    ),
    "every identifier": ("CVE-2026-12345", "*", "identifier is '\\*'"),
    "no identifier": ('identifier = "CVE-2026-12345"', "", "identifier is missing; it must be one that a scan"),
    "no package": ('"libexample1"', '" "', "package is ' '; it must be a string that says something"),
    "no reason": ('reason = "the', '# reason = "the', "reason is missing"),
    "no owner": ('"platform team"', '""', "owner is ''"),
    "unknown image": ("cuda-*", "tpu-*", "images has 'tpu-\\*', which matches no image of images.toml"),
    "no image": ('["cuda-*"]', "[]", "images is \\[\\]; it must be a list of names"),
    "one image": ('["cuda-*"]', '"cuda-*"', "images is 'cuda-\\*'; it must be a list"),
    "no day": (f"expires = {SOON}", "", "expires is missing; it must be a date"),
    "day in quotes": (str(SOON), f'"{SOON}"', "expires is '.*'; it must be a date without quotes"),
    "hour": (str(SOON), f"{SOON}T12:00:00", "expires is .* 12:00:00; it must be a date"),
    "30 February": (str(SOON), "2026-02-30", "exceptions.toml is not valid TOML"),
    "month 13": (str(SOON), "2026-13-01", "exceptions.toml is not valid TOML"),
    "for ever": (str(SOON), "9999-12-31", "expires is 9999-12-31; it must be a date .* within the next 366 days"),
    "in two years": (str(SOON), str(FAR), f"expires is {FAR}; it must be a date .* within"),
    "year 0": (str(SOON), "0000-01-01", "exceptions.toml is not valid TOML"),
}


@pytest.mark.requirement("T10")
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(mistake: str) -> None:
    """The table and key, the value found and the allowed ones."""
    old, new, message = MISTAKES[mistake]
    assert old in ROW
    with pytest.raises(SlipwayError, match=message):
        parse_accepted(ROW.replace(old, new), IMAGES)


def test_the_same_twice_is_named() -> None:
    """The second would outlive the first without a word."""
    with pytest.raises(SlipwayError, match="CVE-2026-12345 of libexample1 is listed twice"):
        parse_accepted(ROW + ROW, IMAGES)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    file = tmp_path / "exceptions.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SlipwayError, match="is not UTF-8 text"):
        accepted_findings.load_accepted(IMAGES, file)
