"""Shells of a workbench: what they read, what they keep, and what they tell programs."""

import pytest

from tests.images.helpers.containers import Run, Start
from tests.images.helpers.scope import applies
from tests.images.helpers.workbench import entrypoint_after, open_workbench

pytestmark = applies(workload="workbench")

# A login shell that a person types into, as JupyterLab's terminals are.
TERMINAL = "bash -lic 'echo $RC' 2>/dev/null"
BASHRC = "echo 'export RC=read-$RC; . /etc/profile' >~/.bashrc; "  # that of some clusters reads the system's, too
# None, that of rustup, one that reads it itself, one that only speaks of it, one that reads one that reads it.
PROFILES = (
    "",
    "echo '. ~/.cargo/env' >~/.profile; mkdir ~/.cargo; echo : >~/.cargo/env; ",
    "echo '. ~/.bashrc' >~/.bash_profile; ",
    "echo '# no bashrc' >~/.bash_profile; ",
    "echo '. ~/.profile' >~/.bash_profile; echo '. ~/.bashrc' >~/.profile; ",
)
# A prompt at which a command is typed, and the end of a container, which asks no shell.
KILLED = """
cd && mkfifo typed && { bash -i <typed >shown 2>&1 & } && exec 3>typed
echo 'echo an own "command"' >&3
until grep -q '^an own command$' shown; do sleep 0.1; done
echo 'echo the next' >&3
until grep -q '^the next$' shown; do sleep 0.1; done
disown; kill -9 $!
cat .bash_history
"""
# A shell of another UID on the same volume: its history is kept, too, and read by its next shell.
OF_ANOTHER = """
cd && printf 'of root\\n' >.bash_history && chmod 0400 .bash_history
for i in 1 2; do printf 'echo typed\\n' | bash -i >/dev/null 2>&1; done
printf 'history\\n' | bash -i 2>/dev/null | grep -c 'echo typed'
"""
SSH_FOLDER = """
umask 0002; mkdir -p ~/.ssh && cd ~/.ssh
ssh-keygen -q -t ed25519 -N '' -f id_ed25519
printf 'Host short\\n  HostName long.example\\n' >config
"""


def test_terminal_reads_bashrc_once(run: Run) -> None:
    """What conda, nvm and users write there; bash itself reads it in other shells alone. Report: jupyterlab#489."""
    shown = {profile: run("bash", "-c", f"{BASHRC}{profile}{TERMINAL}").require_success() for profile in PROFILES}
    assert shown == dict.fromkeys(PROFILES, "read-\n")


def test_history_outlives_the_container(run: Run) -> None:
    """bash writes it when it ends by itself, and a container's end is none. Report: ddev/ddev#1801."""
    assert run("bash", "-c", KILLED).require_success().splitlines()[0] == 'echo an own "command"'


def test_history_of_another_uid_is_kept_beside_it(run: Run) -> None:
    """After `docker exec --user 0` the file is root's alone."""
    assert run("bash", "-c", OF_ANOTHER).require_success() == "2\n"


@pytest.mark.parametrize("user", ["4321:0", "65534:0"], ids=["unknown", "nobody"])
def test_ssh_reads_the_settings_on_the_volume(run: Run, user: str) -> None:
    """The home that Debian writes beside nobody's name is none, and Kubernetes often runs as nobody."""
    settings = "mkdir -p ~/.ssh && printf 'Host short\\n  HostName long.example\\n' >~/.ssh/config"
    asked = f"{settings} && bash -c 'ssh -T -G short' | grep ^hostname"
    assert run("sh", "-c", asked, user=user).require_success() == "hostname long.example\n"


@pytest.mark.parametrize("command", ["ssh", "scp short:file", "sftp"])
def test_ssh_takes_the_files_of_a_group(run: Run, command: str) -> None:
    """The umask and Kubernetes' fsGroup make settings and keys that ssh refuses. Report: WeblateOrg/docker#2439."""
    program, *words = command.split()
    connect = f"{program} -v -o BatchMode=yes {' '.join(words)} {'.' if words else 'short'} 2>&1"
    lines = run("sh", "-c", f"{SSH_FOLDER}chmod g+rw *; {connect}; stat -c '%a %n' *", network_mode="none").output
    assert "long.example" in lines, lines
    assert lines.splitlines()[-3:] == ["644 config", "600 id_ed25519", "644 id_ed25519.pub"], lines


def test_keys_are_closed_when_a_mode_starts(start: Start) -> None:
    """For ssh-add and for commits that are signed, too, which do not go by this image's ssh."""
    running = open_workbench(start, "lab", entrypoint=entrypoint_after(f"{SSH_FOLDER}chmod g+rw *; cd"))
    assert running.inside("stat -c %a ~/.ssh/id_ed25519") == (0, "600\n")


def test_git_names_a_way_to_lfs(run: Run) -> None:
    """Many clones have files of it; an own git-lfs is taken. Report: googlecolab/colabtools#586."""
    run("git", "lfs", "pull").require_message("git: lfs is not in this image. Debian has it: apt-get update")
    own = "mkdir -p ~/.local/bin && cp /bin/true ~/.local/bin/git-lfs && git lfs pull"
    run("sh", "-c", own).require_success()


def test_uv_keeps_to_a_project_without_a_warning(run: Run) -> None:
    """Nobody has set the variable that uv would warn of; a conda environment is meant where one is activated."""
    script = 'cd && printf \'[project]\\nname = "own"\\nversion = "1"\\n\' >pyproject.toml && uv sync --offline 2>&1'
    assert "VIRTUAL_ENV" not in run("sh", "-c", script).require_success()
    conda = "python -m venv --without-pip ~/conda; export CONDA_PREFIX=~/conda CONDA_DEFAULT_ENV=own; uv pip list 2>&1"
    assert " environment at: conda" in run("sh", "-c", conda).require_success()
