"""What the documents name exists: sessions, options, variants and their versions; tests/unit has links and images."""

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from slipway import matrix, repository

MANUALS = [repository.ROOT / "README.md", *sorted((repository.ROOT / "docs").rglob("*.md"))]
PAGES = [
    *MANUALS,
    *(repository.ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", ".github/PULL_REQUEST_TEMPLATE.md")),
]
WORKFLOWS = sorted((repository.ROOT / ".github" / "workflows").iterdir())
FOLDERS = (".devcontainer", ".github", "app", "docker", "docs", "policy", "requirements", "slipway", "tests", "tools")
WORD = r"(?:\"[^\"]+\"|'[^']+'|[\w.][\w.-]*)"


def nox(*arguments: str) -> str:
    """Return what nox prints."""
    command = [sys.executable, "-m", "nox", f"--noxfile={repository.ROOT / 'noxfile.py'}", *arguments]
    return subprocess.check_output(command, text=True)


@cache
def sessions() -> set[str]:
    """Every session of the noxfile, with and without its flavor."""
    names = re.findall(r"(?m)^[-*] (\S+)", nox("--list"))
    return {*names, *(name.partition("(")[0] for name in names)}


def commands(text: str) -> list[tuple[list[str], list[str]]]:
    """Return the nox commands of a document: sessions, and the words after `--`. Variables are left out."""
    found = re.findall(rf"noxw? -s ((?:{WORD} ?)+)(?:-- ([^`#|\n]*))?", text)
    return [([name for name in shlex.split(names) if "$" not in name], words.split()) for names, words in found]


def name_of(file: Path) -> str:
    """Name a test's parameter."""
    return str(file.relative_to(repository.ROOT))


@pytest.mark.parametrize("document", [*PAGES, *WORKFLOWS], ids=name_of)
def test_sessions_of_the_documents_exist(document: Path) -> None:
    named = {name for names, _ in commands(document.read_text()) for name in names}
    assert named - sessions() == set()


def test_documents_name_sessions() -> None:
    """The README has commands; the search finds those with one session, with several and with names of images."""
    assert commands((repository.ROOT / "README.md").read_text())
    text = """Run `nox -s build-cuda test-cuda`, or one flavor:
    ./noxw -s "build-cuda(devel)"  # or any
    nox -s build test -- cuda13.2-devel cpu-base-desktop   # by name
    """
    assert commands(text) == [
        (["build-cuda", "test-cuda"], []),
        (["build-cuda(devel)"], []),
        (["build", "test"], ["cuda13.2-devel", "cpu-base-desktop"]),
    ]


@pytest.mark.parametrize("document", PAGES, ids=name_of)
def test_files_of_the_documents_exist(document: Path) -> None:
    """Paths below a folder of the repository; capital letters stand for any name."""
    paths = re.findall(rf"`((?:{'|'.join(map(re.escape, FOLDERS))})/[\w./-]*)`", document.read_text())
    missing = [path for path in paths if not re.search(r"[A-Z]{4}", path) and not (repository.ROOT / path).exists()]
    assert missing == []


@pytest.mark.parametrize("variant", matrix.load_matrix().variants.values(), ids=lambda variant: variant.name)
def test_each_variant_is_listed_with_its_versions(variant: matrix.Variant) -> None:
    """A new variant of images.toml has its row in docs/choosing.md."""
    text = (repository.ROOT / "docs" / "choosing.md").read_text()
    rows = {
        row[0]: row[1:] for row in re.findall(r"(?m)^\| `([\w.-]+)` \| ([\d.]*)[^|]*\| *([\d.]*) *\|[^|]*\|$", text)
    }
    torch = variant.versions.get("torch", "").rpartition(".")[0]
    assert rows.get(variant.name) == (torch, variant.versions.get("cuda", ""))


def test_every_session_and_option_is_documented() -> None:
    """The README names every session, the manuals every option of the sessions of images."""
    readme = (repository.ROOT / "README.md").read_text()
    assert {name.partition("(")[0] for name in sessions() if f"`{name.partition('(')[0]}`" not in readme} == set()
    options = set(re.findall(r"--[a-z][a-z-]+", nox("-s", "build", "--", "--help"))) - {"--help"}
    manuals = "".join(file.read_text() for file in MANUALS)
    assert {option for option in options if option not in manuals} == set()


def test_the_readme_gives_the_command_of_ci() -> None:
    """.ci/run calls the test command that the README names."""
    [command] = re.findall(r"exec (\./noxw .*)", (repository.ROOT / ".ci" / "run").read_text())
    assert re.search(rf"(?m)^{re.escape(command)}\b", (repository.ROOT / "README.md").read_text())
