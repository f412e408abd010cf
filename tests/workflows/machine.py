"""A machine for the workflows: act runs their steps on this host, with a clone, a home and a registry of their own."""

import contextlib
import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from slipway import docker, matrix, repository, tools

REPOSITORY = "Team/Slipway"  # on GitHub; a registry wants lower-case letters
RELEASE = f"v{matrix.load_matrix().release}"
TAG, MAIN, REQUEST = f"refs/tags/{RELEASE}", "refs/heads/main", "refs/pull/1/merge"
# The part of the tests that CI runs here: the checks of labels, whose broken image takes seconds.
NAMED = ("label", "tags_name")
IMAGE = "cpu-base"  # the smallest
CONTROL = re.compile(r"\x1b\[[\d;?]*[A-Za-z]|.*\r(?=.)")


@dataclass(frozen=True)
class Run:
    """The end of a run of act: its exit code, its log, and the number of steps of each job that have succeeded."""

    code: int
    log: str = field(repr=False)
    failed: str = field(repr=False)  # the log of the steps that failed
    steps: Counter[str]


@dataclass(frozen=True)
class Machine:
    """A clone of this repository, and what the environment of the jobs holds."""

    clone: Path
    home: Path
    registry: str
    variables: dict[str, str]  # of the environment

    def run(self, workflow: str, ref: str, *options: str) -> Run:
        """Run a workflow, or the job that an option names with those that it needs, as a push or pull request does."""
        event = self.home / "event.json"
        event.write_text(json.dumps({"ref": ref, "number": 1, "repository": {"default_branch": "main"}}))
        name = "pull_request" if ref == REQUEST else "push"
        act = str(tools.provide_program(tools.read_tool("act")))
        command = [act, name, f"--workflows=.github/workflows/{workflow}"]
        command += ["--platform=ubuntu-24.04=-self-hosted", "--no-cache-server", "--json", f"--eventpath={event}"]
        command += ["--use-gitignore=false"]  # the clone may have a .noxw
        command += [f"--env=GITHUB_REPOSITORY={REPOSITORY}", "--secret=GITHUB_TOKEN=token", "--concurrent-jobs=2"]
        variables = {"REGISTRY": f"{self.registry}/team", "IMAGES": IMAGE}
        variables |= {"BUILDER": docker.own_builder()} if ref == REQUEST else {}
        variables |= {"COSIGN_KEY": f"{self.home}/cosign.key", "LOCAL_BASE": "yes"}
        command += [f"--var={name}={value}" for name, value in variables.items()]
        with (self.home / "act.log").open("w+") as output:
            run = partial(subprocess.run, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
            code = run([*command, *options], cwd=self.clone, env=os.environ | self.variables).returncode
            output.seek(0)
            rows = [json.loads(line) for line in output if line.startswith("{")]
        done = Counter(r["jobID"] for r in rows if r.get("stage") == "Main" and r.get("stepResult") == "success")
        failed = [name_step(row) for row in rows if row.get("stepResult") == "failure"]
        return Run(code, join_messages(rows), join_messages([row for row in rows if name_step(row) in failed]), done)


def name_step(row: dict[str, Any]) -> tuple[str, str]:
    """Return the job and the step that a row of act's log belongs to."""
    return row.get("jobID", ""), str(row.get("stepID", ""))


def join_messages(rows: list[dict[str, Any]]) -> str:
    """Return the messages of a log with their jobs, without colours and without lines that others replaced."""
    shown = [(row.get("jobID", ""), CONTROL.sub("", row["msg"]).rstrip()) for row in rows if row["level"] != "debug"]
    return "\n".join(f"{job:<12} {text}" for job, text in shown)


@contextlib.contextmanager
def select_part(clone: Path) -> Iterator[None]:
    """Commit to the clone, until the end of the context, that pytest runs this part: sessions drop PYTEST_ADDOPTS."""
    settings = clone / "pyproject.toml"
    text = settings.read_text()
    assert "\naddopts = [" in text
    settings.write_text(text.replace("\naddopts = [", f'\naddopts = ["-k", "{" or ".join(NAMED)}", '))
    git(clone, "commit", "--quiet", "--all", "--message=A part of the tests")
    try:
        yield
    finally:
        git(clone, "reset", "--quiet", "--hard", "HEAD~1")


def count_steps(workflow: Path, ref: str) -> Counter[str]:
    """Return the number of steps of each job, without those that act does not run, or that a pull request does not."""
    left_out = ["!env.ACT", *(["github.event_name != 'pull_request'\n"] if ref == REQUEST else [])]
    jobs = re.split(r"(?m)^  (?=[\w-]+:$)", workflow.read_text().partition("\njobs:\n")[2])[1:]
    steps = {job.partition(":")[0]: re.split(r"(?m)^      - ", job.partition("\n    steps:\n")[2])[1:] for job in jobs}
    return Counter(
        {name: sum(not any(text in step for text in left_out) for step in each) for name, each in steps.items()}
    )


def git(folder: Path, *words: str) -> None:
    """Run git."""
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True)


def make_home(home: Path) -> dict[str, str]:
    """Make a home with nothing but the tools that are built and the engines that are set up; return its variables."""
    (home / ".cache/slipway").mkdir(parents=True)
    for name in ("tools", "engines"):
        (home / ".cache/slipway" / name).symlink_to(repository.cache_folder(name))
    endpoint = ["docker", "context", "inspect", "--format={{.Endpoints.docker.Host}}"]
    return {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "DOCKER_CONFIG": str(home / ".docker"),
        "DOCKER_HOST": subprocess.check_output(endpoint, text=True).strip(),
        "COSIGN_PASSWORD": "",
        "GIT_PAGER": "cat",
    }
