"""The site of the documentation, opened from disk in a real browser: nothing comes from a network."""

from collections.abc import Iterator

import pytest
from playwright import sync_api

from slipway import repository
from tests.helpers.reasons import NO_SITE
from tests.images.helpers.browser import browser as browser

SITE = repository.ROOT / "dist" / "docs"


@pytest.fixture(params=["light", "dark"])
def page(browser: sync_api.Browser, request: pytest.FixtureRequest) -> Iterator[sync_api.Page]:
    """The first page, for somebody who has chosen light or dark; errors and requests to a network fail the test."""
    if not (SITE / "index.html").is_file():
        pytest.skip(NO_SITE)
    context = browser.new_context(color_scheme=request.param, reduced_motion="reduce")
    opened = context.new_page()
    problems: list[str] = []
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("request", lambda sent: None if sent.url.startswith(("file:", "data:")) else problems.append(sent.url))
    opened.goto((SITE / "index.html").as_uri())
    opened.wait_for_url("**/README.html")
    yield opened
    context.close()
    assert problems == []


def test_search_works_from_disk(page: sync_api.Page) -> None:
    field = page.get_by_role("textbox", name="Search").first
    field.fill("FLASH_ATTN_2")
    field.press("Enter")
    page.get_by_role("link", name="Toggles, modes and variables").last.click()
    page.wait_for_url("**/docs/reference.html*")
    assert page.get_by_role("heading", name="Build arguments").is_visible()


def test_pages_are_in_the_readers_colors(page: sync_api.Page, request: pytest.FixtureRequest) -> None:
    """Dark text on light, or light text on dark; the picture of the architecture is there."""
    page.goto((SITE / "docs" / "architecture.html").as_uri())
    color = page.evaluate("getComputedStyle(document.body).color").removeprefix("rgb(").partition(",")[0]
    assert (int(color) > 128) == ("dark" in request.node.name)
    assert page.evaluate("document.querySelector('article img').naturalWidth") > 0
