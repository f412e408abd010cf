"""Programs, extensions and toggles of a workbench, and no build tools."""

import json
import zipfile
from io import BytesIO
from pathlib import PurePosixPath

import pytest
from docker.models.containers import Container
from testinfra.host import Host

from slipway import repository
from slipway.matrix import Image
from tests.images.helpers.containers import Run, Start, execute, inside, wait_until
from tests.images.helpers.distributions import INSTALLED, read_pins
from tests.images.helpers.scope import applies
from tests.images.helpers.workbench import ONE_VOLUME, TOKEN, is_on, open_workbench

pytestmark = applies(workload="workbench")

LOCK = repository.ROOT / "tools" / "code-server" / "package-lock.json"
EXTENSIONS = repository.ROOT / "tools" / "code-server" / "extensions.txt"
ELYRA_LOCK = repository.ROOT / "requirements" / "elyra.txt"
LAB_EXTENSIONS = [
    "@jupyter-server/resource-usage",
    "@jupyter-widgets/jupyterlab-manager",
    "@jupyterhub/jupyter-server-proxy",
    "@jupyterlab/git",
    "jupyter-matplotlib",
]
# A commit and a clone.
GIT = """
set -e
cd "$(mktemp -d)"
git init -q first && cd first
git -c user.name=a -c user.email=a@example.com commit -q --allow-empty -m 'a commit'
cd .. && git clone -q first second && git -C second log --format=%s
"""
PLOT = """
from matplotlib import pyplot
pyplot.title("中文 ひらがな 한국어 ☃")
pyplot.savefig("/tmp/plot.png")
print(pyplot.rcParams["font.sans-serif"][0])
"""
NOT_ON_PATH = ["node", "npm", "npx", "node-gyp"]
MANIFEST = {"name": "hello", "publisher": "check", "version": "1.0.0", "engines": {"vscode": "*"}}
VSIX = """<?xml version="1.0" encoding="utf-8"?>
<PackageManifest Version="2.0.0" xmlns="http://schemas.microsoft.com/developer/vsx-schema/2011">
<Metadata><Identity Language="en-US" Id="hello" Version="1.0.0" Publisher="check"/></Metadata>
<Installation><InstallationTarget Id="Microsoft.VisualStudio.Code"/></Installation>
<Assets><Asset Type="Microsoft.VisualStudio.Code.Manifest" Path="extension/package.json" Addressable="true"/></Assets>
</PackageManifest>
"""


@pytest.mark.requirement("V3", "A11")
@pytest.mark.parametrize("name", ["curl", "git", "openssh-client", "openssh-server"])
def test_debian_package_is_installed(packages: dict[str, str], name: str) -> None:
    """It gets Debian's security fixes."""
    assert packages.get(name) == "ii"


@pytest.mark.requirement("V3")
def test_git_works(run: Run) -> None:
    """It commits and clones as any user."""
    finished = run("sh", "-c", GIT, user="12345:0")
    assert (finished.exit_code, finished.output) == (0, "a commit\n")


def test_git_shows_names_in_every_script(run: Run) -> None:
    """As they are, and not as numbers."""
    script = "git init -q . && touch ä 日本 && git status --short ä 日本"
    assert run("sh", "-c", script, working_dir="/data").require_success() == "?? ä\n?? 日本\n"


def test_programs_of_tools_are_found(run: Run) -> None:
    """uv tool and pipx put them into .local/bin of the home; the image's own come first."""
    script = (
        "mkdir -p .local/bin && cd .local/bin && cp /bin/true own-tool && cp /bin/false python && own-tool && python -V"
    )
    run("sh", "-c", script, working_dir="/data").require_success()


@pytest.mark.parametrize("program", ["EDITOR", "PAGER"])
def test_git_opens_a_program_that_is_there(run: Run, program: str) -> None:
    """In a terminal it wants an editor for the message of a commit, and a pager for what is long."""
    run("sh", "-c", f'command -v "$(TERM=xterm git var GIT_{program})"').require_success()


def test_plot_has_signs_of_every_script(run: Run) -> None:
    """A title in Chinese, Japanese or Korean has no boxes, nor a warning; the settings of a user come first."""
    output = run("python", "-W", "error", "-c", PLOT).require_success()
    assert output == "DejaVu Sans\n"
    own = "mkdir -p $MPLCONFIGDIR; echo 'font.sans-serif: Symbola' >$MPLCONFIGDIR/matplotlibrc; "
    own += f"entrypoint python -c '{PLOT}'"
    finished = run("sh", "-c", own)
    finished.require_success()
    assert finished.stdout == "Symbola\n"


@pytest.mark.requirement("V3", "U10")
def test_user_without_a_name_gets_one(start: Start) -> None:
    """git and ssh refuse to work for a UID without one: in a container's command and in shells of `docker exec`."""
    container = start("sh", "-c", "id -un; exec sleep infinity", user="4321", network_mode="none", read_only=True)
    ask = "id -un; ssh -o BatchMode=yes git@127.0.0.1 2>&1 | tail -n 1 | cut -d: -f1"
    for shell in (["entrypoint", "sh", "-c"], ["bash", "-c"], ["sh", "-l", "-c"]):
        assert inside(container, *shell, ask).splitlines() == ["app", "ssh"]
    wait_until(lambda: bool(container.logs(stderr=False) == b"app\n"), "the container's command has its name, too")


@pytest.mark.requirement("V3")
def test_curl_works(start: Start) -> None:
    """It gets a page from the image's own service, and supports HTTPS."""
    container = start("serve", network_mode="none")
    ask = "curl --silent --show-error --retry 9 --retry-connrefused http://127.0.0.1:8000/health && curl --version"
    output = execute(container, "sh", "-c", ask).require_success()
    assert "Protocols:" in output
    assert " https " in output


@pytest.mark.requirement("A11")
def test_code_server_is_the_locked_version(run: Run) -> None:
    """package-lock.json has its version and hash."""
    packages = json.loads(LOCK.read_text(encoding="utf-8"))["packages"]
    output = run("code-server", "--version", environment={"HOME": "/tmp"}).require_success()
    assert output.split()[0] == packages["node_modules/code-server"]["version"]


@pytest.fixture(scope="module")
def found_commands(idle: Container) -> list[str]:
    """The paths at which a shell finds the commands; Python is found, so that it is seen to look."""
    words = ("sh", "-c", 'for name; do command -v "$name"; done; true', "sh", "python", *NOT_ON_PATH)
    found = inside(idle, *words).splitlines()
    assert "/opt/venv/bin/python" in found
    return found


@pytest.mark.requirement("C6")
@pytest.mark.parametrize("command", NOT_ON_PATH)
def test_command_is_not_on_path(found_commands: list[str], command: str) -> None:
    """Node.js is for code-server only."""
    assert [path for path in found_commands if path.endswith(f"/{command}")] == []


@pytest.mark.requirement("C6", "C5")
def test_code_server_has_nothing_of_its_build(host: Host) -> None:
    """No object files, no sources of native modules, no source maps, no programs for other systems."""
    names = " -o ".join(f"-name '*.{ending}'" for ending in ("o", "a", "c", "cc", "cpp", "map", "exe", "dll"))
    assert host.check_output(f"find /opt/code-server -type f '(' {names} ')'") == ""
    foreign = "find /opt/code-server -type d -regex '.*[/-]\\(darwin\\|win32\\|musl\\|arm64\\|linux-arm\\)[^/]*'"
    assert host.check_output(foreign) == ""


@pytest.mark.requirement("A11")
def test_jupyterlab_has_its_extensions(host: Host) -> None:
    """Each is enabled and works."""
    listed = host.run("env HOME=/tmp jupyter labextension list")
    output = listed.stdout + listed.stderr
    for name in LAB_EXTENSIONS:
        line = next((line for line in output.splitlines() if name in line), "")
        assert "enabled" in line, output
        assert "OK" in line, output


@pytest.mark.requirement("A11")
def test_code_server_has_its_extensions(host: Host) -> None:
    """The editor's own and those of the list, and no other."""
    lines = EXTENSIONS.read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if line.strip() and not line.startswith("#")]
    folder = "/opt/code-server/node_modules/code-server/lib/vscode/extensions"
    names = host.check_output("find %s -mindepth 2 -maxdepth 2 -name package.json -printf '%%h\n'", folder).split()
    # Of the editor's own, only those of this publisher have it in their names.
    added = [name for name in names if "." in PurePosixPath(name).name and "/ms-vscode." not in name]
    assert f"{folder}/git" in names
    assert len(added) == len(listed), added


@pytest.mark.requirement("A11", "U10", "T12")
def test_user_installs_an_extension(start: Start) -> None:
    """From a file, without network, onto the volume; the editor lists it."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("extension/package.json", json.dumps(MANIFEST))
        archive.writestr("extension.vsixmanifest", VSIX)
    running = start("sleep", "infinity", network_mode="none", **ONE_VOLUME)
    script = "import sys; open('/data/hello.vsix', 'wb').write(bytes.fromhex(sys.argv[1]))"
    inside(running, "python", "-c", script, content.getvalue().hex())
    environment = {"HOME": "/data", "TMPDIR": "/data"}
    inside(running, "code-server", "--install-extension", "/data/hello.vsix", environment=environment)
    listed = inside(running, "code-server", "--list-extensions", environment=environment)
    assert listed.split()[-1] == "check.hello"


# --- toggles -------------------------------------------------------------------------------------


@pytest.mark.requirement("C3", "T2")
def test_kubectl_is_there_by_its_toggle(run: Run, contract: Image) -> None:
    """It prints its version without a cluster; without the toggle there is no such command."""
    finished = run("sh", "-c", "command -v kubectl && exec kubectl version --client", environment={"HOME": "/tmp"})
    assert (finished.exit_code == 0) == is_on(contract, "KUBECTL"), finished
    assert ("Client Version" in finished.output) == is_on(contract, "KUBECTL"), finished


@pytest.mark.requirement("C3", "T2", "U8")
def test_elyra_is_there_by_its_toggle(host: Host, contract: Image) -> None:
    """In an environment of its own, equal to its lock; without the toggle there is no such folder."""
    assert host.file("/opt/elyra").exists == is_on(contract, "ELYRA")
    if is_on(contract, "ELYRA"):
        installed = json.loads(host.check_output("/opt/elyra/bin/python -c %s", INSTALLED))
        assert [tuple(pin) for pin in installed] == sorted(read_pins(ELYRA_LOCK).items())


@pytest.mark.requirement("C3")
def test_elyra_serves_by_its_toggle(start: Start, contract: Image) -> None:
    """JupyterLab serves Elyra's pages, and its kernel is not Elyra's Python."""
    running = open_workbench(start, "lab", **ONE_VOLUME)
    assert (running.get("/elyra/schema/runtimes", TOKEN).status == 200) == is_on(contract, "ELYRA")
    kernels = json.loads(running.get("/api/kernelspecs", TOKEN).body)
    assert kernels["kernelspecs"][kernels["default"]]["spec"]["argv"][0] == "/usr/local/lib/slipway/kernel"
