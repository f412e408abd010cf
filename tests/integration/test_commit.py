"""The commit on an image's label: the last one that changed what the build can read."""

import os
import subprocess
from pathlib import Path

import pytest

from slipway import matrix, repository
from slipway.build import commit, labels
from slipway.errors import SlipwayError

IMAGE = matrix.load_matrix().find_image("cuda-base")
ROW = 'apt_date = "2026-11-21"\n[variant.cuda]\narguments = { CUDA_VERSION = "13.0" }\nbase = { size_gb = [1, 2] }\n'
DOCKERFILE = """FROM debian AS base
RUN --mount=type=cache,id=apt,target=/apt --mount=source=docker/build/apt,target=/apt \\
    --mount=type=bind,source=requirements/${LOCKS}-base.txt,target=/lock --mount=from=uv,source=/opt/uv,target=/uv true
COPY --chown=0:0 LICENSE app/ /app/
COPY --from=uv README.md /
COPY <<EOT /etc/motd
EOT
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small repository with one commit."""
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    files = {"Dockerfile.cuda": DOCKERFILE, "app/service.py": "", "README.md": "", "images.toml": ROW}
    for name, text in files.items():
        write(tmp_path, name, text)
    git(tmp_path, "init", "--quiet")
    save(tmp_path)
    return tmp_path


def git(tree: Path, *words: str) -> str:
    """Run git there."""
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    return subprocess.check_output(["git", "-C", tree, *identity, *words], text=True).strip()


def find_commit() -> str:
    """Return the commit of the image."""
    return commit.find_commit(commit.list_context(IMAGE))


def save(tree: Path) -> str:
    """Commit everything; return the commit."""
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "--message=a")
    return git(tree, "rev-parse", "HEAD")


def write(tree: Path, name: str, text: str) -> None:
    """Write a file of the repository."""
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text(text)


CHANGES = [
    ("Dockerfile.cuda", DOCKERFILE.replace("debian", "debian:13"), True),
    ("app/new.py", "", True),
    ("app/a__pycache__.py", "", True),  # no cache of Python's
    ("app/__pycache__s/service.py", "", True),
    ("LICENSE", "none\n", True),
    ("docker/build/apt/install", "#!/bin/sh\n", True),
    ("requirements/cuda13.0-base.txt", "torch==2\n", True),
    ("images.toml", ROW.replace('"13.0"', '"13.2"'), True),
    ("README.md", "# Slipway\n", False),
    ("Dockerfile.cpu", "FROM debian\n", False),
    ("requirements/cpu-base.txt", "torch==2\n", False),
    ("requirements/cuda13.0-devel.txt", "torch==2\n", False),
    ("docker/build/python/compile.py", "", False),
    ("images.toml", ROW.replace("[1, 2]", "[1, 3]"), False),  # a budget is no part of the build
]


@pytest.mark.parametrize(("name", "text", "is_inside"), CHANGES)
def test_a_change_of_the_context_is_a_new_commit(tree: Path, name: str, text: str, *, is_inside: bool) -> None:
    """Dirty until it is committed, also while git does not know the file; a change elsewhere is none."""
    before = find_commit()
    write(tree, name, text)
    assert find_commit() == (f"{before}-dirty" if is_inside else before)
    after = save(tree)
    assert find_commit() == (after if is_inside else before) != (before if is_inside else after)


def test_a_file_that_git_ignores_is_a_change_if_a_build_sees_it(tree: Path) -> None:
    """Python's caches are kept from builds."""
    write(tree, ".gitignore", "*.log\n__pycache__/\n")
    save(tree)
    before = find_commit()
    write(tree, "app/__pycache__/service.pyc", "")
    write(tree, "elsewhere.log", "")
    assert find_commit() == before
    write(tree, "app/service.log", "")
    assert find_commit() == f"{before}-dirty"


@pytest.mark.parametrize(("before", "label"), [("a" * 40, "a" * 40), ("b" * 40, f"{'a' * 40}-dirty")])
def test_a_change_during_the_build_is_one(monkeypatch: pytest.MonkeyPatch, before: str, label: str) -> None:
    """Nobody knows which file went into the image."""
    monkeypatch.setattr(labels, "find_commit", lambda _: "a" * 40)
    for name in ("find_facts", "make_parent_labels"):
        monkeypatch.setattr(labels, name, lambda *_: {})
    assert labels.read_labels(matrix.load_matrix(), IMAGE, "sha256:1", before)[labels.COMMIT] == label


def test_the_later_commit_counts(tree: Path) -> None:
    """Of the last one to the files and the last one to the build arguments."""
    write(tree, "images.toml", ROW.replace("21", "22"))
    save(tree)
    write(tree, "app/service.py", "import json\n")
    last = save(tree)
    assert find_commit() == last
    write(tree, "images.toml", ROW.replace("21", "23"))
    assert save(tree) == find_commit()


def clone(tree: Path, folder: Path, *options: str) -> Path:
    """Clone the small repository."""
    subprocess.run(["git", "clone", "--quiet", *options, tree.as_uri(), folder], check=True)
    return folder


def test_the_commit_is_the_same_in_every_kind_of_checkout(
    tree: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path with spaces, a worktree, a clone of another user, under another umask and with CRLF by default."""
    expected, place = find_commit(), tmp_path_factory.mktemp("a place") / "with spaces"
    git(tree, "worktree", "add", "--quiet", str(place / "worktree"))
    clone(tree, place / "crlf", "--config=core.autocrlf=true")
    clone(tree, place / "others")
    for path in [place / "others", *(place / "others").rglob("*")]:
        path.chmod(path.stat().st_mode & 0o700)
        if os.geteuid() == 0:
            os.lchown(path, 12345, 12345)
    for name in ("worktree", "crlf", "others"):
        monkeypatch.setattr(repository, "ROOT", place / name)
        assert (name, find_commit()) == (name, expected)


def test_no_file_of_this_repository_gets_crlf(tmp_path: Path) -> None:
    """Whatever git is told on this host: Linux reads the scripts and Dockerfiles."""
    origin = repository.git("rev-parse", "--show-toplevel")
    repository.git("clone", "--quiet", "--config=core.autocrlf=true", origin, str(tmp_path / "clone"))
    assert "w/crlf" not in git(tmp_path / "clone", "ls-files", "--eol")


def test_a_sparse_checkout_is_told_what_it_lacks(tree: Path) -> None:
    (tree / "Dockerfile.cuda").unlink()
    with pytest.raises(SlipwayError, match=r"no Dockerfile\.cuda: `git sparse-checkout disable`"):
        find_commit()


def test_a_folder_of_a_larger_repository(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is below it counts."""
    part = tree / "part"
    part.mkdir()
    for name in ("Dockerfile.cuda", "app", "images.toml"):
        (tree / name).rename(part / name)
    expected = save(tree)
    monkeypatch.setattr(repository, "ROOT", part)
    assert find_commit() == expected
    write(tree, "app/service.py", "import other\n")
    save(tree)
    assert find_commit() == expected
    assert repository.file_at(expected, "Dockerfile.cuda") == DOCKERFILE.encode()
    write(part, "app/service.py", "import json\n")
    assert find_commit() == f"{expected}-dirty"


def test_a_clone_without_history_is_told(
    tree: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It cannot know which commit last changed a file; one whose history is long enough can."""
    write(tree, "app/service.py", "import json\n")
    expected = save(tree)
    write(tree, "README.md", "another")
    head = save(tree)
    for depth, found in (("3", expected), ("1", head)):
        folder = tmp_path_factory.mktemp("clone") / "clone"
        monkeypatch.setattr(repository, "ROOT", clone(tree, folder, f"--depth={depth}"))
        assert find_commit() == found
        commit.warn_shallow(found)
        assert ("git fetch --unshallow" in capsys.readouterr().out) == (depth == "1")


def test_outside_a_repository_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    write(tmp_path, "Dockerfile.cuda", "")
    assert find_commit() == ""


@pytest.mark.parametrize("image", matrix.load_matrix().images, ids=lambda image: image.name)
def test_the_context_of_each_image_exists(image: matrix.Image) -> None:
    """Of a workload it has the files of its own Dockerfile and of its variant's."""
    context = commit.list_context(image)
    assert [path for path in context if not (repository.ROOT / path).exists()] == []
    assert {image.dockerfile, image.variant.dockerfile, "app/", "docker/build/apt"} <= set(context)
    assert {f"requirements/{lock.name}" for lock in image.locks} <= set(context)
