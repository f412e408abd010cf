"""JupyterLab's launcher in a real browser, below a path of a platform: what it opens works.

It is checked on images with a desktop, the checks of which want a browser on this host anyway.
"""

from collections.abc import Iterator

import pytest
from playwright import sync_api

from tests.images.helpers.browser import SIZE, load, repeat
from tests.images.helpers.containers import Start
from tests.images.helpers.scope import applies
from tests.images.helpers.workbench import CREDENTIALS, SECRET, Workbench, open_workbench

pytestmark = applies(workload="desktop")

# What a terminal, a notebook and a program of the entry point have in common; the last word names who wrote it.
COMMAND = 'echo "$(umask) $(locale charmap) $HOME" >/data/{name}'
SURROUNDINGS = "0002 UTF-8 /data\n"
PREFIX = "/notebook/project/name"
CARD = ".jp-LauncherCard[data-category='{}']:has-text('{}')"


@pytest.fixture(scope="module")
def running(start_shared: Start) -> Workbench:
    """JupyterLab with code-server behind it, below a platform's path."""
    return open_workbench(start_shared, "workbench", environment=CREDENTIALS["workbench"] | {"NB_PREFIX": PREFIX})


@pytest.fixture
def launcher(browser: sync_api.Browser, running: Workbench) -> Iterator[sync_api.Page]:
    """JupyterLab's page with nothing open."""
    with browser.new_context(viewport=SIZE) as context:
        page = context.new_page()
        address = f"http://127.0.0.1:{running.port}{PREFIX}/lab?reset&token={SECRET}"
        load(page, address, lambda page: page.wait_for_selector(CARD.format("Other", "Terminal"), timeout=20000))
        yield page


@pytest.mark.requirement("A11")
def test_launcher_shows_vs_code(launcher: sync_api.Page) -> None:
    """Its card has a picture, and opens the editor with the volume's files."""
    card = launcher.locator(CARD.format("Notebook", "VS Code"))
    assert card.locator("img").evaluate("picture => picture.decode().then(() => picture.naturalWidth)") > 0

    def find_editors() -> list[sync_api.Page]:
        launcher.wait_for_timeout(100)
        return [page for page in launcher.context.pages if f"{PREFIX}/code/" in page.url]

    repeat(card.click, lambda: bool(find_editors()), "the editor opens in another tab")
    editor = find_editors()[0]
    load(
        editor,
        editor.url,
        lambda page: page.wait_for_selector(".monaco-workbench .explorer-folders-view", timeout=20000),
    )


@pytest.mark.requirement("A11")
def test_launcher_opens_a_terminal(launcher: sync_api.Page, running: Workbench) -> None:
    """What is typed there runs, with the surroundings of every program of the workbench."""
    card = launcher.locator(CARD.format("Other", "Terminal"))
    command = COMMAND.format(name="terminal")

    def type_command() -> None:
        if card.is_visible():
            card.click()
        launcher.locator(".jp-Terminal .xterm-helper-textarea").press_sequentially(f"{command}\n")

    repeat(type_command, lambda: running.inside("cat /data/terminal") == (0, SURROUNDINGS), "the typed command runs")


@pytest.mark.requirement("A11")
def test_launcher_opens_a_notebook(launcher: sync_api.Page, running: Workbench) -> None:
    """A cell of it runs, with the same surroundings."""
    card = launcher.locator(CARD.format("Notebook", "Python 3"))
    command = COMMAND.format(name="notebook")

    def run_cell() -> None:
        if card.is_visible():
            card.click()
        launcher.locator(".jp-Notebook .cm-content").first.fill(f"!{command}")
        launcher.keyboard.press("Shift+Enter")

    repeat(run_cell, lambda: running.inside("cat /data/notebook") == (0, SURROUNDINGS), "the cell runs")
