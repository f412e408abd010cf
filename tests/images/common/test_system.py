"""The system below: where apt gets packages, dpkg's own changes, the time, the accounts, what the loader searches."""

import json
import re

import pytest
from docker.models.containers import Container

from slipway.matrix import Image
from tests.images.helpers.containers import Run, inside
from tests.images.helpers.scope import applies

pytestmark = applies()

# Prints apt's sources, each as its fields; what of apt's settings takes packages from anybody; further architectures.
SOURCES = r"""
import json, pathlib, re, subprocess
folder = pathlib.Path("/etc/apt")
texts = [file.read_text() for file in sorted(folder.glob("sources.list.d/*"))]
fields = [re.findall(r"(?m)^([\w-]+):[ \t]*(.*)$", part) for text in texts for part in re.split(r"\n[ \t]*\n", text)]
lines = [file.read_text() for file in folder.glob("sources.list")]
settings = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
yes, no = r"\"(1|true|yes|on|with|enable)\"", r"\"(0|false|no|off|without|disable)\""
loose = rf"(?im)^\S*(unauthenticated|insecure|weak|downgrade|force-yes)\S* {yes};$"
loose += rf"|^\S*(verify-peer|verify-host|valid-until)\S* {no};$|^\S*(proxy|default-release|auto-detect)\S* \"..*\";$"
found = [match[0] for match in re.finditer(loose, settings)]
hooks = "".join(file.read_text() for file in folder.glob("apt.conf.d/docker-*"))  # of no package
found += re.findall(r"(?i)(?:invoke|-pkgs)\S*[^\"]*\"(?!rm -f /var/cache/apt/[^;&|]+(?: \|\| true)?\")[^\"]*\"", hooks)
foreign = subprocess.run(["dpkg", "--print-foreign-architectures"], capture_output=True, text=True, check=True).stdout
print(json.dumps([[dict(row) for row in fields if row], lines, found, foreign.split()]))
"""
FIELDS = {"Types", "URIs", "Suites", "Components", "Signed-By"}
DEBIANS = re.compile(r"https?://[\w.]+\.debian\.org/debian(-security)?/?")
KEYRING = "/usr/share/keyrings/debian-archive-keyring."
TIMES = "date '+%Z %z'; python -c 'import time; print(*time.tzname)'; TZ=Europe/Berlin date '+%Z'"
# Accounts of people have these numbers; below are those of Debian and its packages.
PEOPLE = range(1000, 65534)
APP = "app:x:1000:0::/data:/bin/sh"
BECOME_ROOT = ["su", "--command", "id -u", "root"]
# Prints the folders that the loader searches beside the programs' own, those of them that others than root may change,
# and whether the loader's index is as ldconfig makes it.
LOADER = """
named=$(cat /etc/ld.so.conf /etc/ld.so.conf.d/*.conf | sed -n 's,^ *\\(/[^ #]*\\).*,\\1,p')
for folder in $named $(/sbin/ldconfig -N -X -v 2>/dev/null | sed -n 's,^\\(/[^:]*\\):.*,\\1,p'); do
    echo "$folder"
    find "$folder/." -maxdepth 0 '(' -perm /022 -o ! -uid 0 ')' -printf '%p can be written\\n'
done
/sbin/ldconfig -i -X -C /tmp/ld.so.cache 2>/dev/null && cmp /tmp/ld.so.cache /etc/ld.so.cache 2>&1 && echo current
"""
OF_LIBRARIES = re.compile(r"(/usr|/usr/local)?/lib(64|32|x32)?(/.*)?|/opt/venv/lib/.*")


@pytest.mark.exact
def test_apt_takes_debians_packages_alone(idle: Container, contract: Image) -> None:
    """From Debian's addresses for its release, with the signatures of its keys; later packages come the same way."""
    sources, lines, loose, foreign = json.loads(inside(idle, "python", "-c", SOURCES))
    suite = contract.variant.distro.suite
    assert {word for row in sources for word in row.get("Suites", "").split()} == {
        suite,
        f"{suite}-updates",
        f"{suite}-security",
    }
    assert [row for row in sources if not (row.keys() <= FIELDS and row.get("Signed-By", "").startswith(KEYRING))] == []
    places = [word for row in sources for word in row.get("URIs", "").split()]
    assert places
    assert [place for place in places if not DEBIANS.fullmatch(place)] == []
    assert ([line for line in "".join(lines).splitlines() if line.strip()], loose, foreign) == ([], [], [])


@pytest.mark.exact
def test_apt_would_remove_nothing(run: Run) -> None:
    """A user's `apt-get autoremove` leaves what the image needs: apt knows that it was asked for."""
    output = run("apt-get", "--simulate", "autoremove", user="0").require_success()
    assert [line for line in output.splitlines() if line.startswith("Remv ")] == []


@pytest.mark.exact
def test_dpkg_keeps_debians_files(idle: Container) -> None:
    """An upgrade installs them where they belong, with Debian's modes: nobody has asked dpkg for anything else."""
    moved = inside(idle, "dpkg-divert", "--list").splitlines()
    assert [line for line in moved if line.startswith("local diversion")] == []
    modes = inside(idle, "sh", "-c", "dpkg-statoverride --list || true").splitlines()
    assert [line for line in modes if int(line.split()[2], 8) & 0o4022] == []


@pytest.mark.exact
def test_time_is_utc(idle: Container) -> None:
    """Logs of a cluster are compared by it; the zones are there for those who ask."""
    first, names, zone = inside(idle, "sh", "-c", TIMES).splitlines()
    assert (first, names) == ("UTC +0000", "UTC UTC")
    assert zone in ("CET", "CEST")


@pytest.mark.exact
def test_user_is_the_only_person(idle: Container) -> None:
    """Its entry has the home that sshd and cron read, and no other account shares a number."""
    rows = inside(idle, "getent", "passwd").splitlines()
    assert [row for row in rows if int(row.split(":")[2]) in PEOPLE] == [APP]
    numbers = [row.split(":")[2] for row in rows]
    assert sorted(numbers) == sorted({*numbers})


def test_user_becomes_root_by_no_password(run: Run) -> None:
    """Where new privileges are allowed, su asks PAM, whose settings Debian's scripts write."""
    finished = run(*BECOME_ROOT)
    assert finished.exit_code != 0, finished
    assert "Authentication failure" in finished.output, finished


@pytest.mark.exact
def test_loader_searches_libraries_folders_alone(idle: Container) -> None:
    """None that a user may write to; the index is current, so that each library of the folders is found."""
    found = inside(idle, "sh", "-c", LOADER).splitlines()
    assert found[-1:] == ["current"], found
    assert len(found) > 1
    assert [line for line in found[:-1] if not OF_LIBRARIES.fullmatch(line) or line.endswith("written")] == []
