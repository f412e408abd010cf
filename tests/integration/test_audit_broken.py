"""A real image that is broken in every way that an audit must catch, and nothing beside it is blamed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slipway import matrix, python_locks, repository, sbom, tools
from slipway.audit import audit, syft
from slipway.errors import SlipwayError
from slipway.image import saved_image
from tests.helpers.built_images import require_built
from tests.sabotage import breakage

CONTRACT = matrix.load_matrix().find_image("cpu-base")
TAG = f"{breakage.REPOSITORY}:audit"
UVICORN = next(iter(python_locks.read_locks(CONTRACT.variant_locks)["uvicorn"]))
PACKAGES = "/opt/venv/lib/python3.13/site-packages"

# Runs as root in the image; what each line breaks, EXPECTED names.
BREAK = """
import base64, hashlib, os, pathlib, shutil, subprocess, sys
packages = pathlib.Path("/opt/venv/lib/python3.13/site-packages")

def row(path, content):
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(content)}"

def install(name, version, extra=()):
    folder = packages / f"{name}-{version}.dist-info"
    folder.mkdir()
    metadata = f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n".encode()
    (folder / "METADATA").write_bytes(metadata)
    rows = [row(f"{folder.name}/METADATA", metadata), *extra, f"{folder.name}/RECORD,,"]
    (folder / "RECORD").write_text("\\n".join(rows) + "\\n")

# A Debian package that no Dockerfile asks for.
control = pathlib.Path("/tmp/stray/DEBIAN/control")
control.parent.mkdir(parents=True)
control.write_text("Package: stray-deb\\nVersion: 1\\nArchitecture: all\\nMaintainer: x\\nDescription: x\\n")
subprocess.run(["dpkg-deb", "--build", "/tmp/stray", "/tmp/stray.deb"], check=True)
subprocess.run(["dpkg", "--install", "/tmp/stray.deb"], check=True)
shutil.rmtree("/tmp/stray")
os.remove("/tmp/stray.deb")
# A package that no lock has, and one in another version.
install("stray", "1.0")
shutil.rmtree(next(packages.glob("idna-*.dist-info")))
shutil.rmtree(packages / "idna")
for script in pathlib.Path("/opt/venv/bin").glob("idna*"):
    script.unlink()
install("idna", "0.1")
# A changed byte: of a Debian package, of a distribution, of bytecode, of this repository.
for file in ("/usr/bin/tini", packages / "click" / "core.py", "/usr/local/bin/entrypoint", "/usr/local/bin/uv"):
    with open(file, "ab") as stream:
        stream.write(b"#")
bytecode = next((packages / "h11" / "__pycache__").glob("_events.*.pyc"))
content = bytearray(bytecode.read_bytes())
content[-1] ^= 1
bytecode.write_bytes(content)
# A RECORD that is edited to match a changed file.
file = packages / "uvicorn" / "main.py"
old = file.read_bytes()
file.write_bytes(old + b"# harmless\\n")
record = next(packages.glob("uvicorn-*.dist-info")) / "RECORD"
record.write_text(record.read_text().replace(row("uvicorn/main.py", old), row("uvicorn/main.py", file.read_bytes())))
# And checksums of dpkg's that are.
file = pathlib.Path("/usr/bin/nl")
old = hashlib.md5(file.read_bytes()).hexdigest()
with file.open("ab") as stream:
    stream.write(b"#")
sums = pathlib.Path("/var/lib/dpkg/info/coreutils.md5sums")
sums.write_text(sums.read_text().replace(old, hashlib.md5(file.read_bytes()).hexdigest()))
# A folder that only an edited list of dpkg's has.
os.mkdir("/opt/claimed")
with open("/var/lib/dpkg/info/tini.list", "a") as stream:
    stream.write("/opt/claimed\\n")
# A file without an owner, one of a package and one of the application that are gone, a setuid program.
pathlib.Path("/usr/local/bin/extra").write_text("x")
os.remove("/usr/bin/tac")
os.remove("/opt/app/app/metrics.py")
os.chmod("/usr/bin/wc", 0o4755)
# A program that gives a capability, one that belongs to the user, one that anybody may write.
os.setxattr("/usr/bin/tr", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
os.chown("/usr/bin/uniq", 1000, 0)
os.chmod("/usr/bin/sort", 0o777)
# The same content twice.
shutil.copy("/usr/bin/bash", "/usr/local/bin/shell")
# Links of packages: one is a program now, one leads elsewhere.
for path in ("/etc/rmt", "/usr/bin/pydoc3"):
    os.remove(path)
pathlib.Path("/etc/rmt").write_text("x")
os.symlink("/data/evil", "/usr/bin/pydoc3")
# A certificate of no package, a second root, a library of the linker's cache that is no longer there.
with open("/etc/ssl/certs/ca-certificates.crt", "a") as stream:
    stream.write("-----BEGIN CERTIFICATE-----\\nQUFB\\n-----END CERTIFICATE-----\\n")
with open("/etc/passwd", "a") as stream:
    stream.write("toor:x:0:0::/root:/bin/sh\\n")
os.remove("/usr/lib/x86_64-linux-gnu/libbz2.so.1.0.4")
"""

EXPECTED = {
    ("outside the lock", "pypi:stray"),
    ("outside the lock", "deb:stray-deb"),
    ("other version", "pypi:idna"),
    ("record edited", f"{PACKAGES}/uvicorn-{UVICORN}.dist-info/RECORD"),
    ("unowned", "/var/lib/dpkg/info/coreutils.md5sums"),
    ("changed", "/usr/bin/tini"),
    ("changed", f"{PACKAGES}/click/core.py"),
    ("changed", "/usr/local/bin/entrypoint"),
    ("unowned", "/usr/local/bin/uv"),
    ("unowned", f"{PACKAGES}/click/__pycache__/core.cpython-313.pyc"),
    ("unowned", f"{PACKAGES}/h11/__pycache__/_events.cpython-313.pyc"),
    ("unowned", f"{PACKAGES}/uvicorn/__pycache__/main.cpython-313.pyc"),
    ("unowned", "/opt/app/app/__pycache__/metrics.cpython-313.pyc"),
    ("unowned", "/opt/claimed"),
    ("unowned", "/usr/local/bin/extra"),
    ("unowned", "/etc/passwd"),
    ("unowned", "/etc/ssl/certs/ca-certificates.crt"),
    ("unowned", "/etc/ld.so.cache"),
    ("deleted", "/usr/bin/tac"),
    ("deleted", "/usr/lib/x86_64-linux-gnu/libbz2.so.1.0.4"),
    ("deleted", "/opt/app/app/metrics.py"),
    ("set-ID", "/usr/bin/wc"),
    ("extended attribute", "/usr/bin/tr"),
    ("foreign owner", "/usr/bin/uniq"),
    ("writable", "/usr/bin/sort"),
    ("same content", "/usr/bin/bash"),
    ("unowned", "/usr/local/bin/shell"),
    # What gets another mode is in a layer once more.
    ("same content", "/usr/bin/sort"),
    ("same content", "/usr/bin/wc"),
    ("changed", "/etc/rmt"),
    ("changed", "/usr/bin/pydoc3"),
    ("foreign layer", "layer 6"),
    ("foreign instruction", "USER 0:0"),
}
# Unchanged files that no longer match what they were made from; and an instruction that makes no layer.
UNTOUCHED = {
    "USER 0:0",
    "/etc/ld.so.cache",
    "/opt/app/app/__pycache__/metrics.cpython-313.pyc",
    f"{PACKAGES}/click/__pycache__/core.cpython-313.pyc",
    f"{PACKAGES}/uvicorn/__pycache__/main.cpython-313.pyc",
}
FEW = 50  # packages of the base image
# What dpkg writes when it installs a package is no longer of the layer that it must be of.
BESIDE = "/var/"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The audit of an image with all breakages."""
    require_built(CONTRACT)
    script = f"USER 0:0\nRUN /usr/bin/python3 - <<'EOT'\n{BREAK}\nEOT\nUSER 1000:0"
    breakage.build(TAG, f"FROM {CONTRACT.tag}\n{script}\n")
    try:
        image_id = saved_image.find_id(TAG)
        file = syft.write_sboms(CONTRACT, image_id, tmp_path_factory.mktemp("sbom"))
        done = audit.audit_image(CONTRACT, image_id, sbom.read_components(file))
        yield audit.make_report(done, image_id, 0)
    finally:
        breakage.run("docker", "image", "rm", "--force", TAG)


@pytest.mark.requirement("U8")
@pytest.mark.parametrize("expected", sorted(EXPECTED), ids=lambda pair: f"{pair[0]} {pair[1].rpartition('/')[2]}")
def test_a_breakage_is_found(result: dict[str, Any], expected: tuple[str, str]) -> None:
    """Each has its finding, with the instruction that broke it, or that made what is broken by it."""
    found = [item for item in result["findings"] if (item["kind"], item["what"]) == expected]
    assert len(found) == 1
    assert found[0]["instruction"].startswith("RUN /bin/sh -c /usr/bin/python3") == (expected[1] not in UNTOUCHED)


@pytest.mark.requirement("U8")
def test_nothing_else_is_blamed(result: dict[str, Any]) -> None:
    found = {(item["kind"], item["what"]) for item in result["findings"]}
    assert {item for item in found if not item[1].startswith(BESIDE)} | EXPECTED == EXPECTED
    assert result["verdict"] == "failed"


@pytest.mark.requirement("U8")
def test_files_of_npm_packages_are_the_locked_ones() -> None:
    """In a workbench that was built here every file is; changed, moved and added ones and a turned link are found."""
    contract = matrix.load_matrix().find_image("cpu-base-tools")
    require_built(contract)
    entry, part = "/opt/code-server/node_modules/code-server/out/node/entry.js", "/opt/mathjax/es5"
    tag = f"{breakage.REPOSITORY}:npm"
    link = "/opt/code-server/node_modules/.bin/code-server"
    spoil = f"echo '//' >>{entry} && mv {part}/core.js {part}/main.js && cp {entry} {entry}.js"
    spoil += f" && ln -sf ../code-server/package.json {link}"
    breakage.build(tag, f"FROM {contract.tag}\nUSER 0:0\nRUN {spoil}\nUSER 1000:0\n")
    try:
        found = audit.audit_image(contract, saved_image.find_id(tag), []).findings
    finally:
        breakage.run("docker", "image", "rm", "--force", tag)
    inside = {(each.kind, each.what) for each in found if each.what.startswith(("/opt/code-server/", "/opt/mathjax/"))}
    copied = {("same content", f"{part}/core.js")}  # a file that is moved is in two layers
    assert inside - copied == {("unowned", path) for path in (entry, link, f"{entry}.js", f"{part}/main.js")}


def test_settings_of_this_machine_hide_nothing_from_syft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these would leave out dpkg's database, and with it all but five of a hundred packages."""
    base = CONTRACT.variant.distro.tag
    hidden = "exclude: ['/var/lib/dpkg/**']\n"
    (tmp_path / "syft").mkdir()
    for name in (".syft.yaml", "syft/config.yaml"):
        (tmp_path / name).write_text(hidden)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("SYFT_EXCLUDE", "/var/lib/dpkg/**")
    monkeypatch.chdir(tmp_path)
    file = syft.write_sboms(CONTRACT, saved_image.find_id(base), tmp_path)
    assert sum(component.kind == "deb" for component in sbom.read_components(file)) > FEW


def test_syft_tells_why_it_could_not_list_an_image(tmp_path: Path) -> None:
    """Without the colors of a terminal."""
    with pytest.raises(
        SlipwayError, match=r"Syft could not list sha256:0+:\n\[[0-9]+\] ERROR could not determine source"
    ):
        syft.write_sboms(CONTRACT, f"sha256:{'0' * 64}", tmp_path)


@pytest.mark.requirement("U8")
def test_the_image_itself_passes(tmp_path: Path) -> None:
    """The command succeeds on the image that the broken one was made of, and explains every file."""
    require_built(CONTRACT)
    tools.provide_program(tools.read_tool("syft"))
    command = [sys.executable, "-m", "slipway.audit", CONTRACT.name, f"--image={CONTRACT.tag}"]
    finished = subprocess.run(command, cwd=repository.ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    document = json.loads((CONTRACT.results / "of-another" / "audit.json").read_text())
    assert document["verdict"] == "passed"
    assert document["files"]["explained"] == document["files"]["all"]
    assert document["image"] == saved_image.find_id(CONTRACT.tag)
