"""The repository's images.toml with a deprecated variant, and the notice of it."""

from slipway import matrix

ROW = 'deprecated = { since = "2026-11-01", reason = "Debian 12 leaves its support", successor = "cuda13.2" }'
SENTENCE = "deprecated since 2026-11-01: Debian 12 leaves its support; use cuda13.2 instead"
CPU = '[variant.cpu]\ndockerfile = "Dockerfile.cpu"\n'


def deprecate_cpu(row: str = ROW) -> str:
    """Return images.toml with its variant cpu deprecated."""
    text = matrix.FILE.read_text()
    assert CPU in text
    return text.replace(CPU, f"{CPU}{row}\n")
