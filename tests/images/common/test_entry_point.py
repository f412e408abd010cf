"""The entry point takes no time, and changes nothing of a process but what test_processes.py asks for."""

import json
import re

import pytest
from docker.models.containers import Container

from tests.images.helpers.containers import Start, inside
from tests.images.helpers.scope import applies

pytestmark = applies()

# What a process inherits: signals that are ignored or blocked, rights, limits, priority, folder, open files.
STATE = """
grep -E '^(Sig(Blk|Ign)|Cap[A-Z]|NoNewPrivs|Seccomp|Groups|Uid|Gid|CoreDumping|THP|Cpus_allowed_list)' /proc/self/status
cat /proc/self/limits /proc/self/oom_score_adj /proc/self/coredump_filter
cut -d' ' -f18,19 /proc/$$/stat
pwd
ls /proc/$$/fd
"""
# Prints the seconds of the entry point, and those of as many programs as it calls: of each the shortest of some starts,
# as a busy machine makes all of them longer, and a wait is in each.
SECONDS = """
import json, subprocess, time
def shortest(*command):
    found = []
    for _ in range(5):
        before = time.monotonic()
        subprocess.run(command, check=True, capture_output=True)
        found.append(time.monotonic() - before)
    return min(found)
programs = "for each in 1 2 3 4 5 6 7 8; do /bin/true; done"
# A workbench looks for the user's own environment by Python.
programs += "; [ ! -e /usr/local/lib/slipway/environment.sh ] || python -IS -c 'import json, pathlib, subprocess'"
print(json.dumps([shortest("entrypoint", "true"), shortest("sh", "-c", programs)]))
"""
MOST_SECONDS = 0.1
SCRIPTS = "cat /etc/profile /usr/local/bin/entrypoint /usr/local/lib/slipway/*.sh"


@pytest.fixture(scope="module")
def waiting(start_shared: Start) -> Container:
    """A container as docker starts it, which waits without the entry point."""
    return start_shared("infinity", entrypoint=["sleep"], network_mode="none")


def test_command_inherits_what_docker_gives(idle: Container) -> None:
    """A program that is stopped by Ctrl-C, or opens a thousand files, does so in each container as outside."""
    given = inside(idle, "sh", "-c", STATE).splitlines()
    assert len(given) > 20
    assert inside(idle, "entrypoint", "sh", "-c", STATE).splitlines()[-len(given) :] == given


@pytest.mark.parametrize("shell", ["entrypoint", "bash -lic"])
def test_variables_of_a_user_stay(idle: Container, shell: str) -> None:
    """sh gives what a script assigns to the programs below, where the user has a variable of that name."""
    names = set(re.findall(r"\b[a-z][a-z_]+\b(?!-)", inside(idle, "sh", "-c", SCRIPTS)))
    given = {f"{name}=own" for name in names if not name.startswith("slipway_")}
    assert len(given) > 50
    command = ["env", *sorted(given), *shell.split(), "env"]
    assert given - set(inside(idle, *command).splitlines()) == set()


@pytest.mark.usefixtures("real_time")
def test_command_starts_at_once(waiting: Container) -> None:
    """Each step of a job is a container: what the entry point takes, all of them wait for."""
    own, others = json.loads(inside(waiting, "python", "-c", SECONDS))
    assert own < 4 * others + MOST_SECONDS, (own, others)
