"""The repository's root and git history, and Slipway's folder in the user's cache."""

import os
import re
import subprocess
from pathlib import Path

from platformdirs import user_cache_path

from slipway.errors import SlipwayError

ROOT = Path(__file__).parent.parent


# What git sets for a hook, which may be another repository's, and what changes the meaning of paths.
HOOK = re.compile("GIT_(DIR|WORK_TREE|COMMON_DIR|INDEX_FILE|NAMESPACE|PREFIX|.*OBJECT_DIRECTOR.*|.*_PATHSPECS)")
# A signature's check would stand before each commit, and a refreshed index might be root's.
READ_ONLY = ("--no-optional-locks", "-c", "log.showSignature=false")


class GitError(SlipwayError):
    """git is missing or has failed; the text says why."""


def cache_folder(name: str = "") -> Path:
    """Return Slipway's folder in the user's cache, which XDG_CACHE_HOME moves, or a folder in it."""
    return user_cache_path("slipway") / name


def git(*words: str) -> str:
    """Return the output of git in this repository, without surrounding white space; GitError when it fails."""
    return _run_git(*words).decode(errors="replace").strip()


def describe_head(*paths: str) -> str:
    """Return the commit that is checked out, with -dirty when a file of these paths differs; empty outside git."""
    try:
        commit = git("rev-parse", "HEAD")
        is_dirty = git("status", "--porcelain", "--untracked-files=all", "--", *paths)
    except GitError:
        return ""
    return f"{commit}-dirty" if is_dirty else commit


def file_at(commit: str, path: str) -> bytes | None:
    """Return the content of a file at a commit, None without such a file."""
    try:
        return _run_git("cat-file", "blob", f"{commit}:./{path}")  # this may be a folder of a larger repository
    except GitError:
        return None


def _run_git(*words: str) -> bytes:
    try:
        # Whoever runs a session of this checkout trusts it already, whoever owns it.
        command = ["git", *READ_ONLY, "-c", "safe.directory=*", "-C", str(ROOT), *words]
        environment = {name: value for name, value in os.environ.items() if not HOOK.fullmatch(name)}
        result = subprocess.run(command, env=environment, capture_output=True, check=False)
    except FileNotFoundError:
        raise GitError("there is no git on this machine") from None
    if result.returncode:
        raise GitError(result.stderr.decode(errors="replace").strip())
    return result.stdout
