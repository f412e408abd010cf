"""The desktop in a real browser: with the password it can be seen and used, without it nothing is shown."""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright import sync_api

from slipway.matrix import Image
from tests.images.helpers.browser import SIZE, load, persist, repeat
from tests.images.helpers.containers import Start, execute, wait_until
from tests.images.helpers.desktop import PASSWORD, Desktop, start_desktop, wait_for_program
from tests.images.helpers.scope import applies

pytestmark = applies(workload="desktop")

# Of the panel's button, and inside the window that it opens: the X server has the browser's size.
TERMINAL = (568, 776)
INSIDE_TERMINAL = (400, 300)
COMMAND = "echo $((6 * 7)) >/tmp/typed\n"
# The screen as noVNC has drawn it: the number of its colours, and of pixels that have changed.
LOOK = """() => {
    const canvas = document.querySelector("#noVNC_container canvas");
    const now = new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    const before = window.before?.length == now.length ? window.before : now;
    window.before = window.before ?? now;
    return {colours: new Set(now).size, changed: now.filter((pixel, i) => pixel != before[i]).length};
}"""
FEWEST_COLOURS = 1000  # the background has five times as many, an empty screen one
STILL_SECONDS = 2
CURSOR_PIXELS = 2000
# The window of a terminal hides at least an eighth of the screen.
TERMINAL_PIXELS = SIZE["width"] * SIZE["height"] // 8


@pytest.fixture(scope="module")
def desktop(start_shared: Start) -> Desktop:
    """A desktop for the browser, with all parts of Xfce."""
    desktop = start_desktop(start_shared)
    for part in ("xfce4-panel", "xfdesktop", "xfwm4"):
        wait_for_program(desktop.container, part)
    return desktop


@contextmanager
def opened(browser: sync_api.Browser, desktop: Desktop, password: str) -> Iterator[tuple[sync_api.Page, int]]:
    """Yield the page that the desktop shows after its form, and the status of the form's answer."""

    def log_in(page: sync_api.Page) -> int:
        if page.locator("#noVNC_container").count():  # the attempt before this one has logged in
            page.context.clear_cookies()
            page.reload()
        page.fill("input[type=password]", password)
        with page.expect_navigation() as navigation:
            page.click("button")
        if navigation.value.status == http.client.OK:
            page.wait_for_selector("#noVNC_container canvas", timeout=20000)
        return int(navigation.value.status)

    with browser.new_context(viewport=SIZE) as context:
        page = context.new_page()
        status = load(page, f"http://127.0.0.1:{desktop.port}/", log_in)
        yield page, status


def shows(page: sync_api.Page, what: str, least: int) -> bool:
    """Tell whether the screen shows at least so many colours or changed pixels."""
    return bool(page.evaluate(LOOK)[what] >= least)


def stands_still(page: sync_api.Page) -> bool:
    """Tell whether the screen does not change for a while, except for a cursor."""
    page.evaluate("() => delete window.before")
    shows(page, "changed", 0)
    page.wait_for_timeout(STILL_SECONDS * 1000)
    return not shows(page, "changed", CURSOR_PIXELS)


def type_into_terminal(page: sync_api.Page) -> None:
    """Focus the terminal, drop the input of an earlier attempt, and type."""
    page.mouse.click(*INSIDE_TERMINAL)
    page.keyboard.press("Control+C")
    page.keyboard.type(COMMAND, delay=20)


@pytest.mark.requirement("C2")
def test_browser_with_a_wrong_password_sees_nothing(browser: sync_api.Browser, desktop: Desktop) -> None:
    """No page, no screen."""
    with opened(browser, desktop, "sesame") as (page, status):
        assert status == 401
        assert page.locator("canvas").count() == 0


@pytest.mark.requirement("C2")
@pytest.mark.timeout(180)
def test_browser_shows_the_desktop(
    browser: sync_api.Browser, desktop: Desktop, contract: Image, pytestconfig: pytest.Config
) -> None:
    """The background is drawn, a click opens a terminal, a command that is typed there runs; the picture is kept."""

    def has_run() -> bool:
        return execute(desktop.container, "cat", "/tmp/typed").output == "42\n"

    with opened(browser, desktop, PASSWORD) as (page, _):
        wait_until(lambda: shows(page, "colours", FEWEST_COLOURS), "the background is drawn")
        wait_until(lambda: stands_still(page), "nothing more is drawn")
        repeat(lambda: page.mouse.click(*TERMINAL), lambda: shows(page, "changed", TERMINAL_PIXELS), "a terminal opens")
        repeat(lambda: type_into_terminal(page), has_run, "the typed command runs")
        if pytestconfig.getoption("--image") == contract.tag:
            contract.results.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=contract.results / "desktop.png")


def test_browser_logs_out(browser: sync_api.Browser, desktop: Desktop) -> None:
    """noVNC's bar has a button that leads back to the form; the browser's own way back shows the form, too."""

    def log_out() -> None:
        with opened(browser, desktop, PASSWORD) as (page, _):
            page.click("#noVNC_control_bar_handle")
            page.click("[title='Log out']")
            page.wait_for_selector("input[type=password]")
            page.go_back()
            page.wait_for_selector("input[type=password]")

    persist(log_out)
