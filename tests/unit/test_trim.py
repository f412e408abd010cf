"""Trims delete whole files and restore them, and an entry that names nothing is an error."""

from pathlib import Path

import pytest

from slipway import trim

HEADERS = {"path": "torch/include", "stages": ["base", "runtime"]}


@pytest.fixture
def site_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two distributions, one with headers and tests in several folders."""
    for name in (
        "torch/__init__.py",
        "torch/include/a.h",
        "torch/include/deep/b.h",
        "scipy/x/tests/t.py",
        "scipy/x/x.py",
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("12345")
    monkeypatch.setattr(trim, "SITE_PACKAGES", tmp_path)
    return tmp_path


def test_a_folder_goes_with_all_in_it_and_nothing_beside_it(site_packages: Path) -> None:
    """The bytes are those of the files."""
    assert trim.apply(HEADERS, "base", None) == -10
    assert not (site_packages / "torch/include").exists()
    assert (site_packages / "torch/__init__.py").exists()


def test_a_pattern_reaches_every_depth(site_packages: Path) -> None:
    """`scipy/**/tests` names the tests of each part."""
    assert trim.apply({"path": "scipy/**/tests", "stages": ["base"]}, "base", None) == -5
    assert (site_packages / "scipy/x/x.py").exists()
    assert not (site_packages / "scipy/x/tests").exists()


def test_a_later_stage_restores_what_it_needs(site_packages: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """From links into the cache, as files of its own."""
    wheels = tmp_path_factory.mktemp("wheels")
    (wheels / "torch/include").mkdir(parents=True)
    (wheels / "torch/include/a.h").symlink_to(site_packages / "torch/__init__.py")
    trim.apply(HEADERS, "base", None)
    assert trim.apply(HEADERS, "devel", wheels) == 5
    assert not (site_packages / "torch/include/a.h").is_symlink()
    assert (site_packages / "torch/include/a.h").read_text() == "12345"


def test_an_entry_that_names_nothing_any_more_is_an_error(site_packages: Path) -> None:
    """A trim that no longer applies would hide that a package changed."""
    assert site_packages.is_dir()
    with pytest.raises(SystemExit, match="names no file in base any more"):
        trim.apply({"path": "gone/*", "stages": ["base"]}, "base", None)


@pytest.mark.usefixtures("site_packages")
def test_a_later_stage_may_find_nothing_left(tmp_path: Path) -> None:
    """The stage below has deleted it already."""
    assert trim.apply({"path": "gone/*", "stages": ["base", "runtime"]}, "runtime", None) == 0
    assert tmp_path.is_dir()


def test_debians_files_are_left_out_in_a_run_of_their_own(
    site_packages: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The RUN that installs Debian's packages knows no wheel yet, and that of the wheels comes too late."""
    entry = '[[trim]]\npath = "{}"\naccelerators = ["rocm"]\nstages = ["{}"]\n'
    paths = {"torch/include": "base", "/usr/absent/tool": "devel"}
    (site_packages / "trims.toml").write_text("".join(entry.format(*item) for item in paths.items()))
    monkeypatch.setattr(trim, "__file__", str(site_packages / "trim.py"))
    trim.main("rocm", "base", debian=True)
    assert capsys.readouterr().out.split() == ["+0", "/usr/absent/tool"]
    trim.main("rocm", "base")
    assert capsys.readouterr().out.split() == ["-10", "torch/include"]


def test_the_folders_below_usr_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """They belong to Debian's packages, and dpkg would write its lists anew where one is missing."""
    removed: list[Path] = []

    def rmdir(folder: Path) -> None:
        removed.append(folder)

    monkeypatch.setattr(Path, "rmdir", rmdir)
    monkeypatch.setattr(Path, "unlink", lambda _: None)
    trim.remove([Path("/usr/bin/env")])
    assert removed == [Path("/")]
