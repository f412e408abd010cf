"""External tools: the pin, a tool that the machine has, and one that is built."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.version import Version

from slipway import repository, tools
from slipway.errors import SlipwayError

GO_MOD = """\
module slipway/tools/measure

go 1.25.0

tool example.com/measure/cmd/measure

require (
\texample.com/measure v2.3.4 // indirect
\texample.com/other v0.1.0 // indirect
)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for built programs; uv's own cache stays the same."""
    uv_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "uv"
    monkeypatch.setenv("UV_CACHE_DIR", os.environ.get("UV_CACHE_DIR", str(uv_cache)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "slipway" / "tools"


@pytest.fixture
def measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The go.mod of a made-up tool, the only one, on a machine with an empty PATH."""
    monkeypatch.setattr(tools, "FOLDER", tmp_path / "tools")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return put(tmp_path / "tools" / "measure" / "go.mod", GO_MOD)


def put(path: Path, text: str) -> Path:
    """Write a file and, beside a go.mod, its go.sum."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if path.name == "go.mod":
        path.with_name("go.sum").touch()
    return path


def program(path: Path, script: str) -> Path:
    """Write a program."""
    put(path, f"#!/bin/sh\n{script}\n").chmod(0o755)
    return path


# --- the pin -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("measure")
def test_pin_is_read_from_go_mod() -> None:
    """The version is that of the tool's own module, whatever others are required."""
    tool = tools.read_tool("measure")
    assert (tool.version, tool.go) == ("2.3.4", Version("1.25.0"))


def test_another_pin_has_another_place(measure: Path) -> None:
    """A changed go.sum builds anew."""
    tool = tools.read_tool("measure")
    before = tool.program
    measure.with_name("go.sum").write_text("other\n")
    assert tool.program != before


@pytest.mark.parametrize(("version", "taken"), [("2.3.4-2+b4", True), ("2.3.5-1", False)])
@pytest.mark.usefixtures("measure")
def test_debians_package_tells_the_version_of_a_program_that_does_not(
    monkeypatch: pytest.MonkeyPatch, version: str, *, taken: bool
) -> None:
    """Debian's cosign calls itself `devel`."""
    monkeypatch.setattr(tools, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(
        tools, "read_output", lambda *words: f"measure\t{version}" if "dpkg-query" in words else "devel"
    )
    assert (tools.find_installed(tools.read_tool("measure")) is not None) is taken


@pytest.mark.usefixtures("measure")
def test_unknown_tool_is_refused_with_those_there_are() -> None:
    """The message lists the choices."""
    with pytest.raises(SlipwayError, match="no tool 'meter' in tools/; choose one of measure"):
        tools.read_tool("meter")


def test_tool_without_a_version_is_refused(measure: Path) -> None:
    """A go.mod that requires another module says how to add the right one."""
    put(measure, GO_MOD.replace("example.com/measure v2", "example.com/meter v2"))
    with pytest.raises(SlipwayError, match=r"go get -tool example\.com/measure/cmd/measure@VERSION"):
        tools.read_tool("measure")


# --- what the machine has ------------------------------------------------------------------------


@pytest.mark.parametrize("says", ["2.3.4", "measure v2.3.4 (linux)", "Version: 2.3.4"])
def test_pinned_version_on_path_is_taken(measure: Path, tmp_path: Path, says: str) -> None:
    """In any wording of the program."""
    present = program(tmp_path / "bin" / "measure", f"echo '{says}'")
    assert tools.provide_program(tools.read_tool(measure.parent.name)) == present


@pytest.mark.parametrize("script", ["echo 2.3.40", "echo 12.3.4", "echo 2.3.4; exit 1"])
def test_other_version_on_path_is_not_taken(measure: Path, tmp_path: Path, script: str) -> None:
    """Neither another version nor a program that fails."""
    program(tmp_path / "bin" / "measure", script)
    assert tools.find_installed(tools.read_tool(measure.parent.name)) is None


@pytest.mark.parametrize(("version", "serves"), [("go1.25.0", True), ("go1.26.8", True), ("go1.19.8", False)])
@pytest.mark.usefixtures("measure")
def test_go_must_be_new_enough(tmp_path: Path, version: str, serves: bool) -> None:  # noqa: FBT001
    """An older Go would fetch another by itself."""
    program(tmp_path / "bin" / "go", f"echo go version {version} linux/amd64")
    assert bool(tools.find_installed_go(tools.read_tool("measure"))) is serves


@pytest.mark.requirement("T10")
def test_results_tell_a_tool_that_was_built_from_one_of_the_machine(
    measure: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that prints the pinned version is taken, but not for a release; a built tool tells no folder."""
    script = program(tmp_path / "bin" / "measure", "echo 2.3.4")
    tool = tools.read_tool(measure.parent.name)
    digest = hashlib.sha256(script.read_bytes()).hexdigest()
    assert tools.describe_program(tool) == f"{script} sha256:{digest}"
    assert not tools.is_built(tools.describe_program(tool))
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    script.rename(put(tool.program, ""))
    assert tools.describe_program(tool) == f"{tool.program.name} sha256:{digest}"
    assert tools.is_built(tools.describe_program(tool))
    assert not tools.is_built(None)


# --- build ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("measure")
def test_built_once(tmp_path: Path, cache: Path) -> None:
    """The second call returns the program that the first has built, and nothing else is left."""
    go = program(tmp_path / "bin" / "go", 'case $1 in version) echo go1.26.0;; build) echo x >"${5#-o=}";; esac')
    built = tools.provide_program(tools.read_tool("measure"))
    go.unlink()
    assert tools.provide_program(tools.read_tool("measure")) == built
    assert list(cache.iterdir()) == [built]


def test_two_tools_are_built_with_the_same_caches(measure: Path, tmp_path: Path, cache: Path) -> None:
    """Most of what they are compiled from is the same; the caches are removed at the end, /tmp is not used."""
    shutil.copytree(measure.parent, measure.parent.with_name("weigh"))
    script = 'case $1 in version) echo go1.26.0;; build) echo "$GOCACHE" "$GOTMPDIR" >"${5#-o=}";; esac'
    program(tmp_path / "bin" / "go", script)
    built = tools.provide_programs([tools.read_tool("measure"), tools.read_tool("weigh")])
    assert sorted(cache.iterdir()) == sorted(built)
    [(caches, temporary)] = {tuple(file.read_text().split()) for file in built}
    assert not Path(caches).exists()
    assert Path(caches).is_relative_to(temporary)
    assert Path(temporary).is_relative_to(cache)


@pytest.mark.usefixtures("measure")
def test_a_tool_is_built_as_it_wants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the Go experiments that it needs, and with its version."""
    monkeypatch.setitem(tools.EXPERIMENTS, "measure", "jsonv2")
    monkeypatch.setattr(tools, "VERSIONS", ("example.com/measure.version",))
    program(
        tmp_path / "bin" / "go", 'case $1 in version) echo go1.26.0;; build) echo "$GOEXPERIMENT $4" >"${5#-o=}";; esac'
    )
    built = tools.provide_program(tools.read_tool("measure"))
    assert built.read_text() == "jsonv2 -ldflags=-s -w -X=example.com/measure.version=2.3.4\n"


@pytest.mark.usefixtures("measure")
def test_failed_build_says_why_and_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    """Go's last words and the ways out are the message."""
    program(tmp_path / "bin" / "go", 'case $1 in version) echo go1.26.0;; *) echo "dial tcp: refused"; exit 1;; esac')
    with pytest.raises(SlipwayError, match=r"(?s)measure 2\.3\.4 could not be built:.*refused.*GOPROXY"):
        tools.provide_program(tools.read_tool("measure"))
    assert list(cache.iterdir()) == []


@pytest.mark.usefixtures("measure")
def test_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file is in place of the folder."""
    put(tmp_path / "cache", "")
    with pytest.raises(SlipwayError, match=r"cannot write .*slipway/tools"):
        tools.provide_program(tools.read_tool("measure"))


@pytest.mark.parametrize(("words", "message"), [([], "name a tool"), (["meter"], "no tool 'meter'")])
def test_command_line_is_refused_without_a_traceback(words: list[str], message: str) -> None:
    """One clear message and exit code 1."""
    command = [sys.executable, "-m", "slipway.tools", *words]
    result = subprocess.run(command, cwd=repository.ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
