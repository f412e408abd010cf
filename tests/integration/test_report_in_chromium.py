"""The page of results in a real Chromium, from disk: it is read, filtered and clicked as people do."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright import sync_api

from slipway import repository
from slipway.report import page
from tests.helpers import report_results
from tests.helpers.report_results import CONTENTS, HOSTILE, write_case, write_junit
from tests.images.helpers.browser import browser as browser

READY = "html[data-ready]"
WIDTHS = {"screen": 1280, "telephone": 400}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page about an image that passes, one that is hostile, and one without contents."""
    folder = tmp_path_factory.mktemp("report")
    dist = folder / "dist"
    cases = [write_case("test_size", size=CONTENTS["bytes"]), write_case("test_ports", "no port", "the traceback")]
    report_results.write_results(dist / "cpu-base", tests_xml=write_junit(*cases))
    report_results.write_hostile(dist / "cpu-runtime")
    report_results.write_results(dist / "cpu-devel", contents_json=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repository, "ROOT", folder)
        assert page.main([]) == 0
    return f"file://{dist / 'report' / 'index.html'}"


@pytest.fixture(params=list(WIDTHS))
def opened(request: pytest.FixtureRequest, browser: sync_api.Browser, address: str) -> Iterator[sync_api.Page]:
    """The open page; at its end nothing was written to the console and nothing was asked of a network."""
    size = sync_api.ViewportSize(width=WIDTHS[request.param], height=900)
    context = browser.new_context(viewport=size, color_scheme="dark" if request.param == "telephone" else "light")
    tab = context.new_page()
    seen: list[str] = []
    tab.on("console", lambda message: seen.append(message.text))
    tab.on("pageerror", lambda error: seen.append(str(error)))
    tab.on("dialog", lambda dialog: seen.append(dialog.message))
    tab.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else seen.append(asked.url))
    tab.goto(address)
    tab.wait_for_selector(READY)
    yield tab
    assert seen == []
    assert tab.evaluate("window.hit") is None, "a text of an image was run"
    assert tab.evaluate("document.documentElement.scrollWidth") <= WIDTHS[request.param]
    context.close()


def show(tab: sync_api.Page, name: str) -> sync_api.Locator:
    """Choose an image; return its view."""
    tab.get_by_label("Image", exact=True).select_option(f"image-{name}")
    view = tab.locator(f"#image-{name}")
    view.wait_for(state="visible")
    return view


def test_an_overview_leads_to_each_image(opened: sync_api.Page) -> None:
    """One view is shown at a time; it has its address."""
    assert opened.locator(".view:visible").count() == 1
    assert opened.locator("#overview .plot svg.main-svg").count() >= 2
    opened.locator("#overview").get_by_role("link", name="cpu-devel").first.click()
    opened.locator("#image-cpu-devel").wait_for(state="visible")
    assert opened.url.endswith("#image-cpu-devel")
    assert "contents not measured: nox -s contents -- cpu-devel" in opened.locator("#image-cpu-devel").inner_text()
    opened.go_back()
    opened.locator("#overview").wait_for(state="visible")


def test_a_folder_opens_in_the_treemap_and_by_keyboard(opened: sync_api.Page) -> None:
    """The chart and the table beside it show the same folder."""
    view = show(opened, "cpu-base")
    trail = view.get_by_role("list", name="Open folder")
    opened.wait_for_selector("#image-cpu-base .slice")
    view.locator("g.slice").filter(has_text="usr").click(position={"x": 8, "y": 8})
    trail.get_by_text("usr").wait_for()
    assert "libc.so.6" in view.get_by_role("region", name="Folders of cpu-base").inner_text()
    trail.get_by_role("button", name="/").press("Enter")
    view.get_by_role("button", name="usr").focus()
    opened.keyboard.press("Enter")
    trail.get_by_text("usr").wait_for()
    assert opened.evaluate("document.activeElement.textContent") == "usr"
    opened.wait_for_function("document.querySelector('#image-cpu-base .plot').data[0].level === '0.0'")


def test_components_and_checks_are_filtered_and_sorted(opened: sync_api.Page) -> None:
    """By a text, by a choice, by a column; the number of rows is said."""
    view = show(opened, "cpu-base")
    components = view.locator("[data-table=components]")
    components.get_by_label("Filter").fill("cve-2026-1234")
    assert components.locator("tbody tr").count() == 1
    assert components.locator("output").inner_text() == "1 of 4"
    link = components.get_by_role("link", name="CVE-2026-1234")
    assert link.get_attribute("href") == "https://www.cve.org/CVERecord?id=CVE-2026-1234"
    components.get_by_label("Filter").fill("")
    components.get_by_role("button", name="component").click()
    names = components.locator("tbody th").all_inner_texts()
    assert names == sorted(names, key=str.lower)
    checks = view.locator("[data-table=checks]")
    checks.get_by_label("Only").select_option("failed")
    assert checks.locator("tbody tr").count() == 1
    checks.get_by_text("output", exact=True).click()
    assert checks.locator("pre").inner_text() == "the traceback"


def test_two_images_are_compared(opened: sync_api.Page) -> None:
    """In bytes to pull and by component."""
    form = opened.locator("#compare")
    form.get_by_label("Compare").select_option("cpu-base")
    form.get_by_label("with").select_option("cpu-runtime")
    text = opened.locator("#compared").inner_text()
    assert "Whoever has cpu-base pulls 0 B for cpu-runtime." in text
    assert HOSTILE[0] in text
    form.get_by_label("with").select_option("cpu-devel")
    assert "contents of both must be measured" in opened.locator("#compared").inner_text()


def test_texts_of_an_image_are_shown_and_not_run(opened: sync_api.Page) -> None:
    """As names of files in the treemap, too, whose labels would take markup."""
    view = show(opened, "cpu-runtime")
    opened.wait_for_selector("#image-cpu-runtime .slice")
    opened.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    text = view.inner_text()
    for hostile in HOSTILE[:-1]:
        assert text.count(hostile) >= 10
    assert HOSTILE[0] in "".join(view.locator("g.slice").all_text_contents())
    assert view.locator("img, iframe, object, svg a, script").count() == 0
    links = view.locator("a").evaluate_all("links => links.map((each) => each.getAttribute('href'))")
    assert all(link.startswith(("#", "https://www.cve.org/CVERecord?id=CVE-")) for link in links)
    view.locator("g.slice").nth(1).click(position={"x": 8, "y": 8})


def test_a_page_prints_what_it_shows(browser: sync_api.Browser, address: str, tmp_path: Path) -> None:
    """In dark surroundings, too, on white and without what only a screen can use."""
    context = browser.new_context(color_scheme="dark")
    tab = context.new_page()
    tab.goto(f"{address}#image-cpu-base")
    tab.wait_for_selector(READY)
    tab.emulate_media(media="print")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not tab.locator("nav").is_visible()
    assert tab.locator("#image-cpu-base table").first.is_visible()
    assert tab.pdf(path=tmp_path / "page.pdf").startswith(b"%PDF")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    charts = tab.locator(".view.current .main-svg")
    assert charts.first.evaluate("(chart) => chart.getBoundingClientRect().width") <= 660
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert charts.first.evaluate("(chart) => chart.getBoundingClientRect().width") > 660
    context.close()
