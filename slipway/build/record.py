"""One build of an image: the tags that it uses, the labels, and its record in dist/IMAGE/build.json.

The tag of an earlier build is set aside first, so that a build that fails leaves no older image to be tested. A build
that ends at the image of the earlier one restores that tag and keeps the results of the image.
"""

import contextlib
import datetime
import os
import time
from argparse import Namespace
from collections.abc import Iterator

from slipway import docker, results
from slipway.build import images, labels, locks
from slipway.build.commit import find_commit, list_context
from slipway.matrix import Image, Matrix

RESULTS = ("build.json", "tests.xml", "tests.partial.xml", "audit.json", "scan.json", "trivy.json", "contents.json")
TAG_ENDS = ("-unlabelled", "-earlier")  # of the tags that a build uses
REPRODUCED = ("-first", "-second")  # of those of two builds that are compared


class Build:
    """A build in progress: what the docker commands need to know, and what is recorded at the end."""

    def __init__(self, matrix: Matrix, image: Image, options: Namespace) -> None:
        self.matrix = matrix
        self.image = image
        self.is_cold = options.no_cache
        self.unlabelled, self.earlier = (f"{image.tag}{end}" for end in TAG_ENDS)
        self.label_folder = image.results / "labels"  # the build context of `FROM unlabelled`
        self.record = results.read_json(image.results / "build.json")
        self.started = time.monotonic()
        self.commit = find_commit(list_context(image))  # before the build
        self.found: dict[str, object] = {}

    def label_options(self) -> list[str]:
        """Read the labels from the built image; return docker's options, none when the earlier image has them all.

        The earlier image gets its tag back then, and nothing is left to build.
        """
        unlabelled = find_id(self.unlabelled)
        found = labels.read_labels(self.matrix, self.image, unlabelled, self.commit)
        self.found = {"unlabelled": unlabelled, "labels": found, "base": labels.find_base(self.image)}
        if self.found.items() <= self.record.items() and find_id(self.earlier) == self.record["image"]:
            docker.call("image", "tag", self.earlier, self.image.tag)
            return []
        results.write(self.label_folder / "Dockerfile", f"FROM {self.unlabelled}\n")
        own = [f"--builder={docker.own_builder()}", *images.platform_option(self.image)]  # no other has the image
        return [*own, *(f"--label={key}={value}" for key, value in found.items())]

    def finish(self) -> None:
        """Write build.json, which keeps its facts about this very image; forget what was found out about any other."""
        image_id = find_id(self.image.tag)
        seconds = round(time.monotonic() - self.started, 1)
        is_same = image_id == self.record.get("image")
        if not is_same:
            forget_results(self.image)
            self.record = {}
        if not self.found.items() <= self.record.items():
            built = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            self.record |= {"image": image_id, "tag": self.image.tag, "built": built, "seconds": seconds, **self.found}
            self.record |= find_builder()
        is_unchanged = is_same or image_id == find_id(self.earlier)  # which another checkout may have built
        if self.is_cold or is_unchanged:
            self.record["cold_seconds" if self.is_cold else "cached_seconds"] = seconds
        results.write_json(self.image.results / "build.json", self.record)
        what = "unchanged" if is_unchanged else f"built{count_new_layers(self.earlier, self.image.tag)}"
        print(f"{self.image.tag}  {image_id.removeprefix('sha256:')[:12]}  {what}, {seconds} s")


def find_builder() -> dict[str, str]:
    """Return the builder and the run of CI, by the variables of GitHub and GitLab; empty on any other machine.

    Empty, too, in a container of a job that got only some of the variables.
    """
    known = os.environ.get
    if known("GITHUB_ACTIONS") == "true" and known("GITHUB_WORKFLOW_REF"):
        server = known("GITHUB_SERVER_URL", "")
        run = f"{server}/{known('GITHUB_REPOSITORY')}/actions/runs/{known('GITHUB_RUN_ID')}"
        return {"builder": f"{server}/{known('GITHUB_WORKFLOW_REF')}", "run": run}
    if known("GITLAB_CI") == "true" and known("CI_RUNNER_ID"):
        runner = f"{known('CI_PROJECT_URL')}/-/runners/{known('CI_RUNNER_ID')}"
        return {"builder": runner, "run": known("CI_JOB_URL", "")}
    return {}


def count_new_layers(earlier: str, tag: str) -> str:
    """Return how many layers of an image the earlier one does not have; empty without an earlier one."""
    before, after = ((docker.inspect(name) or {}).get("RootFS", {}).get("Layers") or [] for name in (earlier, tag))
    new = [layer for layer in after if layer not in before]
    return f", {len(new)} of {len(after)} layers are new" if before else ""


@contextlib.contextmanager
def start(matrix: Matrix, image: Image, options: Namespace) -> Iterator[Build]:
    """Hold an image for one build; SlipwayError when a lock does not match its inputs.

    A build that fails leaves neither a tag nor results.
    """
    with results.exclusive(image):
        build = Build(matrix, image, options)
        if docker.call("image", "tag", image.tag, build.earlier).returncode == 0:
            remove_tags(image.tag)
        try:
            locks.require_current(image)
            yield build
            build.finish()
        except BaseException:
            forget_results(image)
            remove_tags(image.tag)
            raise
        finally:
            remove_tags(build.unlabelled, build.earlier)


def forget_results(image: Image) -> None:
    """Delete what was found out about an image."""
    for name in RESULTS:
        results.remove(image.results / name)


def remove_tags(*tags: str) -> None:
    """Remove tags, and the images that have no other; those that do not exist are ignored."""
    docker.call("image", "rm", "--force", *tags)


@contextlib.contextmanager
def tagged(image: Image, reference: str) -> Iterator[str]:
    """Give an image another tag for a while."""
    docker.call("image", "tag", image.tag, reference)
    try:
        yield reference
    finally:
        remove_tags(reference)


def find_id(tag: str) -> str:
    """Return the ID of an image; an empty string when there is none."""
    return str((docker.inspect(tag) or {}).get("Id", ""))
