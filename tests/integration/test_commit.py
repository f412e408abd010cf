"""The commit on an image's label: the last one that changed what the build can read."""

import subprocess
from pathlib import Path

import pytest

from slipway import matrix
from slipway.build import commit

IMAGE = matrix.load_matrix().find_image("cuda-base")
ROW = 'apt_date = "2026-11-21"\n[variant.cuda]\narguments = { CUDA_VERSION = "13.0" }\nbase = { size_gb = [1, 2] }\n'


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small repository with one commit."""
    monkeypatch.setattr(commit, "ROOT", tmp_path)
    (tmp_path / "app").mkdir()
    files = {
        "Dockerfile.cuda": "FROM debian\n",
        "Dockerfile.cuda.dockerignore": "*\n!app\n!requirements/cuda*.txt\n**/__pycache__\n",
        "app/service.py": "",
        "README.md": "",
        "images.toml": ROW,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    git(tmp_path, "init", "--quiet")
    save(tmp_path)
    return tmp_path


def git(tree: Path, *words: str) -> str:
    """Run git there."""
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    return subprocess.check_output(["git", "-C", tree, *identity, *words], text=True).strip()


def save(tree: Path) -> str:
    """Commit everything; return the commit."""
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "--message=a")
    return git(tree, "rev-parse", "HEAD")


def write(tree: Path, name: str, text: str) -> None:
    """Write a file of the repository."""
    (tree / name).parent.mkdir(exist_ok=True)
    (tree / name).write_text(text)


INSIDE = {
    "Dockerfile.cuda": "FROM debian:13\n",
    "app/new.py": "",
    "requirements/cuda13.0-base.txt": "torch==2\n",
    "images.toml": ROW.replace('"13.0"', '"13.2"'),
}


@pytest.mark.parametrize(("name", "text"), INSIDE.items(), ids=INSIDE)
def test_a_change_of_the_context_is_a_new_commit(tree: Path, name: str, text: str) -> None:
    """Dirty until it is committed, also while git does not know the file."""
    before = commit.find_commit(IMAGE)
    write(tree, name, text)
    assert commit.find_commit(IMAGE) == f"{before}-dirty"
    after = save(tree)
    assert commit.find_commit(IMAGE) == after
    assert after != before


OUTSIDE = {
    "README.md": "# Slipway\n",
    "Dockerfile.cpu": "FROM debian\n",
    "requirements/cpu-base.txt": "torch==2\n",
    "images.toml": ROW.replace("[1, 2]", "[1, 3]"),
}


@pytest.mark.parametrize(("name", "text"), OUTSIDE.items(), ids=OUTSIDE)
def test_a_change_elsewhere_is_none(tree: Path, name: str, text: str) -> None:
    """A budget is no part of the build."""
    before = commit.find_commit(IMAGE)
    write(tree, name, text)
    assert commit.find_commit(IMAGE) == before
    save(tree)
    assert commit.find_commit(IMAGE) == before


def test_the_later_commit_counts(tree: Path) -> None:
    """Of the last one to the files and the last one to the build arguments."""
    write(tree, "images.toml", ROW.replace("21", "22"))
    save(tree)
    write(tree, "app/service.py", "import json\n")
    last = save(tree)
    assert commit.find_commit(IMAGE) == last
    write(tree, "images.toml", ROW.replace("21", "23"))
    assert save(tree) == commit.find_commit(IMAGE)


def test_outside_a_repository_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The label is left out."""
    monkeypatch.setattr(commit, "ROOT", tmp_path)
    write(tmp_path, "Dockerfile.cuda", "")
    write(tmp_path, ".dockerignore", "*\n!app\n")
    assert commit.find_commit(IMAGE) == ""
