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
from tests.helpers.programs import write_program

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


def write_go(folder: Path, build: str) -> Path:
    """Write a Go that is new enough, and what it does when it builds."""
    return write_program(folder / "bin" / "go", f"case $1 in version) echo go1.26.0 ;; build) {build} ;; esac")


# --- the pin -------------------------------------------------------------------------------------


def test_pin_is_read_from_go_mod(measure: Path) -> None:
    """The version is that of the tool's own module, whatever others are required; a changed go.sum builds anew."""
    tool = tools.read_tool("measure")
    assert (tool.version, tool.go) == ("2.3.4", Version("1.25.0"))
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


def test_tool_without_a_version_is_refused(measure: Path) -> None:
    """And one that there is not; the message lists the choices, or says how to add the right module."""
    with pytest.raises(SlipwayError, match="no tool 'meter' in tools/; choose one of measure"):
        tools.read_tool("meter")
    put(measure, GO_MOD.replace("example.com/measure v2", "example.com/meter v2"))
    with pytest.raises(SlipwayError, match=r"go get -tool example\.com/measure/cmd/measure@VERSION"):
        tools.read_tool("measure")


# --- what the machine has ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "is_taken"),
    [
        *((f"echo '{words}'", True) for words in ("2.3.4", "measure v2.3.4 (linux)", "Version: 2.3.4")),
        *((script, False) for script in ("echo 2.3.40", "echo 12.3.4", "echo 2.3.4; exit 1")),
    ],
)
@pytest.mark.usefixtures("measure")
def test_pinned_version_on_path_is_taken(tmp_path: Path, script: str, *, is_taken: bool) -> None:
    """In any wording of the program; neither another version nor a program that fails."""
    present = write_program(tmp_path / "bin" / "measure", script)
    assert tools.find_installed(tools.read_tool("measure")) == (present if is_taken else None)
    if is_taken:
        assert tools.provide_program(tools.read_tool("measure")) == present


@pytest.mark.parametrize(("version", "serves"), [("go1.25.0", True), ("go1.26.8", True), ("go1.19.8", False)])
@pytest.mark.usefixtures("measure")
def test_go_must_be_new_enough(tmp_path: Path, version: str, serves: bool) -> None:  # noqa: FBT001
    """An older Go would fetch another by itself."""
    write_program(tmp_path / "bin" / "go", f"echo go version {version} linux/amd64")
    assert bool(tools.find_installed_go(tools.read_tool("measure"))) is serves


@pytest.mark.requirement("T10")
def test_results_tell_a_tool_that_was_built_from_one_of_the_machine(
    measure: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that prints the pinned version is taken, but not for a release; a built tool tells no folder."""
    script = write_program(tmp_path / "bin" / "measure", "echo 2.3.4")
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
    go = write_go(tmp_path, 'echo x >"${5#-o=}"')
    built = tools.provide_program(tools.read_tool("measure"))
    go.unlink()
    assert tools.provide_program(tools.read_tool("measure")) == built
    assert list(cache.iterdir()) == [built]


def test_two_tools_are_built_with_the_same_caches(measure: Path, tmp_path: Path, cache: Path) -> None:
    """Most of what they are compiled from is the same; the caches are removed at the end, /tmp is not used."""
    shutil.copytree(measure.parent, measure.parent.with_name("weigh"))
    write_go(tmp_path, 'echo "$GOCACHE" "$GOTMPDIR" >"${5#-o=}"')
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
    write_go(tmp_path, 'echo "$GOEXPERIMENT $4" >"${5#-o=}"')
    built = tools.provide_program(tools.read_tool("measure"))
    assert built.read_text() == "jsonv2 -ldflags=-s -w -X=example.com/measure.version=2.3.4\n"


@pytest.mark.usefixtures("measure")
def test_a_tool_is_built_whatever_else_this_machine_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of another system, modules that are vendored, a workspace in a folder above the checkout."""
    for name, value in (("GOOS", "windows"), ("GOFLAGS", "-mod=vendor"), ("GOWORK", "/x/go.work")):
        monkeypatch.setenv(name, value)
    write_go(tmp_path, 'echo "$GOOS,$GOFLAGS,$GOWORK" >"${5#-o=}"')
    assert tools.provide_program(tools.read_tool("measure")).read_text() == ",-mod=readonly,off\n"


def test_go_is_installed_whatever_pip_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many a host lets pip install for the user, and pip takes no folder beside that."""
    write_program(tmp_path / "uv", 'echo "$PIP_USER" >&2; [ "$1" = --version ] || exit 1; echo uv')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("PIP_USER", "1")
    with pytest.raises(SlipwayError, match="could not be installed:\n0\n"):
        tools.install_go(tmp_path / "toolchain")


@pytest.mark.usefixtures("measure")
def test_failed_build_says_why_and_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    write_go(tmp_path, 'echo "dial tcp: refused"; exit 1')
    with pytest.raises(SlipwayError, match=r"(?s)measure 2\.3\.4 could not be built:.*refused.*GOPROXY"):
        tools.provide_program(tools.read_tool("measure"))
    assert list(cache.iterdir()) == []


@pytest.mark.usefixtures("measure")
def test_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    put(tmp_path / "cache", "")
    with pytest.raises(SlipwayError, match=r"cannot write .*slipway/tools"):
        tools.provide_program(tools.read_tool("measure"))


@pytest.mark.parametrize(("words", "message"), [([], "name a tool"), (["meter"], "no tool 'meter'")])
def test_command_line_is_refused_without_a_traceback(words: list[str], message: str) -> None:
    command = [sys.executable, "-m", "slipway.tools", *words]
    result = subprocess.run(command, cwd=repository.ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
