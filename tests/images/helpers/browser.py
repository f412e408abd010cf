"""The Chromium of this host, for checks of pages as people see them."""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from playwright import sync_api

NO_BROWSER = "no Chromium on this host (`nox -s setup -- --browser` installs it on Debian)"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZE = sync_api.ViewportSize(width=1280, height=800)
# Chromium aborts loading whenever a network interface of the host appears or goes, as those of containers do.
ATTEMPTS = 10
ATTEMPT_MILLISECONDS = 5000
Seen = TypeVar("Seen")


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


def load(page: sync_api.Page, address: str, look: Callable[[sync_api.Page], Seen]) -> Seen:
    """Open a page and return what `look` makes of it; where it is not there soon, load it again."""
    page.set_default_timeout(ATTEMPT_MILLISECONDS)

    def visit() -> Seen:
        page.goto(address)
        return look(page)

    return persist(visit)


def persist(act: Callable[[], Seen]) -> Seen:
    """Return what an action in the browser gives; where a page is lost on the way, act again."""
    for _ in range(ATTEMPTS):
        try:
            return act()
        except sync_api.Error as error:
            lost = error
    raise lost


def repeat(act: Callable[[], None], met: Callable[[], bool], what: str) -> None:
    """Repeat an action until it has its effect: a window that is not open yet takes no click and no key."""
    for _ in range(ATTEMPTS):
        with contextlib.suppress(sync_api.Error):  # what it acts on is not there yet
            act()
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            if met():
                return
            time.sleep(0.1)
    pytest.fail(f"not after {ATTEMPTS} attempts: {what}")
