"""The base image: pulled from a registry, or made from Debian's packages where none answers.

What is made has the contents of Debian's official slim image: the suite with its updates and
security fixes, no documentation but the copyright files, and the settings that keep apt small.
Made again from the same packages, its layer has the same bytes.
Its labels say that it was made, and `describe_image` says so in an image's evidence.
"""

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from shutil import which

from slipway import docker, files
from slipway.errors import SlipwayError
from slipway.host import packages
from slipway.host.apt import CA_IN_BUILD, KEYRING
from slipway.host.commands import run_command, say
from slipway.host.downloads import Host
from slipway.images_toml import Distro

LABEL = "slipway.base"
MAKER = "mmdebstrap"
PULLED, OTHER = "pulled", "pulled by another digest than the pinned one"
DOCKER_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# The official slim image's exclusions: Debian's licenses travel with the packages.
DPKG_CONFIGURATION = """\
# No documentation, translations or manual pages; copyright files stay.
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/linda/*
path-exclude=/usr/share/lintian/overrides/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/doc/kde/HTML/*/*
path-exclude=/usr/share/gnome/help/*/*
path-exclude=/usr/share/omf/*/*-*.emf
path-include=/usr/share/doc/*/copyright
path-include=/usr/share/doc/kde/HTML/C/*
path-include=/usr/share/gnome/help/*/C/*
path-include=/usr/share/locale/all_languages
path-include=/usr/share/locale/currency/*
path-include=/usr/share/locale/l10n/*
path-include=/usr/share/locale/languages
path-include=/usr/share/locale/locale.alias
path-include=/usr/share/omf/*/*-C.emf
"""
CLEAN = "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"
APT_CLEAN = f"""\
# Each installation cleans up behind itself, as `apt-get clean` would.
DPkg::Post-Invoke {{ "{CLEAN}"; }};
APT::Update::Post-Invoke {{ "{CLEAN}"; }};
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
"""
POLICY = """\
#!/bin/sh
# No service starts when its package is installed during a build.
exit 101
"""

# The files that the official image has beside the packages, by name.
OFFICIAL_FILES = {
    "etc/dpkg/dpkg.cfg.d/docker": DPKG_CONFIGURATION,
    "etc/dpkg/dpkg.cfg.d/docker-apt-speedup": "# A build needs no sync.\nforce-unsafe-io\n",
    "etc/apt/apt.conf.d/docker-clean": APT_CLEAN,
    "etc/apt/apt.conf.d/docker-autoremove-suggests": ('Apt::AutoRemove::SuggestsImportant "false";\n'),
    "etc/apt/apt.conf.d/docker-gzip-indexes": 'Acquire::GzipIndexes "true";\n',
    "etc/apt/apt.conf.d/docker-no-languages": 'Acquire::Languages "none";\n',
    "usr/sbin/policy-rc.d": POLICY,
}

# mmdebstrap knows Debian's public addresses and writes them as lines, which become stanzas as in the official image.
SOURCES = rf"""cd "$1/etc/apt" && awk '
    /^deb / {{ sub(/\[.*\] /, ""); if (!suites[$2]) uris[++count] = $2; suites[$2] = suites[$2] " " $3 }}
    END {{
        for (i = 1; i <= count; i++) {{
            printf "%sTypes: deb\nURIs: %s\nSuites:%s\n", gap, uris[i], suites[uris[i]]
            printf "Components: main\nSigned-By: {KEYRING}\n"
            gap = "\n"
        }}
    }}
' sources.list > sources.list.d/debian.sources && rm sources.list"""

# A mirror of this host's own is used instead, and leaves nothing behind.
ASIDE = 'mv "$1/etc/apt/sources.list.d/debian.sources" "$1/etc/apt/"'
MIRROR = "/etc/apt/sources.list.d/host.sources"
BACK = f'rm "$1{MIRROR}" && mv "$1/etc/apt/debian.sources" "$1/etc/apt/sources.list.d/"'

# Unless /usr is merged already, Debian 12 merges it by a package that takes Perl along. Later ones come merged.
MERGE_USR = {"bookworm": ["--hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr"]}

# What mmdebstrap leaves of its own settings and of this host's. The folder is quoted by its sh.
TIDY = (
    'cd "$1" && chmod 0755 usr/sbin/policy-rc.d && '
    "rm -rf etc/apt/apt.conf.d/99mmdebstrap "
    "etc/dpkg/dpkg.cfg.d/99mmdebstrap etc/resolv.conf etc/hostname etc/machine-id "
    "var/cache/apt/*.bin var/cache/ldconfig/aux-cache var/cache/debconf/*-old var/lib/dpkg/*-old "
    "usr/share/info/* etc/*- && "
    "find var/log -type f -delete"
)


@dataclass(frozen=True)
class BaseImage:
    """A base image that is present, and how it came."""

    name: str
    id: str
    digest: str
    origin: str
    suite: str
    created: str


def describe_image(base: Distro) -> dict[str, str]:
    """Return what an image's evidence says about its base; an error where it is not present."""
    image = find_image(base)
    if image is None:
        raise SlipwayError(f"the base image {base.tag} is not present; run `nox -s setup`")
    return asdict(image)


def find_image(base: Distro) -> BaseImage | None:
    """Return a base image, None where the engine has none. `pulled` is one by its pin, where there is one."""
    image = docker.inspect(base.tag)
    if image is None:
        return None
    labels = image["Config"].get("Labels") or {}
    digests = find_digests(image.get("RepoDigests") or [], base, labels)
    digest = base.digest if base.digest in digests else next(iter(digests), "")
    origin = "imported by hand"
    if labels.get(LABEL) == MAKER:
        origin = f"made by {MAKER}"
    elif digests:
        origin = PULLED if base.digest in ("", digest) else OTHER
    return BaseImage(
        name=base.tag,
        id=image["Id"],
        digest=digest,
        origin=origin,
        suite=labels.get(f"{LABEL}.suite", ""),
        created=labels.get(f"{LABEL}.created", image.get("Created", "")),
    )


def find_digests(digests: Iterable[str], base: Distro, labels: Mapping[str, str]) -> list[str]:
    """Return the digests by which a registry gave a base image; one that is empty where nobody recorded it.

    The containerd image store gives a digest to an image that was made here, too; it means nothing elsewhere.
    """
    if LABEL in labels:
        return [labels.get(f"{LABEL}.digest", "")] if labels[LABEL] == PULLED else []
    own = trim_registry(re.sub(r":[^:/]*$", "", base.image.partition("@")[0]))
    rows = (each.partition("@") for each in digests)
    return [digest for repository, _, digest in rows if trim_registry(repository) == own]


def trim_registry(repository: str) -> str:
    """Return the name of a repository as the engine writes it: `debian` is short for `docker.io/library/debian`."""
    return re.sub(r"^(index\.)?docker\.io/", "", repository).removeprefix("library/")


def provide_image(base: Distro, host: Host, date: str, *, refresh: bool = False) -> BaseImage:
    """Return the base image, after pulling or making it where it is missing or to be refreshed.

    No file of an image that is made is newer than the date.
    """
    name = base.tag
    present = find_image(base)
    if present and not refresh and present.origin != OTHER:
        return present
    say(f"pulling the base image {base.reference}")
    reason = pull_image(base) if name == base.image else pull_for_platform(base)
    if reason:
        say(f"no registry gives {name} ({reason}); making it from Debian's packages")
        make_image(base, host, date)
    image = find_image(base)
    if image is None:
        raise SlipwayError(f"the base image {name} was removed while setup ran; try again")
    return image


def pull_image(base: Distro) -> str:
    """Pull an image and tag it; return why no registry gave it, "" when one did."""
    name = base.reference
    result = docker.call("pull", "--quiet", name)
    if result.returncode == 0:
        if base.digest:
            docker.output("tag", name, base.tag)
        return ""
    lines = result.stderr.strip().splitlines() or ["no reason given"]
    reason = lines[-1].removeprefix("Error response from daemon: ")
    if "manifest unknown" in reason:
        raise SlipwayError(f"the registry has no image {name}: correct its name in images.toml")
    if "no space left" in reason:
        raise SlipwayError(f"no disk space left to pull {name}: {reason}")
    return reason


def pull_for_platform(base: Distro) -> str:
    """Pull the image of another platform, which `docker pull` would give the tag of this one; as `pull_image`."""
    options = [f"--platform={base.platform}", f"--tag={base.tag}", f"--label={LABEL}={PULLED}"]
    options.append(f"--label={LABEL}.digest={base.digest}")
    command = ["buildx", "build", f"--builder={docker.own_builder()}", *options, "--load", "--provenance=false"]
    with files.temporary_folder() as folder:
        Path(folder, "Dockerfile").write_text(f"FROM {base.reference}\n", encoding="utf-8")
        result = docker.call(*command, folder)
    if result.returncode == 0:
        return ""
    lines = result.stderr.strip().splitlines() or ["no reason given"]
    return lines[-1].removeprefix("ERROR: failed to solve: ")


# --- made from packages -------------------------------------------------------------------------


def make_image(base: Distro, host: Host, date: str) -> None:
    """Make the base image by mmdebstrap; no file is newer than the date."""
    if not which(MAKER):
        packages.install(MAKER, reason=f"no registry gives {base.tag} and {MAKER} is missing")
    with files.temporary_folder() as folder:
        # Read by mmdebstrap, and by the programs of Debian's packages that write dates.
        epoch = f"SOURCE_DATE_EPOCH={datetime.fromisoformat(f'{date}T00:00:00Z').timestamp():.0f}"
        # Beside this folder and not in it, which apt's own user could not enter.
        space = f"TMPDIR={Path(folder).parent}"
        archive = Path(folder, "base.tar")
        command = ["env", epoch, space, *bootstrap_command(base, host, Path(folder)), str(archive)]
        run_command(command, f"making the base image by {MAKER}", variables=host.proxies)
        import_archive(base, archive)


def bootstrap_command(base: Distro, host: Host, folder: Path) -> list[str]:
    """Return the mmdebstrap command without its archive; its settings are files, readable by nobody else."""
    apt_conf, apt_auth = folder / "apt.conf", folder / "auth.conf"
    dpkg_conf, files = folder / "dpkg.conf", folder / "files.tar"
    # apt runs outside the new system here and reads the host's own bundle.
    settings = host.apt_conf.replace(CA_IN_BUILD, str(host.ca_bundle))
    apt_conf.write_text(f'{settings}Dir::Etc::netrc "{apt_auth}";\n')
    apt_auth.write_text(host.apt_auth)
    dpkg_conf.write_text(DPKG_CONFIGURATION)
    files.write_bytes(docker.pack((path, text.encode()) for path, text in OFFICIAL_FILES.items()))
    return [
        MAKER,
        "--variant=minbase",
        f"--architectures={base.architecture}",
        "--format=tar",
        "--skip=chroot/policy-rc.d",  # it would remove the official image's at the end
        f"--aptopt={apt_conf}",
        f"--dpkgopt={dpkg_conf}",
        f"--setup-hook={SOURCES}",
        *mirror_hooks(host, folder),
        *MERGE_USR.get(base.suite, []),
        f"--customize-hook=tar-in {shlex.quote(str(files))} /",
        f"--customize-hook={TIDY}",
        base.suite,
    ]


def mirror_hooks(host: Host, folder: Path) -> list[str]:
    """Return the options that let mmdebstrap use the host's own mirror, if it has one."""
    if not host.sources:
        return []
    sources = folder / "host.sources"
    sources.write_text(host.sources)
    upload = f"upload {shlex.quote(str(sources))} {MIRROR}"
    return [f"--setup-hook={ASIDE}", f"--setup-hook={upload}", f"--customize-hook={BACK}"]


def import_archive(base: Distro, archive: Path) -> None:
    """Make an image of an archive, under the base image's name."""
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    docker.output(
        "import",
        f"--platform={base.platform}",
        '--change=CMD ["bash"]',
        f"--change=ENV PATH={DOCKER_PATH}",
        f"--change=LABEL {LABEL}={MAKER} {LABEL}.suite={base.suite} {LABEL}.created={now}",
        f"--message=made by {MAKER} from Debian {base.suite}",
        str(archive),
        base.tag,
    )
