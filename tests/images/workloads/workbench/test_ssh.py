"""The mode `ssh`: who may log in, what a login finds, and the host's key on volumes of every kind."""

import re
from collections.abc import Iterator

import docker
import pytest

from slipway.docker import TEST_LABEL
from tests.images.helpers.containers import Run, Start, execute, inside
from tests.images.helpers.scope import applies
from tests.images.helpers.workbench import ONE_VOLUME, PUBLIC_KEY, SECRET, Workbench, open_workbench

pytestmark = applies(workload="workbench")

OPTIONS = "-i /data/{key} -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
SSH = f"ssh -p 2222 {OPTIONS}"
KEPT = "/data/.slipway/ssh/host_key"
KEYS = "/data/.ssh/authorized_keys"
# What a login, and every program that the entry point starts, must have in common.
VARIABLES = ("HOME", "PATH", "XDG_CACHE_HOME", "HF_HOME")
SURROUNDINGS = f"umask; locale charmap; {'; '.join(f'echo {name}=${name}' for name in VARIABLES)}"
LOGIN = f"{SSH.format(key='known')} -q app@127.0.0.1"
OTHER_WAYS = (
    "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "
    "-o PreferredAuthentications=none,password,keyboard-interactive,hostbased,gssapi-with-mic"
)
# The settings of sshd by which somebody without a known key could get in, and the ways on for VS Code and git.
REFUSING = {
    "allowagentforwarding": ["yes"],
    "allowtcpforwarding": ["yes"],
    "authenticationmethods": ["publickey"],
    "authorizedkeyscommand": ["none"],
    "clientalivecountmax": ["0"],
    "clientaliveinterval": ["60"],
    "gatewayports": ["no"],
    "gssapiauthentication": ["no"],
    "hostbasedauthentication": ["no"],
    "kbdinteractiveauthentication": ["no"],
    "maxauthtries": ["6"],
    "passwordauthentication": ["no"],
    "permitemptypasswords": ["no"],
    "permittunnel": ["no"],
    "permituserenvironment": ["no"],
    "trustedusercakeys": ["none"],
    "x11forwarding": ["no"],
}
WEAK = re.compile(r"cbc|arcfour|md5|-96|group1-|group14-sha1|group-exchange-sha1|ssh-dss")
# A file system in memory, with a size and with the owner and the modes of its options.
SMALL = {"/data": "size=4m,uid=1000,gid=0,mode=0770"}


@pytest.fixture(scope="module")
def keys(start_shared: Start) -> dict[str, tuple[str, str]]:
    """Two key pairs, (private, public): `known` may log in, `stranger` may not."""
    container = start_shared("sleep", "infinity", network_mode="none", tmpfs={"/keys": "mode=1777"})
    pairs = {}
    for name in ("known", "stranger"):
        inside(container, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"/keys/{name}")
        private, public = (
            execute(container, "cat", f"/keys/{name}{ending}").require_success() for ending in ("", ".pub")
        )
        pairs[name] = (private, public)
    return pairs


@pytest.fixture
def volume(client: docker.DockerClient) -> Iterator[docker.types.Mount]:
    """A named volume, which one container leaves to the next."""
    volume = client.volumes.create(labels={TEST_LABEL: ""})
    yield docker.types.Mount("/data", volume.name)
    volume.remove()


@pytest.fixture(scope="module")
def ssh(start_shared: Start, keys: dict[str, tuple[str, str]]) -> Workbench:
    """The mode `ssh`, which accepts the known key; its volume has both private keys."""
    environment = {
        "AUTHORIZED_KEYS": f"# a comment\n\n{keys['known'][1]}",
        "JUPYTER_TOKEN": SECRET,
        "HF_TOKEN": SECRET,
        "GREETING": 'two words, "quoted"',
        # As Kubernetes sets for each service; sshd takes a thousand variables.
        **{f"SERVICE_{number}_SERVICE_HOST": "10.43.0.1" for number in range(1000)},
    }
    running = open_workbench(start_shared, "ssh", environment=environment, **ONE_VOLUME)
    bring_keys(running, keys)
    return running


def bring_keys(running: Workbench, keys: dict[str, tuple[str, str]]) -> None:
    """Put the private keys onto the volume, for a client in the same container."""
    for name, (private, _) in keys.items():
        script = f'umask 077 && printf %s "$KEY" >/data/{name}'
        assert running.inside(script, environment={"KEY": private}, user="0") == (0, "")


def log_in(ssh: Workbench, key: str, *words: str) -> tuple[int, str]:
    """Log in by a key, from the same container, and run a command."""
    return ssh.inside(f"{SSH.format(key=key)} {' '.join(words)}", user="0")


def host_key(running: Workbench) -> str:
    """Return the host's key as a client sees it."""
    _, output = running.inside("ssh-keyscan -q -t ed25519 -p 2222 127.0.0.1")
    assert " ssh-ed25519 " in output
    return output


# --- who may log in ------------------------------------------------------------------------------


@pytest.mark.requirement("V3", "U10", "T12")
def test_ssh_accepts_the_key(ssh: Workbench) -> None:
    """The login is the container's own user, with its home on the volume and the image's Python packages."""
    command = "'id -u; id -un; pwd; python -c \"import numpy\"; echo $GREETING; echo $JUPYTER_TOKEN'"
    code, output = log_in(ssh, "known", "-q", "app@127.0.0.1", command)
    assert (code, output.splitlines()) == (
        0,
        ["12345", "app", "/data", 'two words, "quoted"', ""],
    )


@pytest.mark.requirement("V3")
def test_ssh_refuses_another_key(ssh: Workbench) -> None:
    """By key only: sshd offers no password."""
    code, output = log_in(ssh, "stranger", "app@127.0.0.1", "true")
    assert code == 255
    assert "Permission denied (publickey)." in output


def test_stranger_does_not_lock_the_owner_out(start: Start, keys: dict[str, tuple[str, str]]) -> None:
    """Behind docker's gateway both have one address. Report: PocketShell-io/pocketshell#2150."""
    environment = {"AUTHORIZED_KEYS": keys["known"][1], "KEY": keys["known"][0], "OTHER": keys["stranger"][0]}
    running = open_workbench(start, "ssh", environment=environment)
    assert running.inside('umask 077; echo "$KEY" >/data/known; echo "$OTHER" >/data/stranger') == (0, "")
    strangers = f"for i in $(seq 10); do {SSH.format(key='stranger')} -q app@127.0.0.1 true; done"
    assert running.inside(f"{strangers}; {SSH.format(key='known')} -q app@127.0.0.1 echo in") == (0, "in\n")


@pytest.mark.requirement("V3")
def test_ssh_refuses_other_users(ssh: Workbench) -> None:
    """Only the container's own user can log in, whatever the key."""
    for name in ("root", "nobody"):
        code, output = log_in(ssh, "known", f"{name}@127.0.0.1", "true")
        assert code == 255
        assert "Permission denied (publickey)." in output


@pytest.mark.requirement("V3")
@pytest.mark.parametrize("user", ["app", "root", "nobody", "sshd"])
@pytest.mark.parametrize("password", ["", "app"])
def test_ssh_from_outside_takes_no_password(start: Start, ssh: Workbench, user: str, password: str) -> None:
    """From another machine, by every way but a key: none of them is offered."""
    ssh.container.reload()
    address = ssh.container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    client = start("sleep", "infinity", environment={"WORD": password})
    script = "printf '#!/bin/sh\\necho \"$WORD\"\\n' >/tmp/ask; chmod +x /tmp/ask; export SSH_ASKPASS=/tmp/ask"
    script += f" SSH_ASKPASS_REQUIRE=force; ssh -p 2222 {OTHER_WAYS} {user}@{address} true"
    refused = execute(client, "sh", "-c", script)
    assert (refused.exit_code, refused.output.splitlines()[-1]) == (
        255,
        f"{user}@{address}: Permission denied (publickey).",
    )


def test_ssh_knows_no_other_key(ssh: Workbench) -> None:
    """What the running server was started with: keys of the environment and of the volume, and of nobody else."""
    _, command = ssh.inside("tr '\\0' ' ' </proc/$(cat /proc/1/task/1/children | cut -d' ' -f1)/cmdline")
    file = command.partition(" -f ")[2].split()[0]
    settings = inside(ssh.container, "/usr/sbin/sshd", "-T", "-f", file).splitlines()
    words = {line.split()[0]: line.split()[1:] for line in settings}
    assert {name: words[name] for name in REFUSING} == REFUSING
    methods = {name: ",".join(words[name]) for name in ("ciphers", "macs", "kexalgorithms", "hostkeyalgorithms")}
    assert {name: listed for name, listed in methods.items() if not listed or WEAK.search(listed)} == {}
    assert words["authorizedkeysfile"] == [file.replace("sshd_config", "authorized_keys"), KEYS]
    _, listed = ssh.inside(f"cat {' '.join(words['authorizedkeysfile'])} 2>/dev/null | grep -c '^[^#]'")
    assert listed == "1\n"


def test_ssh_as_root_is_the_same_user(start: Start, keys: dict[str, tuple[str, str]]) -> None:
    """As with rootless podman, where root is the person before the machine; no other account can log in."""
    running = open_workbench(start, "ssh", user="0:0", environment={"AUTHORIZED_KEYS": keys["known"][1]})
    bring_keys(running, keys)
    assert log_in(running, "known", "-q", "app@127.0.0.1", "'id -u; pwd; umask'") == (0, "0\n/data\n0002\n")
    for name in ("root", "nobody"):
        assert log_in(running, "known", f"{name}@127.0.0.1", "true")[0] == 255


# --- what a login finds ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "login", [f"{LOGIN} '{SURROUNDINGS}'", f"echo '{SURROUNDINGS}' | {LOGIN}"], ids=["command", "shell"]
)
def test_ssh_login_is_like_every_other_program(ssh: Workbench, login: str) -> None:
    """The same umask, characters, home, programs and caches as a program that the entry point starts."""
    expected = inside(ssh.container, "entrypoint", "sh", "-c", SURROUNDINGS).splitlines()
    assert expected[:2] == ["0002", "UTF-8"]
    code, output = ssh.inside(login, user="0")
    assert (code, output.splitlines()) == (0, expected)


def test_ssh_login_knows_the_terminal(ssh: Workbench) -> None:
    """Some terminals have a name that Debian does not know: programs then cannot draw. Report: kovidgoyal/kitty#713."""
    code, output = ssh.inside(f"{LOGIN} -tt 'tput colors'", user="0", environment={"TERM": "xterm-unheard-of"})
    assert (code, output.strip()) == (0, "256")


def test_ssh_files_are_the_groups_to_write(ssh: Workbench) -> None:
    """What a login or sftp makes, the next container's UID can change."""
    log_in(ssh, "known", "-q", "app@127.0.0.1", "'mkdir by-shell; touch by-shell/file'")
    code, output = ssh.inside(
        f"echo 'mkdir by-sftp' | sftp -q -b - -P 2222 {OPTIONS.format(key='known')} app@127.0.0.1", user="0"
    )
    assert code == 0, output
    _, modes = ssh.inside("stat -c '%A %n' by-*", workdir="/data")
    assert modes.splitlines() == ["drwxrwxr-x by-sftp", "drwxrwxr-x by-shell"]


def test_ssh_writes_no_secret_to_the_volume(ssh: Workbench) -> None:
    """A login has the user's variables; the volume, which others may see later, has none of them."""
    assert log_in(ssh, "known", "-q", "app@127.0.0.1", "'echo $HF_TOKEN'") == (0, f"{SECRET}\n")
    assert ssh.inside(f"grep -rl {SECRET} /data", user="0") == (1, "")


# --- the host's key -------------------------------------------------------------------------------


@pytest.mark.requirement("V3")
def test_ssh_host_key_stays_on_the_volume(start: Start) -> None:
    """It is created at the first start, not in the image, and stays the same at the next."""
    running = open_workbench(start, "ssh", **ONE_VOLUME)
    before = host_key(running)
    running.container.restart(timeout=10)
    running.inside("until ssh-keyscan -q -p 2222 127.0.0.1; do sleep 0.1; done")
    assert host_key(running) == before
    assert host_key(open_workbench(start, "ssh", **ONE_VOLUME)) != before


@pytest.mark.parametrize(
    "change", ["true", "chmod -R g+rwX /data", "chmod -R a+rwx /data"], ids=["user", "fsgroup", "modes"]
)
def test_ssh_host_key_stays_under_another_user(volume: docker.types.Mount, start: Start, change: str) -> None:
    """After Kubernetes' fsGroup has changed its modes, and on file systems that know no modes."""
    before = host_key(open_workbench(start, "ssh", mounts=[volume]))
    start(entrypoint=["sh", "-c", change], user="0", mounts=[volume]).wait()
    assert host_key(open_workbench(start, "ssh", **ONE_VOLUME | {"mounts": [volume]})) == before


def test_ssh_replaces_a_host_key_that_it_cannot_read(volume: docker.types.Mount, start: Start) -> None:
    """One that only another UID may read: the mode starts, and says what clients will notice."""
    script = f"mkdir -p -m 0775 {KEPT.rpartition('/')[0]} && echo key >{KEPT} && chmod 0600 {KEPT}"
    start(entrypoint=["sh", "-c", script], user="4711:0", mounts=[volume]).wait()
    running = open_workbench(start, "ssh", mounts=[volume])
    assert f"warning: {KEPT} cannot be read by UID 1000: a new key takes its place" in running.log
    host_key(running)


def test_ssh_starts_where_its_folder_is_closed(volume: docker.types.Mount, start: Start) -> None:
    """Another UID has closed the folder to the group: there is a key for this start."""
    script = "mkdir -p -m 0700 /data/.slipway /data/.slipway/ssh"
    start(entrypoint=["sh", "-c", script], user="4711:0", mounts=[volume]).wait()
    running = open_workbench(start, "ssh", mounts=[volume])
    assert f"warning: the host's key cannot be kept in {KEPT}, so the next start has another" in running.log
    host_key(running)


def test_ssh_lets_the_owner_of_a_full_volume_in(start: Start, keys: dict[str, tuple[str, str]]) -> None:
    """Somebody must be able to delete something; the next start has a key that is kept."""
    script = """umask 077; echo "$KEY" >/data/known; cat /dev/zero >/data/fill 2>/dev/null; umask 002; unset KEY
        exec tini -- entrypoint ssh"""
    environment = {"AUTHORIZED_KEYS": keys["known"][1], "KEY": keys["known"][0]}
    container = start(entrypoint=["sh", "-c", script], tmpfs=SMALL, environment=environment)
    running = Workbench(container, 0)
    running.inside("until ssh-keyscan -q -p 2222 127.0.0.1; do sleep 0.1; done")
    assert "the host's key cannot be kept" in running.log
    code, output = running.inside(f"{SSH.format(key='known')} -q app@127.0.0.1 'rm fill; touch room; ls'")
    assert (code, output.split()) == (0, ["known", "room"])


# --- wrong settings ------------------------------------------------------------------------------


@pytest.mark.requirement("V3")
def test_ssh_without_a_key_is_one_clear_message(run: Run) -> None:
    """Nobody could log in to the server."""
    run("ssh").require_message("error: nobody could log in: set AUTHORIZED_KEYS")


def test_ssh_takes_keys_of_other_files(run: Run) -> None:
    """Their lines end as in Windows, or by what a file of variables has for it. Report: atmoz/sftp#283."""
    keys = f"# mine\\n{PUBLIC_KEY} DOMAIN\\name@HOST\\n{PUBLIC_KEY}\\n\r\n"
    run("ssh", "-V", environment={"AUTHORIZED_KEYS": keys}).require_success()


@pytest.mark.parametrize(
    ("environment", "words", "message"),
    [
        ({"AUTHORIZED_KEYS": "/home/me/key.pub"}, [], "error: line 1 of AUTHORIZED_KEYS is no public key: "),
        ({"AUTHORIZED_KEYS": f"{PUBLIC_KEY}\n-----BEGIN"}, [], "error: line 2 of AUTHORIZED_KEYS is no public key: "),
        ({}, ["-p", "many"], "error: sshd refuses to start with the arguments -p many: Bad port number."),
        ({}, ["-o", "Color=red"], "error: sshd refuses to start with the arguments -o Color=red: "),
    ],
    ids=["path", "private", "port", "option"],
)
def test_ssh_wrong_setting_is_one_clear_message(
    run: Run, environment: dict[str, str], words: list[str], message: str
) -> None:
    """What is wrong, where, and what is right; a line may be a private key, so it is not shown."""
    finished = run("ssh", *words, environment={"AUTHORIZED_KEYS": PUBLIC_KEY} | environment)
    finished.require_message(message)
    assert "BEGIN" not in finished.output


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (f"mkdir -p {KEYS}", f"error: {KEYS} is no file: "),
        (f"mkdir -p {KEPT}", f"error: {KEPT} is a folder: "),
        (f"mkdir -p {KEPT[:-9]} && echo nonsense >{KEPT}", f"error: {KEPT} is no private key without a passphrase: "),
    ],
    ids=["folder of keys", "folder of the host's key", "host's key"],
)
def test_ssh_wrong_file_is_one_clear_message(run: Run, script: str, message: str) -> None:
    """A file that the volume brings along is named, with a way out."""
    finished = run("sh", "-c", f"{script} && exec entrypoint ssh", environment={"AUTHORIZED_KEYS": PUBLIC_KEY})
    finished.require_message(message)


def test_ssh_names_lines_of_a_file_that_are_no_keys(start: Start) -> None:
    """Who has one good key gets in all the same."""
    script = f"mkdir -p {KEYS[:-16]} && printf '%s\\nnonsense\\n' '{PUBLIC_KEY}' >{KEYS} && exec entrypoint ssh"
    container = start("sh", "-c", script, network_mode="none")
    running = Workbench(container, 0)
    running.inside("until ssh-keyscan -q -p 2222 127.0.0.1; do sleep 0.1; done")
    assert f"warning: line 2 of {KEYS} is no public key: " in running.log


def test_ssh_listens_where_its_arguments_say(start: Start) -> None:
    """On both families, and the health check asks there."""
    running = open_workbench(start, "ssh", "-p", "2022", port=2022)
    for address in ("127.0.0.1", "::1"):
        assert " ssh-ed25519 " in inside(running.container, "ssh-keyscan", "-q", "-p", "2022", address)
