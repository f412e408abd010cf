"""Themes, creative applications and OBS: installed with their toggle, and no part of them without it."""

import pytest
from docker.models.containers import Container

from slipway.matrix import Image
from tests.images.helpers.containers import Run, inside
from tests.images.helpers.scope import applies
from tests.images.helpers.workbench import is_on

pytestmark = applies(workload="desktop")

PACKAGES = {
    "THEMES": ["arc-theme", "greybird-gtk-theme", "papirus-icon-theme"],
    "CREATIVE": ["blender", "gimp", "inkscape"],
    "OBS": ["obs-studio"],
}
TOGGLES = [(toggle, package) for toggle, packages in PACKAGES.items() for package in packages]
# What each prints for --version. Settings are written to the temporary folder: the home is read-only here.
PROGRAMS = {
    "CREATIVE": {"blender": "Blender 4", "gimp": "GNU Image Manipulation Program version", "inkscape": "Inkscape 1"},
    "OBS": {"obs": "OBS Studio"},
}
VERSIONS = [(toggle, *program) for toggle, programs in PROGRAMS.items() for program in programs.items()]
THEMES = ["/usr/share/themes/Arc", "/usr/share/themes/Greybird", "/usr/share/icons/Papirus"]
# Draws a square and writes it as PNG: one check that more than `--version` works.
SQUARE = """
echo '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>' >/tmp/square.svg
inkscape --export-filename=/tmp/square.png /tmp/square.svg >&2 && head -c 8 /tmp/square.png | od -An -c
"""


@pytest.mark.requirement("C3", "T2")
@pytest.mark.parametrize(("toggle", "package"), TOGGLES)
def test_toggle_decides_what_is_installed(packages: dict[str, str], contract: Image, toggle: str, package: str) -> None:
    """By dpkg's record."""
    assert (packages.get(package) == "ii") == is_on(contract, toggle)


@pytest.mark.requirement("C2", "C3")
@pytest.mark.parametrize(("toggle", "program", "version"), VERSIONS)
def test_program_is_there_by_its_toggle(run: Run, contract: Image, toggle: str, program: str, version: str) -> None:
    """It starts and prints its name; without the toggle there is no such command."""
    finished = run("sh", "-c", 'command -v "$0" && exec "$0" --version', program, environment={"HOME": "/tmp"})
    assert (finished.exit_code == 0) == is_on(contract, toggle), finished
    assert (version in finished.output) == is_on(contract, toggle), finished


@pytest.fixture(scope="module")
def indexes(idle: Container) -> list[str]:
    """The indexes of themes that are there."""
    paths = [f"{folder}/index.theme" for folder in THEMES]
    return inside(idle, "sh", "-c", 'for path; do [ ! -e "$path" ] || echo "$path"; done', "sh", *paths).splitlines()


@pytest.mark.requirement("C3")
@pytest.mark.parametrize("folder", THEMES)
def test_theme_is_there_by_its_toggle(indexes: list[str], contract: Image, folder: str) -> None:
    """Xfce's settings look for themes there."""
    assert (f"{folder}/index.theme" in indexes) == is_on(contract, "THEMES")


@pytest.mark.requirement("C2")
def test_inkscape_draws(run: Run, contract: Image) -> None:
    """A picture goes in as SVG and comes out as PNG; without the toggle there is nothing to draw with."""
    finished = run("sh", "-c", SQUARE, environment={"HOME": "/tmp"})
    assert ("P   N   G" in finished.output) == is_on(contract, "CREATIVE"), finished
