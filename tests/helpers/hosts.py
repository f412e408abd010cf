"""The files of many kinds of hosts that say where apt gets packages, and a command run on such a host."""

import contextlib
import os
import subprocess
from pathlib import Path

from slipway.host import downloads

MIRROR = "https://mirror.example/debian"
PUBLIC = "http://any.debian.org/debian"

UBUNTU_24_04 = {
    "etc/os-release": 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n',
    "etc/apt/apt.conf.d/01-vendor-ubuntu": (
        'Acquire::Changelogs::AlwaysOnline "true";\nAcquire::http::User-Agent-Non-Interactive "true";\n'
    ),
    "etc/apt/auth.conf.d/90ubuntu-advantage": "machine esm.ubuntu.example/apps/ubuntu/ login bearer password x\n",
    "etc/apt/sources.list": "# Ubuntu sources have moved to /etc/apt/sources.list.d/ubuntu.sources\n",
    "etc/apt/sources.list.d/ubuntu.sources": """\
# See http://help.ubuntu.example/community/UpgradeNotes

## Ubuntu distribution repository
Types: deb
URIs: http://archive.ubuntu.example/ubuntu/
Suites: noble noble-updates noble-backports
Components: main universe restricted multiverse
Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg

## Ubuntu security updates.
Types: deb
URIs: http://security.ubuntu.example/ubuntu/
Suites: noble-security
Components: main universe restricted multiverse
Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg
""",
    "etc/apt/sources.list.d/ppa.sources": (
        "Types: deb\nURIs: https://ppa.example/deadsnakes/ppa/ubuntu/\nSuites: noble\nComponents: main\n"
    ),
}
# As on runners of GitHub: a mirror list of their own.
UBUNTU_RUNNER = {
    "etc/os-release": "ID=ubuntu\nID_LIKE=debian\n",
    "etc/apt/apt-mirrors.txt": "http://azure.archive.ubuntu.example/ubuntu/\tpriority:1\n",
    "etc/apt/sources.list.d/ubuntu.sources": (
        "Types: deb\nURIs: mirror+file:/etc/apt/apt-mirrors.txt\n"
        "Suites: noble noble-updates noble-backports noble-security\nComponents: main universe\n"
    ),
}
UBUNTU_22_04 = {
    "etc/os-release": "ID=ubuntu\nID_LIKE=debian\n",
    "etc/apt/sources.list": (
        "deb http://archive.ubuntu.example/ubuntu/ jammy main restricted\n"
        "deb http://archive.ubuntu.example/ubuntu/ jammy-updates main restricted\n"
        "deb http://archive.ubuntu.example/ubuntu/ jammy universe\n"
        "deb http://security.ubuntu.example/ubuntu/ jammy-security main restricted\n"
    ),
}
MINT = {
    "etc/os-release": 'ID=linuxmint\nID_LIKE="ubuntu debian"\n',
    "etc/apt/sources.list.d/official-package-repositories.list": (
        "deb http://packages.mint.example xia main upstream import backport\n\n"
        "deb http://archive.ubuntu.example/ubuntu noble main restricted universe multiverse\n"
        "deb http://archive.ubuntu.example/ubuntu noble-updates main restricted universe multiverse\n"
        "deb http://security.ubuntu.example/ubuntu/ noble-security main restricted universe multiverse\n"
    ),
}
KALI = {
    "etc/os-release": "ID=kali\nID_LIKE=debian\n",
    "etc/apt/sources.list": "deb http://http.kali.example/kali kali-rolling main contrib non-free non-free-firmware\n",
}
DEVUAN = {
    "etc/os-release": "ID=devuan\nID_LIKE=debian\n",
    "etc/apt/sources.list": (
        "deb http://deb.devuan.example/merged stable main\n"
        "deb http://deb.devuan.example/merged stable-updates main\n"
        "deb http://deb.devuan.example/merged stable-security main\n"
    ),
}
# The archives of Raspberry Pi OS have Debian's suite names, one of them in a folder called debian.
RASPBIAN = {
    "etc/os-release": "ID=raspbian\nID_LIKE=debian\n",
    "etc/apt/sources.list": "deb http://raspbian.pi.example/raspbian/ bookworm main contrib non-free rpi\n",
    "etc/apt/sources.list.d/raspi.list": "deb http://archive.pi.example/debian/ bookworm main\n",
}
RASPBERRY_PI_OS = {
    "etc/os-release": "ID=debian\n",
    "etc/apt/sources.list": f"deb {PUBLIC} bookworm main\ndeb {PUBLIC} bookworm-updates main\n",
    "etc/apt/sources.list.d/raspi.list": "deb http://archive.pi.example/debian/ bookworm main\n",
}
RASPBERRY_PI_OS_13 = {
    "etc/os-release": "ID=debian\n",
    "etc/apt/sources.list.d/raspi.sources": (
        "Types: deb\nURIs: http://archive.pi.example/debian/\nSuites: trixie\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/raspberrypi-archive-keyring.pgp\n"
    ),
}
DEBIAN_11 = {
    "etc/os-release": "ID=debian\n",
    "etc/apt/sources.list": (
        f"deb {PUBLIC} bullseye main\n"
        f"deb {PUBLIC}-security bullseye-security main\n"
        f"deb {PUBLIC} bullseye-updates main\n"
    ),
}
# As the installer writes it.
DEBIAN_12 = {
    "etc/os-release": "ID=debian\n",
    "etc/apt/sources.list": (
        f"#deb cdrom:[Debian GNU/Linux 12.5.0 _Bookworm_ - Official amd64 NETINST]/ bookworm main\n\n"
        f"deb {PUBLIC}/ bookworm main non-free-firmware\ndeb-src {PUBLIC}/ bookworm main non-free-firmware\n"
        f"deb {PUBLIC}-security/ bookworm-security main non-free-firmware # fixes\n"
        f"deb {PUBLIC}/ bookworm-updates main non-free-firmware\n"
    ),
}
DEBIAN_13 = {
    "etc/os-release": "ID=debian\n",
    "etc/apt/sources.list.d/debian.sources": (
        "Types: deb\n# http://snapshot.example/archive/debian/20261101T000000Z\n"
        f"URIs: {PUBLIC}\nSuites: trixie trixie-updates\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.pgp\n\n"
        f"Types: deb\nURIs: {PUBLIC}-security\nSuites: trixie-security\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.pgp\n"
    ),
}


def cloud(address: str) -> dict[str, str]:
    """Return the files of Debian 12's cloud image, whose mirror is an address."""
    return {
        "etc/os-release": "ID=debian\n",
        "etc/apt/mirrors/debian.list": f"{address}\n",
        "etc/apt/mirrors/debian-security.list": f"{address}-security\n",
        "etc/apt/sources.list.d/debian.sources": (
            "Types: deb deb-src\nURIs: mirror+file:///etc/apt/mirrors/debian.list\n"
            "Suites: bookworm bookworm-updates bookworm-backports\nComponents: main\n\n"
            "Types: deb deb-src\nURIs: mirror+file:///etc/apt/mirrors/debian-security.list\n"
            "Suites: bookworm-security\nComponents: main\n"
        ),
    }


WITHOUT_MIRROR = {
    "ubuntu24": UBUNTU_24_04,
    "runner": UBUNTU_RUNNER,
    "ubuntu22": UBUNTU_22_04,
    "mint": MINT,
    "kali": KALI,
    "devuan": DEVUAN,
    "raspbian": RASPBIAN,
    "pi12": RASPBERRY_PI_OS,
    "pi13": RASPBERRY_PI_OS_13,
    "debian11": DEBIAN_11,
    "debian12": DEBIAN_12,
    "debian13": DEBIAN_13,
    "cloud12": cloud(PUBLIC),
}


def put(root: Path, name: str, text: str) -> Path:
    """Write a file of a made-up host."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def put_all(root: Path, files: dict[str, str]) -> None:
    """Write files of a made-up host."""
    for name, text in files.items():
        put(root, name, text)


def find(root: Path, **environ: str) -> downloads.Host:
    """Read a made-up host's settings."""
    return downloads.find("trixie", {"HOME": str(root / "home"), **environ}, root)


def command_on(root: Path, *command: str) -> list[str]:
    """Return a command that sees a made-up host's files of apt and its os-release in the place of this host's."""
    mounts = "mount --bind $0/etc/apt /etc/apt && mount --bind $0/etc/os-release /etc/os-release"
    return in_namespace(f'{mounts} && exec "$@"', str(root), *command)


def in_namespace(script: str, *words: str) -> list[str]:
    """Return a command that runs a shell script as root of a mount namespace, which nothing else sees."""
    return ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-ec", script, *words]


# What is in /tmp is still there, such as the tests' own Python; what is written there goes to 16 MB of memory.
SMALL_TMP = """
mount -t tmpfs -o size=16m none /mnt
mkdir /mnt/upper /mnt/work
mount -t overlay -o lowerdir=/tmp,upperdir=/mnt/upper,workdir=/mnt/work none /tmp
unset TMPDIR
exec "$0" "$@"
"""


def with_small_tmp(*command: str) -> list[str]:
    """Return a command that has hardly any room in /tmp, and no TMPDIR."""
    return in_namespace(SMALL_TMP, *command)


def has_namespaces() -> bool:
    """Tell whether this user may have a mount namespace on this machine."""
    with contextlib.suppress(OSError):
        command = in_namespace("mount -t tmpfs none /mnt")
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    return False


HAS_NAMESPACES = has_namespaces()
