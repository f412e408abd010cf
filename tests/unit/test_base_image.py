"""The base image: pulled, or made where no registry answers; never half an image."""

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from slipway import docker as docker_command
from slipway.errors import SlipwayError
from slipway.host import apt, base_image, packages
from slipway.host.apt import Mirror
from slipway.host.downloads import Host
from slipway.images_toml import Distro, Platform

NO_REGISTRY = 'Get "https://registry-1.docker.io/v2/": dial tcp: no such host'


class Engine:
    """A stand-in for the docker command that knows some images and one answer to `pull`."""

    def __init__(self) -> None:
        """Begin without images and without a registry."""
        self.images: dict[str, dict[str, Any]] = {}
        self.pull_error = NO_REGISTRY
        self.calls: list[tuple[str, ...]] = []

    def __call__(self, *words: str, **_: object) -> subprocess.CompletedProcess[str]:
        """Answer as the docker command does."""
        self.calls.append(words)
        if words[:2] == ("image", "inspect"):
            image = self.images.get(words[-1])
            return subprocess.CompletedProcess(
                words, image is None, json.dumps([image]), "" if image else "No such image"
            )
        if words[0] == "pull" and not self.pull_error:
            self.images[words[-1]] = described(digests=["debian@sha256:abc"])
        if words[0] == "tag":
            self.images[words[-1]] = self.images[words[-2]]
        options = dict(word.split("=", 1) for word in words if word.startswith("--") and "=" in word)
        if words[0] == "buildx" and not self.pull_error:
            labels = (word.removeprefix("--label=").split("=") for word in words if word.startswith("--label="))
            self.images[options["--tag"]] = described(dict(labels))
        error = self.pull_error if words[0] in ("pull", "buildx") else ""
        return subprocess.CompletedProcess(words, bool(error), "", error)


def described(labels: dict[str, str] | None = None, digests: list[str] | None = None) -> dict[str, Any]:
    """Return what `docker image inspect` tells of an image."""
    return {
        "Id": "sha256:123",
        "Created": "2026-01-02T00:00:00Z",
        "Config": {"Labels": labels},
        "RepoDigests": digests or [],
    }


DATE = "2026-11-21"
MADE = {"slipway.base": "mmdebstrap", "slipway.base.suite": "trixie", "slipway.base.created": "now"}


def base(image: str, platform: Platform = "linux/amd64") -> Distro:
    """Return a base image of the matrix."""
    return Distro(image=image, suite="trixie", glibc="2.40", platform=platform)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Return the stand-in, and a maker of base images that only leaves the name."""
    stand_in = Engine()
    monkeypatch.setattr(docker_command, "call", stand_in)

    def make(wanted: Distro, _host: Host, _date: str) -> None:
        stand_in.images[wanted.tag] = described(MADE | {"slipway.base.suite": wanted.suite})

    monkeypatch.setattr(base_image, "make_image", make)
    return stand_in


def test_present_image_is_left_as_it_is(engine: Engine) -> None:
    """Nothing is pulled; `--pull` replaces what is present."""
    engine.images["debian:x"] = described(MADE)
    assert base_image.provide_image(base("debian:x"), Host(), DATE).id == "sha256:123"
    assert [words[0] for words in engine.calls] == ["image"]
    engine.pull_error = ""
    assert base_image.provide_image(base("debian:x"), Host(), DATE, refresh=True).origin == "pulled"


def test_missing_image_is_pulled(engine: Engine) -> None:
    engine.pull_error = ""
    base_image.provide_image(base("debian:x"), Host(), DATE)
    facts = base_image.describe_image(base("debian:x"))
    assert (facts["origin"], facts["digest"]) == ("pulled", "sha256:abc")


@pytest.mark.usefixtures("engine")
def test_made_where_no_registry_answers(capsys: pytest.CaptureFixture[str]) -> None:
    base_image.provide_image(base("debian:x"), Host(), DATE)
    assert "no registry gives debian:x" in capsys.readouterr().out
    facts = base_image.describe_image(base("debian:x"))
    assert (facts["origin"], facts["suite"]) == ("made by mmdebstrap", "trixie")
    assert facts["digest"] == ""


@pytest.mark.requirement("U6")
def test_image_of_another_platform_has_a_tag_of_its_own(engine: Engine) -> None:
    """Under the same tag it would take the place of this machine's."""
    engine.pull_error = ""
    wanted = base("debian:x", "linux/arm64").model_copy(update={"digest": "sha256:" + "a" * 64})
    base_image.provide_image(wanted, Host(), DATE)
    assert "debian:x" not in engine.images
    facts = base_image.describe_image(wanted)
    assert (facts["origin"], facts["digest"]) == ("pulled", wanted.digest)
    pinned_anew = wanted.model_copy(update={"digest": "sha256:" + "b" * 64})
    assert base_image.describe_image(pinned_anew)["origin"] == base_image.OTHER
    assert not [words for words in engine.calls if words[0] == "pull"]


@pytest.mark.requirement("U6")
def test_image_of_another_platform_is_made_for_it(engine: Engine, tmp_path: Path) -> None:
    wanted = base("debian:x", "linux/arm64")
    assert "--architectures=arm64" in base_image.bootstrap_command(wanted, Host(), tmp_path)
    base_image.import_archive(wanted, tmp_path / "base.tar")
    assert "--platform=linux/arm64" in engine.calls[-1]


def test_usr_is_merged_after_the_hosts_mirror_is_known(tmp_path: Path) -> None:
    """That hook asks apt, which would otherwise ask Debian's own addresses. Only Debian 12 has to be merged."""
    settings = Host(
        sources=apt.debian_sources(
            "trixie", *map(Mirror, ("https://mirror.example/debian", "https://mirror.example/sec"))
        )
    )
    hook = "--hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr"
    wanted = base("debian:x")
    command = base_image.bootstrap_command(wanted.model_copy(update={"suite": "bookworm"}), settings, tmp_path)
    mirror = command.index(f"--setup-hook=upload {tmp_path / 'host.sources'} {base_image.MIRROR}")
    assert command.index(hook) > mirror
    assert hook not in base_image.bootstrap_command(wanted.model_copy(update={"suite": "trixie"}), settings, tmp_path)


def test_pinned_digest_is_pulled_and_tagged(engine: Engine) -> None:
    """Also where another one was pulled before; what was made here stays until somebody asks."""
    digest = "sha256:" + "a" * 64
    wanted = base("debian:x").model_copy(update={"digest": digest})
    engine.pull_error = ""
    engine.images["debian:x"] = described(digests=["debian@sha256:abc"])
    base_image.provide_image(wanted, Host(), DATE)
    assert ("pull", "--quiet", f"debian:x@{digest}") in engine.calls
    assert ("tag", f"debian:x@{digest}", "debian:x") in engine.calls
    engine.calls.clear()
    engine.images["debian:x"] = described(MADE)
    assert base_image.provide_image(wanted, Host(), DATE).origin == "made by mmdebstrap"
    assert "pull" not in [words[0] for words in engine.calls]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        # A registry answered: the name is wrong, and making something under it would hide that.
        ("manifest for debian:trixy not found: manifest unknown", "has no image debian:trixy"),
        # Making an image would fill the disk up further.
        ("write /var/lib/docker/tmp/x: no space left on device", "no disk space left"),
    ],
)
def test_an_image_is_made_only_where_no_registry_answers(engine: Engine, error: str, message: str) -> None:
    engine.pull_error = error
    with pytest.raises(SlipwayError, match=message):
        base_image.provide_image(base("debian:trixy"), Host(), DATE)


def test_folder_with_a_space(tmp_path: Path) -> None:
    """mmdebstrap splits its hooks into words as a shell does."""
    folder = tmp_path / "a b"
    folder.mkdir()
    settings = Host(sources="URIs: https://mirror.example/debian\n")
    hooks = [word.partition("=")[2] for word in base_image.bootstrap_command(base("debian:x"), settings, folder)]
    words = {words[0]: words[1:] for hook in hooks if (words := shlex.split(hook))}
    assert words["tar-in"] == [str(folder / "files.tar"), "/"]
    assert words["upload"] == [str(folder / "host.sources"), base_image.MIRROR]


PIN = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("image", "pin", "digests", "origin", "digest"),
    [
        ("debian:x", "", ["debian@sha256:abc"], "pulled", "sha256:abc"),
        ("debian:x", PIN, ["debian@sha256:abc", f"debian@{PIN}"], "pulled", PIN),
        ("debian:x", PIN, ["debian@sha256:abc"], base_image.OTHER, "sha256:abc"),
        ("debian:x", PIN, [f"mirror.example/debian@{PIN}"], "imported by hand", ""),
        ("debian:x", "", ["someone/else@sha256:abc"], "imported by hand", ""),
        ("debian:x", "", ["debian@sha256:abc"], "made by mmdebstrap", ""),
        ("docker.io/library/debian:x", "", ["debian@sha256:abc"], "pulled", "sha256:abc"),
        ("host.example:5000/os/debian", "", ["host.example:5000/os/debian@sha256:abc"], "pulled", "sha256:abc"),
    ],
)
def test_only_the_pinned_digest_of_its_own_repository_says_that_it_was_pulled(  # noqa: PLR0913, PLR0917 - a row
    engine: Engine, image: str, pin: str, digests: list[str], origin: str, digest: str
) -> None:
    """The engine keeps the digests of each repository that an image came from, also of one that was only tagged so.

    The containerd image store gives a digest to each image, also to one that was made here.
    """
    engine.images[image] = described(MADE if "made" in origin else None, digests)
    facts = base_image.describe_image(base(image).model_copy(update={"digest": pin}))
    assert (facts["origin"], facts["digest"]) == (origin, digest)


@pytest.mark.usefixtures("engine")
def test_evidence_of_an_absent_image_names_the_session() -> None:
    with pytest.raises(SlipwayError, match="nox -s setup"):
        base_image.describe_image(base("debian:x"))


def test_no_registry_and_no_debian(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only Debian's packages can make it, and only Debian installs the tool for that."""
    release = {"ID": "fedora", "PRETTY_NAME": "Fedora 44"}
    monkeypatch.setattr(packages, "os_release", lambda: release)
    monkeypatch.setattr(base_image, "which", lambda _: None)
    with pytest.raises(SlipwayError, match="no registry gives debian:x and mmdebstrap is missing"):
        base_image.make_image(base("debian:x"), Host(), DATE)


def test_hosts_settings_are_used_and_stay_out_of_the_arguments(tmp_path: Path) -> None:
    """A proxy's password is in a file that only its owner may enter; the bundle is the host's."""
    settings = Host(
        ca_bundle=Path("/host/ca.pem"),
        apt_conf='Acquire::https::CAInfo "/run/secrets/ca";\nAcquire::http::Proxy "http://u:pw@p";\n',
        sources=apt.debian_sources("trixie", Mirror("https://u:pw@mirror.example/debian"), Mirror("https://x.example")),
    )
    command = base_image.bootstrap_command(base("debian:x"), settings, tmp_path)
    assert "pw@" not in " ".join(command)
    assert "u:pw@mirror" in (tmp_path / "host.sources").read_text()
    assert 'CAInfo "/host/ca.pem"' in (tmp_path / "apt.conf").read_text()
    assert "u:pw@p" in (tmp_path / "apt.conf").read_text()


LINES = """\
# what the tool writes by itself
deb [signed-by="/host/key.gpg"] http://one.example/debian trixie main
deb http://one.example/debian trixie-updates main

deb http://two.example/security trixie-security main
"""
STANZAS = """\
Types: deb
URIs: http://one.example/debian
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://two.example/security
Suites: trixie-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


def test_lines_of_the_tool_become_stanzas(tmp_path: Path) -> None:
    """As in the official image; a key's place on this host is left out."""
    folder = tmp_path / "etc/apt"
    (folder / "sources.list.d").mkdir(parents=True)
    (folder / "sources.list").write_text(LINES)
    subprocess.run(["sh", "-c", base_image.SOURCES, "exec", str(tmp_path)], check=True)
    assert (folder / "sources.list.d/debian.sources").read_text() == STANZAS
    assert not (folder / "sources.list").exists()
