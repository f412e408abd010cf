"""Trims delete whole files and restore them, and a row that names nothing is an error."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from slipway import matrix

HEADERS = """
[[trim]]
path = "torch/include"
layer = "torch"
restored = true

[[trim]]
path = "scipy/**/tests"
layer = "data-science"

[[trim]]
path = "gone/*"
layer = "base"

[[trim]]
path = "of/another"
layer = "torch"
locks = ["cuda12.8"]

[[trim]]
path = "/usr/bin/absent"
layer = "torch"
"""
Trim = Callable[..., None]


def load() -> ModuleType:
    """Return the script that runs inside builds, as a module."""
    file = matrix.ROOT / "docker" / "build" / "python" / "trim.py"
    spec = importlib.util.spec_from_file_location("trim", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def site_packages(tmp_path: Path) -> Path:
    """Two distributions, one with headers and tests in several folders."""
    folder = tmp_path / "site-packages"
    for name in (
        "torch/__init__.py",
        "torch/include/a.h",
        "torch/include/deep/b.h",
        "scipy/x/tests/t.py",
        "scipy/x/x.py",
    ):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("12345")
    return folder


@pytest.fixture
def trim(site_packages: Path, monkeypatch: pytest.MonkeyPatch) -> Trim:
    """The script's main function, with these rows, on these distributions."""
    module = load()
    rows = site_packages.with_name("trims")
    rows.write_text(HEADERS)
    monkeypatch.setattr(module, "SITE_PACKAGES", site_packages)
    monkeypatch.setattr(module, "TRIMS", rows)
    monkeypatch.setenv("LOCKS", "cuda13.0")
    main: Trim = module.main
    return main


def test_a_folder_goes_with_all_in_it_and_nothing_beside_it(
    site_packages: Path, trim: Trim, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bytes are those of the files. Rows of other locks, and of Debian packages, are not for it."""
    trim("torch")
    assert capsys.readouterr().out.split() == ["-10", "torch/include", "-5", "scipy/**/tests"]
    assert not (site_packages / "torch/include").exists()
    assert (site_packages / "torch/__init__.py").exists()


def test_a_pattern_reaches_every_depth(site_packages: Path, trim: Trim) -> None:
    """`scipy/**/tests` names the tests of each part."""
    trim("data-science")
    assert (site_packages / "scipy/x/x.py").exists()
    assert not (site_packages / "scipy/x/tests").exists()


def test_devel_gets_files_back(site_packages: Path, trim: Trim, capsys: pytest.CaptureFixture[str]) -> None:
    """From links into the cache, as files of its own."""
    wheels = site_packages.with_name("wheels")
    (wheels / "torch/include").mkdir(parents=True)
    (wheels / "torch/include/a.h").symlink_to(site_packages / "torch/__init__.py")
    trim("torch")
    capsys.readouterr()
    trim("--restore", str(wheels))
    assert capsys.readouterr().out.split() == ["+5", "torch/include"]
    assert not (site_packages / "torch/include/a.h").is_symlink()
    assert (site_packages / "torch/include/a.h").read_text() == "12345"


def test_later_layers_leave_the_same_files_out(site_packages: Path, trim: Trim) -> None:
    """Headers of several packages share a folder; devel keeps those of its own."""
    trim("torch")
    for layer, kept in (("data-science", False), ("devel", True)):
        header = site_packages / "torch/include/more.h"
        header.parent.mkdir(exist_ok=True)
        header.touch()
        (site_packages / "scipy/x/tests").mkdir(exist_ok=True)
        (site_packages / "scipy/x/tests/t.py").touch()
        trim(layer)
        assert header.exists() == kept


def test_a_row_that_names_nothing_any_more_is_an_error(trim: Trim) -> None:
    """A trim that no longer applies would hide that a package changed."""
    with pytest.raises(SystemExit, match=r"'gone/\*' names no file in base any more"):
        trim("base")
