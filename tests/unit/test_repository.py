"""The repository's root, its history and the folder in the user's cache."""

import shutil
import subprocess
from pathlib import Path

import pytest

from slipway import repository
from slipway.repository import GitError
from tests.helpers.programs import write_program


def test_the_cache_is_where_the_user_keeps_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests and people move it by the same variable."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert repository.cache_folder() == tmp_path / "slipway"
    assert repository.cache_folder("tools") == tmp_path / "slipway" / "tools"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert repository.cache_folder("tools") == tmp_path / ".cache" / "slipway" / "tools"


def test_files_as_they_were_at_a_commit(root: Path) -> None:
    """To the byte, whatever is there now; None for one that was not there."""
    (root / "file").write_bytes(b" \xff\n\n")
    subprocess.run(["git", "init", "--quiet", root], check=True)
    repository.git("add", "file")
    repository.git("-c", "user.name=x", "-c", "user.email=x", "commit", "--quiet", "--message=x")
    (root / "file").write_bytes(b"changed")
    commit = repository.git("rev-parse", "HEAD")
    assert repository.file_at(commit, "file") == b" \xff\n\n"
    assert repository.file_at(commit, "other") is None


def test_settings_of_the_user_and_of_a_hook_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """git tells a hook its own repository, which may be another one; a signature is shown before its commit."""
    for name in ("own", "other"):
        subprocess.run(["git", "init", "--quiet", tmp_path / name], check=True)
    monkeypatch.setattr(repository, "ROOT", tmp_path / "own")
    script = 'cat >/dev/null; printf "\\n[GNUPG:] SIG_CREATED \\n" >&2; echo signature; echo gpg: good >&2'
    signer = write_program(tmp_path / "gpg", script)
    identity = ("-c", "user.name=x", "-c", "user.email=x", "-c", f"gpg.program={signer}")
    repository.git(*identity, "commit", "--gpg-sign=x", "--quiet", "--allow-empty", "--message=x")
    commit = repository.git("rev-parse", "HEAD")
    repository.git("config", "log.showSignature", "true")
    repository.git("config", "gpg.program", str(signer))
    for variable, place in (("GIT_DIR", "other/.git"), ("GIT_WORK_TREE", "other"), ("GIT_INDEX_FILE", "none")):
        monkeypatch.setenv(variable, str(tmp_path / place))
    assert repository.git("log", "-1", "--format=%H") == commit
    assert repository.git("rev-parse", "--show-toplevel") == str(tmp_path / "own")


def test_what_git_says_is_the_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a repository, and on a machine without git."""
    with pytest.raises(GitError, match="not a git repository"):
        repository.git("rev-parse", "HEAD")
    monkeypatch.setenv("PATH", str(root))
    assert not shutil.which("git")
    with pytest.raises(GitError, match="no git on this machine"):
        repository.git("rev-parse", "HEAD")
