"""Trims delete and restore whole files, and a row that matches no file is an error."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from slipway import repository
from slipway.audit import globs
from tests.helpers.hosts import put
from tests.helpers.programs import load_script

SCRIPT = repository.ROOT / "docker" / "build" / "python" / "trim.py"
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


@pytest.fixture
def site_packages(tmp_path: Path) -> Path:
    """Two distributions, one with headers and tests in several folders."""
    folder = tmp_path / "site-packages"
    headers = ("torch/include/a.h", "torch/include/deep/b.h")
    for name in (*headers, "torch/__init__.py", "scipy/x/tests/t.py", "scipy/x/x.py"):
        put(folder, name, "12345")
    return folder


@pytest.fixture
def trim(site_packages: Path, monkeypatch: pytest.MonkeyPatch) -> Trim:
    """The script's main function, with these rows, on these distributions."""
    module = load_script(SCRIPT)
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
    """The bytes are those of the files. Rows of other locks, and of Debian packages, are not for it.

    `scipy/**/tests` names the tests of each part.
    """
    trim("torch")
    assert capsys.readouterr().out.split() == ["-10", "torch/include", "-5", "scipy/**/tests"]
    left = {str(path.relative_to(site_packages)) for path in site_packages.rglob("*") if path.is_file()}
    assert left == {"torch/__init__.py", "scipy/x/x.py"}


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
    """A trim that no longer applies would hide a change of a package."""
    with pytest.raises(SystemExit, match=r"'gone/\*' names no file in base any more"):
        trim("base")


def list_patterns() -> list[str]:
    """Return the globs of all files of docker/trims/, without those that only dpkg reads."""
    files = sorted((repository.ROOT / "docker" / "trims").glob("*.toml"))
    rows = [row for file in files for row in tomllib.loads(file.read_text(encoding="utf-8"))["trim"]]
    return sorted({str(row["path"]) for row in rows if not row["path"].startswith("/usr/")})


@pytest.mark.parametrize("pattern", list_patterns())
def test_a_build_and_an_audit_read_a_glob_alike(tmp_path: Path, pattern: str) -> None:
    """The build uses pathlib, the audit a regular expression; compared for matching paths and similar ones."""
    glob = pattern.removeprefix("/")
    folders = {glob.replace("**/", some).replace("**", "x") for some in ("", "m/", "m/n/")}
    starts = {folder.replace("*", part) for folder in folders for part in ("x", "x.y")}
    names = {name for one in starts for name in (one, f"{one}/f", f"{one}/d/f", f"{one}x", f"x{one}", f"p/{one}")}
    for number, name in enumerate(sorted(names)):
        file = tmp_path / str(number) / name
        file.parent.mkdir(parents=True)
        file.touch()
    script = load_script(SCRIPT)
    regex = globs.compile_globs([f"/{glob}"], folders=True)
    for number, name in enumerate(sorted(names)):
        by_build = bool(script.find_files(tmp_path / str(number), glob))
        assert by_build == bool(regex.fullmatch(f"/{name}")), name
    assert {bool(regex.fullmatch(f"/{name}")) for name in names} == {True, False}
