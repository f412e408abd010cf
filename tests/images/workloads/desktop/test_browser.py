"""The desktop in a real browser: with the password it can be seen and used, without it nothing is shown."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright import sync_api

from slipway.matrix import Image
from tests.images.helpers.containers import Start, wait_until
from tests.images.helpers.desktop import PASSWORD, Desktop, start_desktop, wait_for_program
from tests.images.helpers.scope import applies

pytestmark = applies(workload="desktop")

NO_BROWSER = "no Chromium on this host (`nox -s setup -- --browser` installs it on Debian)"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# The size of the X server, too, so that the panel's buttons keep their places.
SIZE = sync_api.ViewportSize(width=1280, height=800)
TERMINAL = (568, 776)
INSIDE_TERMINAL = (400, 300)
COMMAND = "echo $((6 * 7)) >/tmp/typed\n"
# Chromium aborts loading whenever a network interface of the host appears or goes, as those of containers do.
ATTEMPTS = 10
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
def browser() -> Iterator[sync_api.Browser]:
    """The Chromium of this host; without one the check is not run."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        pytest.skip(NO_BROWSER)
    # Chromium has no sandbox for root.
    with sync_api.sync_playwright() as playwright:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=found, args=options)
        yield browser
        browser.close()


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
    with browser.new_context(viewport=SIZE) as context:
        page = context.new_page()
        page.set_default_timeout(5000)
        for _ in range(ATTEMPTS):
            try:
                page.goto(f"http://127.0.0.1:{desktop.port}/")
                page.fill("input[type=password]", password)
                with page.expect_navigation() as navigation:
                    page.click("button")
                answer = navigation.value
                if answer.status == 200:
                    page.wait_for_selector("#noVNC_container canvas")
                break
            except sync_api.Error as error:
                lost = error
        else:
            raise lost
        assert answer
        yield page, answer.status


def shows(page: sync_api.Page, what: str, least: int) -> bool:
    """Tell whether the screen shows at least so many colours or changed pixels."""
    return bool(page.evaluate(LOOK)[what] >= least)


def stands_still(page: sync_api.Page) -> bool:
    """Tell whether the screen does not change for a while, except for a cursor."""
    page.evaluate("() => delete window.before")
    shows(page, "changed", 0)
    page.wait_for_timeout(STILL_SECONDS * 1000)
    return not shows(page, "changed", CURSOR_PIXELS)


def repeat(act: Callable[[], None], met: Callable[[], bool], what: str) -> None:
    """Repeat an action until it has its effect: a window that is not open yet takes no click and no key."""
    for _ in range(ATTEMPTS):
        act()
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            if met():
                return
            time.sleep(0.1)
    pytest.fail(f"not after {ATTEMPTS} attempts: {what}")


def type_into_terminal(page: sync_api.Page) -> None:
    """Focus the terminal, drop the input of an earlier attempt, and type."""
    page.mouse.click(*INSIDE_TERMINAL)
    page.keyboard.press("Control+C")
    page.keyboard.type(COMMAND, delay=20)


@pytest.mark.requirement("C2", "T12")
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
        return bool(desktop.container.exec_run("cat /tmp/typed")[1] == b"42\n")

    with opened(browser, desktop, PASSWORD) as (page, _):
        wait_until(lambda: shows(page, "colours", FEWEST_COLOURS), "the background is drawn")
        wait_until(lambda: stands_still(page), "nothing more is drawn")
        repeat(lambda: page.mouse.click(*TERMINAL), lambda: shows(page, "changed", TERMINAL_PIXELS), "a terminal opens")
        repeat(lambda: type_into_terminal(page), has_run, "the typed command runs")
        if pytestconfig.getoption("--image") == contract.tag:
            contract.results.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=contract.results / "desktop.png")


@pytest.mark.requirement("T12")
def test_browser_logs_out(browser: sync_api.Browser, desktop: Desktop) -> None:
    """noVNC's bar has a button that leads back to the form; the browser's own way back shows the form, too."""
    with opened(browser, desktop, PASSWORD) as (page, _):
        page.click("#noVNC_control_bar_handle")
        page.click("[title='Log out']")
        page.wait_for_selector("input[type=password]")
        page.go_back()
        page.wait_for_selector("input[type=password]")
