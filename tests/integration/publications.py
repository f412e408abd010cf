"""Images of a few bytes with made-up evidence, in a git repository of their own, ready to be published."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from slipway import docker, matrix, repository, results, sbom
from slipway.matrix import Image, Matrix
from slipway.publish import command
from tests.helpers import archives
from tests.helpers.checkout import copy_repository
from tests.helpers.matrices import parse_matrix

OWN = repository.ROOT
REPOSITORY = matrix.load_matrix().repository
ID = "sha256:" + "5" * 64  # of the base image
BUILT = f"tool-1 sha256:{'0' * 64}"
OCI = "org.opencontainers.image"
TESTS = """<?xml version="1.0"?>
<testsuites><testsuite name="pytest" errors="0" failures="{failures}" hostname="the-builders-machine">
<properties><property name="image" value="{image}"/><property name="contract" value="{contract}"/>
<property name="whole" value="yes"/><property name="derived" value="no"/><property name="exit status" value="0"/>
<property name="commit" value="{commit}"/><property name="finished" value="{finished}"/></properties>
<testcase classname="tests.images.every" name="test_starts"/>
<testcase classname="tests.images.every" name="test_ends">{outcome}</testcase>
<testcase classname="tests.images.cuda" name="test_gpu"><skipped message="no GPU on this host"/></testcase>
</testsuite></testsuites>
"""


def now() -> str:
    """Return the time as results hold it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass
class Workshop:
    """A matrix of made-up images, and the git repository that they are built from."""

    folder: Path
    the_matrix: Matrix
    commit: str
    loaded: dict[str, str] = field(default_factory=dict)  # the ID of the image that the engine has by each tag

    def make(self, name: str, content: str = "1", **labels: str) -> Image:
        """Make an image of a few bytes with all the evidence that publishing requires."""
        image = self.the_matrix.find_image(name)
        identity = self.load(image, content, labels)
        build = {"image": identity, "tag": image.tag, "built": "2026-11-21T12:00:00+00:00", "seconds": 3.5}
        build["base"] = {"name": image.variant.distro.image, "id": ID, "digest": "", "origin": "made by mmdebstrap"}
        results.write_json(image.results / "build.json", build)
        self.test(image)
        named = {"name": sbom.IMAGE, "value": identity}
        results.write_json(image.results / "sbom.cdx.json", {"metadata": {"properties": [named]}})
        results.write_json(image.results / "sbom.spdx.json", {"comment": f"{sbom.IMAGE} {identity}"})
        for verdict in ("audit.json", "scan.json"):
            content_of = {"image": identity, "verdict": "passed", "finished": now(), "program": BUILT}
            judged = {"commit": self.commit, "sbom": results.digest_file(image.results / "sbom.cdx.json")}
            results.write_json(image.results / verdict, content_of | judged)
        return image

    def load(self, image: Image, content: str, labels: dict[str, str]) -> str:
        """Load an image into the engine and tag it; returns its ID."""
        layer = archives.tar(("etc/content", content.encode()))
        settings = {"Labels": self.labels(image) | labels, "Cmd": ["none"]}
        made = archives.oci(
            archives.LOWER,
            layer,
            config=settings,
            architecture=image.variant.distro.architecture,
            created="2026-11-21T12:00:00Z",
        )
        config = next(text for name, text in made.items() if text.startswith(b"{") and b'"rootfs"' in text)
        made["manifest.json"] = made["manifest.json"].replace(b"null", json.dumps([image.tag]).encode())
        identity = f"sha256:{archives.digest(config)}"
        if self.loaded.get(image.tag) != identity:
            docker.output("load", "--quiet", data=archives.saved(made))
            self.loaded[image.tag] = identity
        return identity

    def labels(self, image: Image) -> dict[str, str]:
        """Return the labels that a build would read from it."""
        versions = {f"slipway.{key}": value for key, value in image.variant.versions.items()}
        origin = {
            f"{OCI}.source": "https://example.com/slipway",
            f"{OCI}.revision": self.commit,
            f"{OCI}.version": "0.1.0",
            f"{OCI}.base.name": image.variant.distro.image,
            f"{OCI}.base.digest": ID,
            "slipway.base.origin": "made by mmdebstrap",
            "slipway.flavor": image.flavor,
        }
        workload = {"slipway.workload": image.workload.name} if image.workload else {}
        return origin | versions | workload

    def test(self, image: Image, *, failures: int = 0, of: str = "") -> None:
        """Write the results of its checks."""
        outcome = "<failure>it does not end</failure>" if failures else ""
        identity = of or results.read_json(image.results / "build.json")["image"]
        run = {"contract": image.name, "commit": self.commit, "finished": now()}
        text = TESTS.format(image=identity, failures=failures, outcome=outcome, **run)
        results.write(image.results / "tests.xml", text)

    def change(self, made: Image, name: str, /, **content: Any) -> None:
        """Change a document of its evidence."""
        file = made.results / name
        results.write_json(file, results.read_json(file) | content)


def git(folder: Path, *words: str) -> str:
    """Run git in a folder."""
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    return subprocess.check_output(["git", "-C", str(folder), *identity, *words], text=True).strip()


@contextmanager
def workshop(folder: Path, patch: pytest.MonkeyPatch, *, whole: bool = False) -> Iterator[Workshop]:
    """Yield a repository that slipway uses as its own; its images are removed afterwards.

    A `whole` one contains all of slipway, for commands that are run in it.
    """
    name = f"slipway-test-{uuid.uuid4().hex[:12]}"
    text = matrix.FILE.read_text().replace(f'"{REPOSITORY}"', f'"{name}"', 1)
    if whole:
        copy_repository(folder)
    else:
        (folder / "requirements").mkdir(parents=True)
        for file in [*OWN.glob("Dockerfile*"), *OWN.glob("requirements/*.txt")]:
            (folder / file.relative_to(OWN)).write_bytes(file.read_bytes())
    (folder / "images.toml").write_text(text)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=All")
    patch.setattr(repository, "ROOT", folder)
    the_matrix = parse_matrix(text)
    patch.setattr(command, "load_matrix", lambda *_: the_matrix)
    made = Workshop(folder, the_matrix, git(folder, "rev-parse", "HEAD"))
    try:
        yield made
    finally:
        # By no function of slipway.docker, which a test may have replaced.
        subprocess.run(["docker", "image", "rm", "--force", *made.loaded], capture_output=True, check=False)
