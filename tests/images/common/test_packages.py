"""What is installed: Debian's packages, and exactly the Python distributions of the lock."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from testinfra.host import Host

from slipway import matrix
from slipway.matrix import Image
from tests.images.conftest import Run
from tests.images.helpers.scope import applies

pytestmark = applies()

UV_LOCK = matrix.ROOT / "requirements" / "uv.txt"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

INSTALLED = """
import json, re
from importlib import metadata
names = [(re.sub(r"[-_.]+", "-", d.name).lower(), d.version) for d in metadata.distributions()]
print(json.dumps(sorted(names)))
"""
# A source that does not compile (a template, another Python's syntax) can have no bytecode.
WITHOUT_BYTECODE = """
import importlib.util, json, os, struct
from importlib import metadata

def is_current(source, compiled):
    with open(compiled, "rb") as file:
        magic, flags, *stamp = struct.unpack("<4sIII", file.read(16))
    content = source.read_bytes()
    if flags:
        fresh = struct.pack("<II", *stamp) == importlib.util.source_hash(content)
    else:
        fresh = stamp == [int(source.stat().st_mtime), len(content)]
    return magic == importlib.util.MAGIC_NUMBER and fresh

def compiles(source):
    try:
        compile(source.read_bytes(), str(source), "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True

missing, seen = [], 0
for distribution in metadata.distributions():
    for file in distribution.files or ():
        source = file.locate()
        if file.suffix == ".py" and "site-packages" in source.resolve().parts and source.exists():
            seen += 1
            compiled = importlib.util.cache_from_source(str(source.resolve()))
            if not (os.path.exists(compiled) and is_current(source, compiled)) and compiles(source):
                missing.append(str(source))
print(json.dumps([seen, missing]))
"""


def locked(lock: Path) -> list[tuple[str, str]]:
    """Return the name and version of each distribution in a lock file, sorted."""
    pins = re.findall(r"(?m)^([\w.-]+)(?:\[[^]]*\])?==([^\s;]+)", lock.read_text(encoding="utf-8"))
    return sorted((re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in pins)


def unlocked(contract: Image) -> list[tuple[str, str]]:
    """Return what an image holds outside its lock: Debian's PyTorch, no wheel, without the suffix of its build."""
    locks_torch = any(name == "torch" for file in contract.variant_locks for name, _ in locked(file))
    if contract.variant.accelerator != "cpu" or contract.flavor == "base" or locks_torch:
        return []
    return [("torch", contract.variant.versions["torch"])]


@pytest.mark.requirement("A10")
@pytest.mark.parametrize("name", ["ca-certificates", "python3", "tini"])
def test_debian_package_is_installed(host: Host, name: str) -> None:
    """The interpreter, an init and certificates are Debian's, so that its security fixes reach them."""
    assert host.package(name).is_installed


def test_debian_packages_are_consistent(run: Run) -> None:
    """A user who builds on the image can install further packages: none lacks what it depends on."""
    finished = run("apt-get", "check", user="0")
    assert finished.exit_code == 0, finished


def test_debian_packages_are_configured(host: Host) -> None:
    """A package that is only unpacked has not run its own set-up."""
    states = host.check_output("dpkg-query --show --showformat='${db:Status-Abbrev} ${Package}\\n'")
    assert [line for line in states.splitlines() if not line.startswith("ii ")] == []


@pytest.mark.requirement("A4", "V1")
def test_python_is_the_contracts(host: Host, contract: Image) -> None:
    """`python` is the environment's, of the version that images.toml names."""
    program = "import platform, sys; print(sys.prefix, platform.python_version())"
    prefix, version = host.check_output("python -c %s", program).split()
    assert prefix == "/opt/venv"
    assert version.startswith(contract.variant.versions["python"] + ".")


@pytest.mark.requirement("U8")
def test_distributions_equal_the_lock(python: Callable[[str], str], contract: Image) -> None:
    """Nothing outside the locks, nothing of them missing, no other version."""
    debians = unlocked(contract)
    installed = [
        (name, version.partition("+")[0] if name in dict(debians) else version)
        for name, version in json.loads(python(INSTALLED))
    ]
    locks = {pin for lock in contract.locks for pin in locked(lock)}
    assert installed == sorted([*locks, *debians])


@pytest.mark.requirement("T4")
def test_distributions_are_consistent(host: Host) -> None:
    """Each distribution's requirements are met, as `uv pip check` sees it."""
    finished = host.run("uv --no-cache pip check")
    assert finished.rc == 0, finished.stderr


@pytest.mark.requirement("C4")
def test_desktop_is_there_by_choice_alone(host: Host, contract: Image) -> None:
    """An X server and Xfce in a desktop; in every other image neither."""
    names = host.check_output("dpkg-query --show --showformat='${Package} '").split()
    found = {
        prefix for prefix in ("tigervnc-standalone", "xserver-", "xfce4-") for name in names if name.startswith(prefix)
    }
    is_desktop = contract.workload is not None and "desktop" in contract.workload.targets
    assert found == ({"tigervnc-standalone", "xfce4-"} if is_desktop else set())


@pytest.mark.requirement("A4")
def test_uv_is_the_locked_version(host: Host) -> None:
    """The installer is pinned with its hash like everything else."""
    version = host.check_output("uv --version").split()[1]
    assert [("uv", version)] == locked(UV_LOCK)


@pytest.mark.requirement("A4")
def test_uv_makes_an_environment(host: Host) -> None:
    """A user can set up a Python environment of their own, without network or root."""
    script = 'cd "$(mktemp -d)" && uv --no-cache venv --quiet own && own/bin/python -c "import sys; print(sys.prefix)"'
    assert host.check_output(script).endswith("/own")


@pytest.mark.requirement("T14")
def test_distributions_are_byte_compiled(python: Callable[[str], str]) -> None:
    """Nobody can write bytecode later, on a read-only root: without it each start compiles anew."""
    seen, missing = json.loads(python(WITHOUT_BYTECODE))
    assert seen > 100
    assert missing == []


@pytest.mark.requirement("T14")
def test_application_is_byte_compiled(host: Host) -> None:
    """The service, too, starts without compiling."""
    sources = host.check_output("find /opt/app -name '*.py' | wc -l")
    compiled = host.check_output("find /opt/app -path '*/__pycache__/*.pyc' | wc -l")
    assert int(sources) == int(compiled) > 0


def test_path_finds_the_environment_first(environment: dict[str, str]) -> None:
    """The environment's programs stand before the system's, and the system's are all there."""
    first, _, rest = environment["PATH"].partition(":")
    assert first == "/opt/venv/bin"
    assert rest.removeprefix("/usr/local/cuda/bin:") == SYSTEM_PATH


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("python", "/opt/venv/bin/python"),
        ("uv", "/usr/local/bin/uv"),
        ("tini", "/usr/bin/tini"),
        ("entrypoint", "/usr/local/bin/entrypoint"),
        ("healthcheck", "/usr/local/bin/healthcheck"),
    ],
)
def test_command_is_the_one_meant(host: Host, command: str, path: str) -> None:
    """No other program of the same name stands before it on PATH."""
    assert host.check_output("command -v %s", command) == path
