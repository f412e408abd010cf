"""Setup on a Debian that has nothing of it: a root folder, processes and a network of its own on this host."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway import matrix
from slipway.host import apt, downloads
from tests.helpers import checkout as copies
from tests.helpers import reasons

pytestmark = [
    pytest.mark.whole,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        os.getuid() != 0 or not all(map(shutil.which, ("mmdebstrap", "slirp4netns", "unshare"))),
        reason=reasons.NO_FRESH_DEBIAN,
    ),
]

# What a checkout and noxw need, and a CA bundle.
PACKAGES = "python3,python3-venv,git,ca-certificates"
# A network that reaches the internet by a process of this host, so that the engines and their rules do not meet. Then
# the folder becomes the root, as in a container: an engine cannot unpack images below a plain chroot.
ENTER = r"""
set -e
unshare --net --fork --kill-child sh -c 'echo $$ >"$0.pid"; exec sleep infinity' "$1" & holder=$!
trap 'kill -KILL $holder' EXIT
until [ -s "$1.pid" ]; do sleep 0.1; done
read -r network <"$1.pid"
slirp4netns --configure --mtu=1500 "$network" tap0 >"$1.network" 2>&1 & slirp=$!
trap 'kill -KILL $slirp $holder' EXIT
until nsenter --net --target "$network" ip -4 -oneline address show tap0 2>/dev/null | grep -q inet; do sleep 0.1; done
nsenter --net --target "$network" unshare --mount --pid --cgroup --fork --kill-child sh -ec '
    mount --bind "$0" "$0" && cd "$0"
    mount -t proc proc proc && mount --rbind /sys sys && mount --rbind /dev dev
    mount -t tmpfs tmpfs run && mount -t tmpfs tmpfs tmp
    mkdir -p mnt/host && pivot_root . mnt/host && umount -l /mnt/host
    exec env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -ec "$1"
' "$1" "$2"
"""
INSTALLED = "dpkg-query --show --showformat '${db:Status-Abbrev} ${Package} ${Version}\\n' | sed -n 's/^ii //p' | sort"
LISTED = "find /etc/apt /etc/docker -type f 2>/dev/null | sort"
# Setup for a first build, a second time, and back; what the engine itself says in between.
STORY = f"""
{INSTALLED} >/packages-before
{LISTED} >/files-before
./noxw -s setup
docker version --format 'engine {{{{.Server.Version}}}}'
{INSTALLED} >/packages-there
echo again
./noxw -s setup
echo undo
./noxw -s setup -- --undo
! command -v docker
{INSTALLED} >/packages-after
{LISTED} >/files-after
"""


@pytest.fixture(params=sorted({distro.suite for distro in matrix.load_matrix().distros.values()}))
def fresh(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The root folder of a fresh Debian with the checkout; not in /tmp, which may be in memory."""
    root = Path(f"/var/tmp/slipway-test-{os.getpid()}-{request.param}")
    mirrors = apt.find_mirrors()
    if not mirrors:
        pytest.skip(reasons.NO_DEBIAN)
    sources = apt.debian_sources(request.param, *mirrors)
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", request.param, str(root), "-"]
    try:
        subprocess.run(command, input=sources, check=True, capture_output=True, text=True)
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        bundle = downloads.find_ca_bundle({}, Path("/"), {})
        if bundle:
            shutil.copy(bundle, root / "etc/ssl/certs/ca-certificates.crt")
        copies.copy_repository(root / "slipway")
        yield root
    finally:
        for path in (root, *root.parent.glob(f"{root.name}.*")):
            subprocess.run(["rm", "-rf", "--one-file-system", str(path)], check=False)


def read_lines(root: Path, name: str) -> set[str]:
    """Return the lines of a file that the story wrote."""
    return set((root / name).read_text(encoding="utf-8").splitlines())


def test_setup_makes_a_fresh_debian_able_to_build_and_takes_it_back(fresh: Path) -> None:
    """By Debian's packages alone: none that was there is upgraded or removed, and undo leaves none of its own."""
    words = ["sh", "-c", ENTER, "sh", str(fresh), f"cd /slipway\n{STORY}"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    first, again, undo = ended.stdout.replace("\nagain\n", "\nundo\n").split("\nundo\n")
    assert "installing docker.io" in first
    assert "running a container with network" in first
    assert first.splitlines()[-1].startswith("engine ")
    assert [line.split()[1] for line in again.splitlines()] == ["Docker", "base"]
    assert "removing " in undo
    before, there, after = (read_lines(fresh, f"packages-{moment}") for moment in ("before", "there", "after"))
    assert before < there
    assert after == before
    assert read_lines(fresh, "files-after") == read_lines(fresh, "files-before")
