"""The digests of the base images in images.toml."""

from pathlib import Path

import pytest

from slipway import matrix
from slipway.build import base_digests
from tests.helpers.matrices import parse_matrix


def test_digests_are_written_where_a_registry_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Into each table of the image, again when it has another one; no other line changes, and the rest is told."""
    text = matrix.FILE.read_text()
    file = tmp_path / "images.toml"
    file.write_text(text)
    monkeypatch.setattr(matrix, "FILE", file)
    for letter in "ab":
        digest = "sha256:" + letter * 64
        monkeypatch.setattr(
            base_digests, "read_digest", lambda image, digest=digest: digest if "trixie" in image else ""
        )
        base_digests.main()
        distros = parse_matrix(file.read_text()).distros
        assert {name: distro.digest for name, distro in distros.items()} == {
            "trixie": digest,
            "bookworm": "",
            "trixie-arm64": digest,
        }
        assert distros["trixie"].reference == f"debian:trixie-slim@{digest}"
    lines = [line for line in file.read_text().splitlines() if not line.startswith("digest = ")]
    assert lines == text.splitlines()
    assert "debian:bookworm-slim: no registry answers" in capsys.readouterr().out
