"""Extensions of code-server: what the list names is unpacked, and nothing else."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from slipway import repository
from tests.helpers.programs import load_script

extensions = load_script(repository.ROOT / "tools" / "code-server" / "extensions.py")
MANIFEST = {"publisher": "team", "name": "editor-tool"}


def write_list(folder: Path, manifest: dict[str, str], *entries: str, digest: str = "") -> Path:
    """Make a VSIX file and a list that names it."""
    vsix = folder / "tool.vsix"
    with zipfile.ZipFile(vsix, "w") as archive:
        archive.writestr("extension/package.json", json.dumps(manifest))
        archive.writestr("[Content_Types].xml", "not for an editor")
        for entry in entries:
            archive.writestr(entry, "x")
    digest = digest or hashlib.sha256(vsix.read_bytes()).hexdigest()
    listed = folder / "extensions.txt"
    listed.write_text(f"# a comment\n\n{vsix.as_uri()} {digest}\n")
    return listed


def test_extension_is_unpacked_into_its_own_folder(tmp_path: Path) -> None:
    """Only what an editor reads, by the name that the extension has."""
    listed = write_list(tmp_path, MANIFEST, "extension/out/main.js")
    extensions.main(str(listed), str(tmp_path / "into"))
    files = {str(file.relative_to(tmp_path / "into")) for file in (tmp_path / "into").rglob("*") if file.is_file()}
    assert files == {"team.editor-tool/package.json", "team.editor-tool/out/main.js"}


@pytest.mark.parametrize(
    ("manifest", "entry", "digest", "message"),
    [
        (MANIFEST, "extension/a.js", "0" * 64, "has SHA-256 .*, the list says 0000"),
        (MANIFEST, "extension/../../b.js", "", "a file outside its folder: extension/../../b.js"),
        ({"publisher": "../x", "name": "y"}, "extension/a.js", "", "an extension cannot be named"),
    ],
    ids=["other content", "path outside", "name outside"],
)
def test_other_extension_is_refused(
    tmp_path: Path, manifest: dict[str, str], entry: str, digest: str, message: str
) -> None:
    """The message says what is wrong, and nothing lies outside the extension's folder."""
    listed = write_list(tmp_path, manifest, entry, digest=digest)
    with pytest.raises(SystemExit, match=message):
        extensions.main(str(listed), str(tmp_path / "into" / "deep"))
    outside = [file for file in tmp_path.rglob("*.js") if MANIFEST["name"] not in str(file)]
    assert outside == []


def test_malformed_line_is_named(tmp_path: Path) -> None:
    """An address without a digest is no entry."""
    listed = tmp_path / "extensions.txt"
    listed.write_text("https://extensions.example/a.vsix\n")
    with pytest.raises(SystemExit, match=r"must have an address and a SHA-256 on each line, not 'https://ext"):
        extensions.main(str(listed), str(tmp_path))
