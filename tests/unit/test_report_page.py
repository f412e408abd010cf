"""The page of results: nothing that is missing, damaged or about another image counts, no text is markup."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from slipway.errors import SlipwayError
from slipway.matrix import load_matrix
from slipway.report import page, published_sizes
from slipway.report.page_images import format_bytes
from tests.helpers import report_results
from tests.helpers.report_results import CONTENTS, IMAGE_ID, OTHER_ID, write_case, write_junit

Collect = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def dist(root: Path) -> Path:
    """An empty dist/."""
    return root / "dist"


@pytest.fixture
def collect(dist: Path) -> Collect:
    """Return what the page shows of cpu-base, with some files of its results changed."""

    def run(**changes: str | None) -> dict[str, Any]:
        report_results.write_results(dist / "cpu-base", **changes)
        matrix = load_matrix()
        return dict(page.collect(matrix, [matrix.find_image("cpu-base")])["images"][0])

    return run


def read_steps(image: dict[str, Any]) -> dict[str, str]:
    """Return the outcome of each step, and its details."""
    return {step["step"]: f"{step['outcome']}: {step['detail']}" for step in image["steps"]}


def test_whole_results_are_shown_as_they_are(collect: Collect) -> None:
    """The verdict is that of all steps; components are joined with their licenses and advisories."""
    image = collect()
    assert read_steps(image) == {
        "verdict": "passed: ",
        "build": "passed: ",
        "checks": "passed: 1 passed",
        "audit": "passed: 0 findings",
        "scan": "passed: passed",
        "size": "passed: 270 MB, budget 220 MB to 350 MB",
    }
    rows = {row["name"]: row for row in image["components"]}
    assert rows["libc6"]["licenses"] == ["LGPL-2.1-or-later"]
    assert rows["libc6"]["advisories"] == ["LOW CVE-2026-1234 fixed in 2.42"]
    assert (rows["libc6"]["pull"], rows["NumPy"]["pull"]) == (60_000_000, 30_000_000)
    assert rows["inner"]["bytes"] is None, "the SBOM alone lists it"
    assert len(image["components"]) == 4
    assert image["contents"]["layers"][0]["largest"] == ["libc6 160 MB", "system 10.0 MB"]


@pytest.mark.requirement("T11")
@pytest.mark.parametrize(
    ("file", "step", "session"),
    [("tests_xml", "checks", "test"), ("audit_json", "audit", "audit"), ("scan_json", "scan", "scan")],
)
@pytest.mark.parametrize("state", ["missing", "damaged", "older", "another"])
def test_a_result_that_does_not_count_is_not_run(
    collect: Collect, file: str, step: str, session: str, state: str
) -> None:
    """It is missing, damaged, of an older format, or about another image; the page names the session to run."""
    results = {"audit_json": report_results.AUDIT, "scan_json": report_results.SCAN}
    older, another = json.dumps({"image": IMAGE_ID, "verdict": "passed"}), results.get(file, {}) | {"image": OTHER_ID}
    texts: dict[str, str | None] = {"missing": None, "damaged": '{"image": ', "older": older}
    texts["another"] = json.dumps(another)
    if file == "tests_xml":
        texts |= {"damaged": "<testsuites><te", "older": "<testsuites/>", "another": write_junit(image=OTHER_ID)}
    image = collect(**{file: texts[state]})
    steps = read_steps(image)
    assert steps[step].startswith("not run: ")
    assert steps[step].endswith(f"nox -s {session} -- cpu-base")
    assert image["verdict"] == "not run"


@pytest.mark.parametrize(
    ("changes", "verdict", "step", "detail"),
    [
        ({"tests_xml": write_junit(write_case("a", "no"))}, "failed", "checks", "failed: 1 failed"),
        ({"tests_xml": write_junit(write_case("a"), whole="no")}, "not run", "checks", "not run: a part of the checks"),
        ({"build_json": "{"}, "not run", "build", "not run: build.json cannot be read"),
        ({"contents_json": "[]", "tests_xml": "x"}, "not run", "size", "not run: not measured"),
        ({"tests_xml": write_junit(write_case("a", size=360_000_000))}, "failed", "size", "failed: 360 MB, budget"),
    ],
)
def test_a_verdict_is_the_worst_of_its_steps(
    collect: Collect, changes: dict[str, str], verdict: str, step: str, detail: str
) -> None:
    image = collect(**changes)
    assert image["verdict"] == verdict
    assert read_steps(image)[step].startswith(detail)


def test_a_cut_run_beside_a_whole_one_is_not_counted(collect: Collect) -> None:
    cut = write_junit(write_case("a", "no"), write_case("b"), whole="no")
    assert read_steps(collect(tests_partial_xml=cut))["checks"] == "passed: 1 passed"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bytes": 1}, "the layers add up to 270000000 bytes, the image has 1"),
        ({"components": CONTENTS["components"][:2]}, "the components add up to 260000000 bytes"),
        ({"tree": {"name": "/", "bytes": 1, "component": 7}}, "a component that is not listed"),
        ({"efficiency": 2}, "efficiency"),
        ({"id": OTHER_ID}, "contents.json is about another image"),
        (None, "contents not measured"),
    ],
)
def test_contents_that_do_not_add_up_are_not_shown(
    collect: Collect, change: dict[str, Any] | None, message: str
) -> None:
    """No byte is counted twice; the page names the session that measures them."""
    image = collect(contents_json=None if change is None else json.dumps(CONTENTS | change))
    assert image["contents"] is None
    assert message in image["no_contents"]
    assert image["no_contents"].endswith("nox -s contents -- cpu-base")


@pytest.mark.parametrize(
    ("compressed", "total", "once", "own"),
    [(40_000_000, 220_000_000, 130_000_000, 40_000_000), (None, 640_000_000, 370_000_000, 100_000_000)],
)
def test_shared_layers_are_counted_once(dist: Path, compressed: int | None, total: int, once: int, own: int) -> None:
    """Bytes to pull are those of each layer once; unpacked for all where one is not known compressed."""
    layer = {"diff_id": "sha256:c", "bytes": 100_000_000, "compressed_bytes": compressed}
    larger = CONTENTS | {"bytes": 370_000_000, "layers": [*CONTENTS["layers"], layer]}
    parts = [{**part, "layers": [*part["layers"], 0]} for part in CONTENTS["components"]]
    added = {"kind": "deb", "name": "g++", "version": "1", "bytes": 100_000_000, "layers": [0, 0, 100_000_000]}
    larger["components"] = [*parts, added]
    for name, contents in (("cpu-base", CONTENTS), ("cpu-runtime", larger)):
        report_results.write_results(dist / name, contents_json=json.dumps(contents))
    matrix = load_matrix()
    view = page.collect(matrix, page.choose_images(matrix, []))
    assert (view["shares"]["sum"], view["shares"]["once"]) == (total, once)
    assert [row["own"] for row in view["shares"]["rows"]] == [0, own]
    costs = view["images"][1]["contents"]["updates"]["deb"]
    assert costs == ((40_000_000, 60_000_000) if compressed else (100_000_000, 170_000_000))


def test_history_has_a_row_for_each_image(collect: Collect, dist: Path) -> None:
    """A second report adds nothing; a figure that is no longer there stays; a damaged file is left as it is."""
    collect()
    again = collect(tests_xml="", contents_json="")
    assert [row["bytes"] for row in again["history"]] == [270_000_000]
    newer = json.dumps(report_results.BUILD | {"image": OTHER_ID, "built": "2026-11-21T12:00:00+00:00"})
    assert [row["bytes"] for row in collect(build_json=newer)["history"]] == [270_000_000, None]
    file = dist / "cpu-base" / "history.json"
    file.write_text("{")
    assert collect()["no_history"].endswith("remove it to begin again")
    assert file.read_text() == "{"


def test_a_page_is_written_whole_or_not_at_all(
    dist: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without results, with unknown names, and when it is too large, there is none."""
    with pytest.raises(SlipwayError, match="no results of any image"):
        page.main([])
    with pytest.raises(SlipwayError, match="there is no image 'cpu-bass'"):
        page.main(["cpu-bass"])
    report_results.write_results(dist / "cpu-base")
    with monkeypatch.context() as patch:
        patch.setattr(page, "LARGEST_PAGE", 1_000_000)
        with pytest.raises(SlipwayError, match="name fewer images, nox -s report -- cpu-base"):
            page.main([])
    assert not (dist / "report").exists()
    assert page.main([]) == 0
    assert "1 images" in capsys.readouterr().out
    assert sorted(file.name for file in (dist / "report").iterdir()) == ["index.html", "report.md"]


def test_every_text_of_an_image_is_escaped(dist: Path) -> None:
    """The page's scripts are its own three, and no element or link comes from a result."""
    report_results.write_hostile(dist / "cpu-base")
    assert page.main([]) == 0
    text = (dist / "report" / "index.html").read_text()
    assert re.findall("<script[^>]*>", text) == [
        '<script type="application/json" id="data">',
        '<script type="text/plain" id="plotly">',
        "<script>",
    ]
    assert text.count("</script") == 3
    body = text[text.index("<body>") : text.index('<script type="application/json"')]
    assert "&lt;img src=x onerror=" in body
    for markup in ("<img", "<svg", 'href="javascript', "\u202e", "49`|"):
        assert markup not in body
    assert all(address.startswith("#") for address in re.findall(r'<a[^>]* href="([^"]*)"', body))


def test_the_text_for_a_pull_request_is_no_markup_either(dist: Path) -> None:
    """Texts of an image are code: no HTML, no link, no mention, no other cell of a table."""
    report_results.write_hostile(dist / "cpu-base")
    page.main([])
    text = (dist / "report" / "report.md").read_text()
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    kinds = {part.type for token in tokens for part in (token, *(token.children or ()))}
    assert not {kind for kind in kinds if kind.startswith(("html", "link", "image"))}
    assert "code_inline" in kinds
    assert "**failed**" in text


def test_a_long_text_for_a_pull_request_is_cut(dist: Path) -> None:
    """A comment of GitHub takes no more."""
    cases = [write_case(f"test_{number}", "x" * 300) for number in range(300)]
    report_results.write_results(dist / "cpu-base", tests_xml=write_junit(*cases))
    page.main([])
    text = (dist / "report" / "report.md").read_text()
    assert len(text) <= page.LARGEST_TEXT + 100
    assert text.endswith("The rest is in the page.\n")


def test_published_sizes_are_those_of_the_requirements() -> None:
    """A6, C8 and T3 have the figures; each is compared with an image of the matrix."""
    rows = list(published_sizes.list_published(load_matrix(), {}))
    requirements = (page.TEMPLATES.parents[2] / "docs" / "requirements.md").read_text()
    texts = dict(re.findall(r"(?ms)^- (A6|C8|T3) (.*?)(?=^- |\Z)", requirements))
    for requirement in ("A6", "C8"):
        sizes = {row["bytes"] / 1e9 for row in rows if row["requirement"] == requirement}
        listed = " ".join(re.findall(r"([\d./]+) GB", texts[requirement])).replace("/", " ").split()
        assert sizes == set(map(float, listed))
    limits = {"rocm-base": 2.5, "cpu-base": 1, "cuda-base": 2.5}
    assert all(row["bytes"] / 1e9 < limits[row["own"]] for row in rows if row["requirement"] == "T3")
    assert len(published_sizes.list_silent()) == 2


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, "-"), (0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (999_600, "1.00 MB"), (5_400_000_000, "5.40 GB")],
)
def test_bytes_have_three_digits(number: int | None, text: str) -> None:
    assert format_bytes(number) == text
