"""The repository's root, its history and the folder in the user's cache."""

import shutil
import subprocess
from pathlib import Path

import pytest

from slipway import repository
from slipway.repository import GitError


def test_the_root_has_the_noxfile() -> None:
    assert (repository.ROOT / "noxfile.py").is_file()


def test_the_cache_is_where_the_user_keeps_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests and people move it by the same variable."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert repository.cache_folder() == tmp_path / "slipway"
    assert repository.cache_folder("tools") == tmp_path / "slipway" / "tools"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert repository.cache_folder("tools") == tmp_path / ".cache" / "slipway" / "tools"


def test_files_as_they_were_at_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the byte, whatever is there now; None for one that was not there."""
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    (tmp_path / "file").write_bytes(b" \xff\n\n")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    repository.git("add", "file")
    repository.git("-c", "user.name=x", "-c", "user.email=x", "commit", "--quiet", "--message=x")
    (tmp_path / "file").write_bytes(b"changed")
    commit = repository.git("rev-parse", "HEAD")
    assert repository.file_at(commit, "file") == b" \xff\n\n"
    assert repository.file_at(commit, "other") is None


def test_what_git_says_is_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a repository, and on a machine without git."""
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    with pytest.raises(GitError, match="not a git repository"):
        repository.git("rev-parse", "HEAD")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not shutil.which("git")
    with pytest.raises(GitError, match="no git on this machine"):
        repository.git("rev-parse", "HEAD")
