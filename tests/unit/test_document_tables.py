"""Generated tables of documents: what is written by hand or not measured anew stays."""

from pathlib import Path

import pytest

from slipway import junit
from slipway.errors import SlipwayError
from slipway.matrix import load_matrix
from slipway.report import image_table, markdown_tables
from slipway.results import write_json

TEXT = """before
<!-- sizes: python -m made.up -->
| name | size |
|---|---|
| `a\\|b` | 1 |
| c | |
<!-- /sizes -->
after
"""
BUILD = {"image": "sha256:1", "built": "2026-11-20T12:00:00+00:00", "seconds": 1, "labels": {}}
CONTENTS = {
    "id": "sha256:1",
    "platform": "linux/amd64",
    "bytes": 4 * 10**9,
    "compressed_bytes": 2 * 10**9,
    "layers": [{"diff_id": "sha256:2", "bytes": 4 * 10**9}],
    "components": [{"kind": "deb", "name": "a", "version": "1", "bytes": 4 * 10**9, "layers": [4 * 10**9]}],
    "tree": {"name": "/", "bytes": 4 * 10**9},
    "waste": [],
    "efficiency": 1,
}
IMAGE = load_matrix().find_image("cpu-base")
ROW = f"`{IMAGE.name}`"
REPORT = """<testsuites><testsuite name="pytest" time="1"><properties>
<property name="image" value="{image}"/><property name="whole" value="{whole}"/></properties>
<testcase classname="a" name="size"><properties><property name="size" value="1230000000"/></properties></testcase>
<testcase classname="a" name="one"><properties><property name="seconds_to_health" value="0.5"/></properties></testcase>
<testcase classname="a" name="two"><properties><property name="seconds_to_health" value="0.7"/></properties></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def dist(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of results of an image, which is built; nothing is recorded."""
    monkeypatch.setattr(image_table, "DOCS", root)
    write_json(IMAGE.results / "build.json", BUILD)
    return IMAGE.results


def test_a_table_is_read_and_replaced() -> None:
    """A bar in a cell is escaped; the text around the table stays; an empty cell has one space."""
    rows = markdown_tables.read_rows(TEXT, "sizes")
    assert rows == {"`a\\|b`": ("1",), "c": ("",)}
    assert markdown_tables.replace_table(TEXT, "sizes", ("name", "size"), rows) == TEXT
    changed = markdown_tables.replace_table(TEXT, "sizes", ("name", "size"), {"d": ("2",)})
    assert changed.startswith(
        "before\n<!-- sizes: python -m made.up -->\n| name | size |\n|---|---|\n| d | 2 |\n<!-- /"
    )
    assert changed.endswith("<!-- /sizes -->\nafter\n")
    with pytest.raises(SlipwayError, match="the table sizes has lost its markers"):
        markdown_tables.read_rows("nothing", "sizes")


@pytest.mark.parametrize(
    ("image", "whole", "figures"),
    [
        ("sha256:1", "yes", ("1.23", "", "", "0.70")),
        ("sha256:1", "no", ("9.99", "", "", "")),
        ("sha256:2", "yes", ("9.99", "", "", "")),
    ],
    ids=["whole-run", "cut-run", "other-image"],
)
def test_figures_are_those_of_a_whole_run_of_the_image(
    dist: Path, image: str, whole: str, figures: tuple[str, ...]
) -> None:
    """The start is the slowest mode's. Otherwise what the table has stays."""
    (dist / junit.WHOLE).write_text(REPORT.format(image=image, whole=whole))
    rows = image_table.make_rows({ROW: ("9.99", "", "", "")})
    assert rows[ROW] == (*image_table.list_versions(IMAGE), *figures)


def test_what_is_recorded_comes_first(dist: Path) -> None:
    """It is reviewed. What is not recorded is that of the results, or stays."""
    write_json(dist / "build.json", BUILD | {"cold_seconds": 61.5})
    write_json(dist / "contents.json", CONTENTS)
    assert image_table.make_rows({ROW: ("1", "1", "1", "1.11")})[ROW][-4:] == ("4.00", "2.00", "62", "1.11")
    row = {"bytes": 3 * 10**9, "efficiency": 1, "components": {}}
    recorded = dist.parents[1] / "measurements.json"
    write_json(recorded, {"images": {IMAGE.name: row}})
    assert image_table.make_rows({})[ROW][-4:] == ("3.00", "2.00", "62", "")
    write_json(recorded, {"images": {IMAGE.name: row | {"compressed_bytes": 10**9, "build_seconds": 100.4}}})
    assert image_table.make_rows({})[ROW][-4:] == ("3.00", "1.00", "100", "")


def test_results_of_another_format_are_not_measured(dist: Path) -> None:
    """They are about the image that is built."""
    write_json(dist / "contents.json", {"id": "sha256:1"})
    write_json(dist / "build.json", BUILD | {"cold_seconds": "soon"})
    assert image_table.make_rows({})[ROW][-4:] == ("", "", "", "")


def test_frameworks_are_in_runtime_and_devel_alone() -> None:
    """images.toml names the versions of a variant, all of whose flavors have the others."""
    matrix = load_matrix()
    assert image_table.list_versions(matrix.find_image("cuda12.8-base"))[3:] == ["", "", "1.26.0"]
    assert image_table.list_versions(matrix.find_image("cuda12.8-runtime"))[3:] == ["2.10.0", "2.20.0", "1.26.0"]
