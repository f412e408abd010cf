"""What the documents name is there: sessions, files, families and their versions."""

import re
import shlex
import subprocess
import sys
from functools import cache

import pytest

from slipway import matrix

ROOT = matrix.ROOT
DOCUMENTS = ("README.md", "CONTRIBUTING.md", ".github/workflows/ci.yml", ".github/workflows/publish.yml")


@cache
def sessions() -> set[str]:
    """Every session of the noxfile, with and without its flavor."""
    command = [sys.executable, "-m", "nox", f"--noxfile={ROOT / 'noxfile.py'}", "--list"]
    names = re.findall(r"(?m)^[-*] (\S+)", subprocess.check_output(command, text=True))
    return {*names, *(name.partition("(")[0] for name in names)}


def named_sessions(text: str) -> set[str]:
    """Return the sessions that a document's nox commands name; a variable stands for many."""
    commands = re.findall(r"noxw? -s ((?:\"[^\"]+\"|'[^']+'|[\w.-]+|\([\w.]+\)| (?! |-- ))+)", text)
    return {name for command in commands for name in shlex.split(command) if "$" not in name}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_sessions_of_the_documents_are_there(document: str) -> None:
    """What a reader types is known to nox."""
    named = named_sessions((ROOT / document).read_text())
    assert named
    assert named <= sessions()


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_files_of_the_documents_are_there(document: str) -> None:
    """Links and names of files and folders in the tables, without those that are made."""
    text = (ROOT / document).read_text()
    named = {
        *re.findall(r"\]\((\w[^):]*)\)", text),
        *re.findall(r"`((?:app|docker|slipway|tests|tools)/[\w/.]*)`", text),
    }
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("family", matrix.load().families.values(), ids=lambda family: family.name)
def test_readme_lists_each_family_with_its_versions(family: matrix.Family) -> None:
    """A new row of images.toml has its row in the README."""
    rows = {
        row[0]: row[1:] for row in re.findall(r"(?m)^\| `([\w.-]+)` \| ([\d.]*)[^|]*\| *([\d.]*) *\|[^|]*\|$", readme())
    }
    torch = family.versions.get("torch", "").rpartition(".")[0]
    assert rows.get(family.name) == (torch, family.versions.get("cuda", ""))


def test_readme_names_every_option_and_session() -> None:
    """Nothing that a user may type is left out."""
    command = [sys.executable, "-m", "nox", f"--noxfile={ROOT / 'noxfile.py'}", "-s", "build-cpu(base)", "--", "--help"]
    options = set(re.findall(r"--[a-z][a-z-]+", subprocess.check_output(command, text=True))) - {"--help"}
    plain = {name for name in sessions() if not re.match(r"(build|test|sbom|scan|run)-", name)}
    assert {name for name in options | plain if name not in readme()} == set()


def readme() -> str:
    """The README's text."""
    return (ROOT / "README.md").read_text()
