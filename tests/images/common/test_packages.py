"""Debian's packages, and exactly the Python distributions of the locks."""

import json

import pytest
from docker.models.containers import Container
from testinfra.host import Host

from slipway import matrix, repository
from slipway.matrix import Image
from tests.helpers.reasons import NO_PYTHONS
from tests.images.helpers.containers import Python, Run, inside
from tests.images.helpers.distributions import INSTALLED, read_pins
from tests.images.helpers.online import download
from tests.images.helpers.programs import IS_ITS_OWN
from tests.images.helpers.scope import applies

pytestmark = applies()

UV_LOCK = repository.ROOT / "requirements" / "uv.txt"
# What stands in a workbench before the environment's programs, so that they see what the user has installed.
WRAPPERS = "/usr/local/lib/slipway/environment/bin"
WRAPPER = "/usr/local/lib/slipway/environment/program"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
COMMANDS = {
    "python": "/opt/venv/bin/python",
    "uv": "/usr/local/bin/uv",
    "tini": "/usr/bin/tini",
    "entrypoint": "/usr/local/bin/entrypoint",
    "healthcheck": "/usr/local/bin/healthcheck",
}
# Prints the number of sources and those whose bytecode is missing or stale, or, of the distributions that are named,
# another program's. A source that does not compile (a template, another Python's syntax) can have no bytecode.
WITHOUT_BYTECODE = f"""
import importlib.util, json, os, re, struct, sys
from importlib import metadata
{IS_ITS_OWN}
def is_current(source, compiled):
    with open(compiled, "rb") as file:
        magic, flags, *stamp = struct.unpack("<4sIII", file.read(16))
    content = source.read_bytes()
    if flags:
        fresh = struct.pack("<II", *stamp) == importlib.util.source_hash(content)
    else:
        fresh = stamp == [int(source.stat().st_mtime), len(content)]
    return magic == importlib.util.MAGIC_NUMBER and fresh

missing, seen = [], 0
for distribution in metadata.distributions():
    is_new = re.sub(r"[-_.]+", "-", distribution.name).lower() in sys.argv[1:]
    for file in distribution.files or ():
        source = file.locate()
        if file.suffix == ".py" and "site-packages" in source.resolve().parts and source.exists():
            seen += 1
            compiled = importlib.util.cache_from_source(str(source.resolve()))
            if not (os.path.exists(compiled) and is_current(source, compiled)):
                missing += [str(source)] if compile_source(source, compiled) else []
            elif is_new and not is_its_own(source, compiled):
                missing.append(compiled)
print(json.dumps([seen, missing]))
"""
# Compares the environment with a new one: its settings and the scripts that activate it, but for its own path.
LIKE_NEW = r"""
cd "$(mktemp -d)" && uv --no-cache venv --quiet --python=/usr/bin/python3 new && rm -f new/.lock && cd new || exit
sed -i "s|$PWD|/opt/venv|g" bin/activate* bin/*.bat
find . -type f | while read -r file; do cmp "$file" "/opt/venv/$file" && echo "$file"; done 2>&1
cd /opt && find * -type d -empty ! -path venv/lib/python3*/dist-packages
"""
OTHER_PYTHON = "3.12"  # of no Debian release that images are made of
INSTALL_PYTHON = """
uv python install --no-progress "$1" && uv venv --quiet --python="$1" /tmp/own &&
    exec /tmp/own/bin/python -c 'import platform, ssl, sqlite3; print(platform.python_version())'
"""
# Prints the files of an environment that Python runs at its start, but for those of an installed distribution.
STARTS = """
import json, pathlib, site, sys
from importlib import metadata
known = {str(file.locate()) for each in metadata.distributions() for file in each.files or () if file.suffix == ".pth"}
folders = [pathlib.Path(folder) for folder in {*sys.path, *site.getsitepackages(), site.getusersitepackages()}]
found = {str(path) for folder in folders for path in folder.glob("*.pth")} - known
found |= {str(path) for folder in folders for name in ("site", "user") for path in folder.glob(name + "customize*")}
print(json.dumps(sorted(found)))
"""
FEWEST_PROGRAMS = 200  # Debian's smallest system has about 270
# Prints the number of programs on PATH, and each that comes before another one of its name, with the other.
HIDING = f"""
import json, os
places = {{}}
# The stand-ins are last, to be hidden by the programs themselves.
folders = [folder for folder in os.environ["PATH"].split(":") if not folder.endswith("/devel-only")]
for folder in filter(os.path.isdir, folders):
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.realpath(path) == "{WRAPPER}":  # it calls the environment's
            path = os.path.join("/opt/venv/bin", name)
        if os.access(path, os.X_OK):
            places.setdefault(name, {{}}).setdefault(os.path.realpath(path), path)
print(json.dumps([len(places), [[*paths.values()] for paths in places.values() if len(paths) > 1]]))
"""


def outside_the_lock(contract: Image) -> dict[str, str]:
    """Return the version of PyTorch when Debian has it: it is no wheel, and has a suffix of Debian's build."""
    is_debians = contract.variant.accelerator == "cpu" and "torch" not in read_pins(*contract.variant_locks)
    return {"torch": contract.variant.versions["torch"]} if is_debians and contract.flavor != "base" else {}


@pytest.mark.requirement("A10")
@pytest.mark.parametrize("name", ["ca-certificates", "python3", "tini"])
def test_debian_package_is_installed(packages: dict[str, str], name: str) -> None:
    """The interpreter, an init and certificates get Debian's security fixes."""
    assert packages.get(name) == "ii"


def test_debian_packages_are_consistent(run: Run) -> None:
    """Every dependency is there, so a user can install further packages."""
    run("apt-get", "check", user="0").require_success()


def test_debian_packages_are_configured(packages: dict[str, str]) -> None:
    """A package that is only unpacked has not run its own set-up."""
    assert "tini" in packages
    assert {name: state for name, state in packages.items() if state != "ii"} == {}


@pytest.mark.requirement("A4")
def test_python_is_the_contracts(host: Host, contract: Image) -> None:
    """`python` is the environment's, in the contract's version."""
    program = "import platform, sys; print(sys.prefix, platform.python_version())"
    prefix, version = host.check_output("python -c %s", program).split()
    assert prefix == "/opt/venv"
    assert version.startswith(contract.variant.versions["python"] + ".")


@pytest.mark.exact
@pytest.mark.requirement("U8")
def test_distributions_equal_the_lock(python: Python, contract: Image) -> None:
    """Nothing outside the locks, nothing of them missing, no other version."""
    debians = outside_the_lock(contract)
    installed = [
        (name, version.partition("+")[0] if name in debians else version)
        for name, version in json.loads(python(INSTALLED))
    ]
    pins = {pin for lock in contract.locks for pin in read_pins(lock).items()}
    assert installed == sorted(pins | debians.items())


@pytest.mark.requirement("T4")
def test_distributions_are_consistent(host: Host) -> None:
    """Each distribution's requirements are met, as `uv pip check` sees it."""
    finished = host.run("uv --no-cache pip check")
    assert finished.rc == 0, finished.stderr


@pytest.mark.exact
@pytest.mark.requirement("C4")
def test_desktop_is_there_by_choice_alone(packages: dict[str, str], contract: Image) -> None:
    """An X server and Xfce in a desktop; in every other image neither."""
    prefixes = ("tigervnc-standalone", "xserver-", "xfce4-")
    found = {prefix for prefix in prefixes for name in packages if name.startswith(prefix)}
    is_desktop = contract.workload is not None and "desktop" in contract.workload.targets
    assert found == ({"tigervnc-standalone", "xfce4-"} if is_desktop else set())


@pytest.mark.exact
@pytest.mark.requirement("A4")
def test_uv_is_the_locked_version(host: Host) -> None:
    """The installer is pinned with its hash like everything else."""
    assert {"uv": host.check_output("uv --version").split()[1]} == read_pins(UV_LOCK)


@pytest.mark.requirement("A4")
def test_uv_makes_an_environment(host: Host) -> None:
    """A user can make a Python environment without network or root."""
    script = 'cd "$(mktemp -d)" && uv --no-cache venv --quiet own && own/bin/python -c "import sys; print(sys.prefix)"'
    assert host.check_output(script).endswith("/own")


def test_environment_is_as_uv_makes_it(host: Host) -> None:
    """Nothing of the system's packages is seen in it, to activate it sets no more, and no empty folder is a package."""
    found = host.run(LIKE_NEW).stdout.splitlines()
    assert {"./pyvenv.cfg", "./bin/activate"} <= {*found}
    assert [line for line in found if not line.startswith("./")] == []


@pytest.mark.requirement("A4")
def test_uv_installs_another_python(run: Run, contract: Image) -> None:
    """As a user without root, from uv's own builds; the new Python computes."""
    finished = download(run, contract, INSTALL_PYTHON, OTHER_PYTHON, reason=NO_PYTHONS)
    finished.require_success()
    assert finished.stdout.startswith(f"{OTHER_PYTHON}.")


@pytest.mark.requirement("T14")
@pytest.mark.timeout(600)
def test_distributions_are_byte_compiled(idle: Container, contract: Image) -> None:
    """On a read-only root nothing can write bytecode later: without it each start compiles again.

    It is what Python runs, so it must be its source's. Those of the image below are compared there: test_parent.py.
    """
    below = contract.variant_image if contract.workload else contract.parent
    known = {*read_pins(*matrix.load_matrix().find_image(below).locks)} if below else set()
    own = sorted({*read_pins(*contract.locks)} - known)
    seen, missing = json.loads(inside(idle, "python", "-c", WITHOUT_BYTECODE, *own))
    assert seen > 100
    assert missing == []


@pytest.mark.exact
@pytest.mark.requirement("T14")
def test_application_is_byte_compiled(host: Host) -> None:
    """The service, too, starts without compiling."""
    files = host.check_output("find /opt/app -name '*.py' -o -path '*/__pycache__/*.pyc'").split()
    compiled = [path for path in files if path.endswith(".pyc")]
    assert len(files) == 2 * len(compiled) > 0


def test_path_finds_the_environment_first(environment: dict[str, str], contract: Image) -> None:
    """The environment's programs come before the system's, and PATH has all of the system's folders.

    Last, and not in devel, are stand-ins for compilers, whose message names devel. In a workbench, the user's own
    programs come before the image's, and these see what the user has installed.
    """
    own = f"/data/.slipway/python/bin:/data/.local/bin:{WRAPPERS}:" if contract.workload else ""
    assert environment["PATH"].startswith(own)
    first, _, rest = environment["PATH"].removeprefix(own).partition(":")
    assert first == "/opt/venv/bin"
    stand_ins = "" if contract.flavor == "devel" else ":/usr/local/lib/slipway/devel-only"
    assert rest.removeprefix("/usr/local/cuda/bin:") == SYSTEM_PATH + stand_ins


@pytest.fixture(scope="module")
def found_commands(idle: Container) -> list[str]:
    """The paths at which a shell finds the commands."""
    return inside(idle, "sh", "-c", 'for name; do command -v "$name"; done; true', "sh", *COMMANDS).splitlines()


@pytest.mark.parametrize(("command", "path"), COMMANDS.items())
def test_command_is_the_one_meant(found_commands: list[str], contract: Image, command: str, path: str) -> None:
    """No other program of the same name comes before it on PATH; a workbench's uv is for the user's environment."""
    path = f"{WRAPPERS}/uv" if command == "uv" and contract.workload else path
    assert [found for found in found_commands if found.endswith(f"/{command}")] == [path]


def test_no_program_hides_another(idle: Container, contract: Image) -> None:
    """Whoever calls a program of Debian's gets it: none of its name comes before it on PATH.

    Those of ssh in a workbench call it, when they have closed the files that it would refuse; pip and uv are for the
    user's environment.
    """
    installers = {
        **dict.fromkeys(("pip", "pip3", f"pip{contract.variant.versions['python']}"), "/opt/venv/bin"),
        "uv": "/usr/local/bin",
    }
    meant = [
        *([f"{WRAPPERS}/{name}", f"{folder}/{name}"] for name, folder in installers.items()),
        *([f"/usr/local/bin/{name}", f"/usr/bin/{name}"] for name in ("scp", "sftp", "ssh")),
    ]
    seen, hiding = json.loads(inside(idle, "entrypoint", "python", "-c", HIDING))
    assert seen > FEWEST_PROGRAMS
    assert sorted(hiding) == (sorted(meant) if contract.workload else [])


# --- what Python runs at its start ---------------------------------------------------------------


@pytest.mark.parametrize("interpreter", ["/opt/venv/bin/python", "/usr/bin/python3"])
def test_python_runs_nothing_else_at_its_start(idle: Container, contract: Image, interpreter: str) -> None:
    """A .pth file of no distribution, a sitecustomize or a usercustomize would run in each program of everybody."""
    debians = f"/usr/lib/python{contract.variant.versions['python']}/sitecustomize.py"
    assert json.loads(inside(idle, interpreter, "-c", STARTS)) == [debians]
