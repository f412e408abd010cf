"""The entry script and the health check, run on this host: exit codes, arguments, modes."""

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOTFS = Path(__file__).parents[2] / "docker" / "rootfs"
BIN = ROOTFS / "variant/usr/local/bin"
DOCKERS_UMASK = 0o022
INSTALLED = "/usr/local/lib/slipway"

# Prints its own arguments, one a line, in brackets.
SHOW = '#!/bin/sh\nprintf "[%s]\\n" "${0##*/}" "$@"\n'


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A folder of commands in which `python` shows how it was called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    add_command(folder, "python", SHOW)
    return folder


def add_command(folder: Path, name: str, text: str, mode: int = 0o755) -> Path:
    """Write an executable script."""
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return path


def copy_script(name: str, folder: Path, library: Path = BIN.parent / "lib/slipway") -> Path:
    """Copy a script that finds its files below `library`, not where an image has them."""
    return add_command(folder, name, (BIN / name).read_text().replace(INSTALLED, str(library)))


def entrypoint(commands: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the entry script with `commands` before the host's own."""
    return subprocess.run(
        ["sh", copy_script("entrypoint", commands.parent), *arguments],
        env={**os.environ, "PATH": f"{commands}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1", **environment},
        umask=DOCKERS_UMASK,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )


def shown(*words: str) -> str:
    """What SHOW prints for its name and its arguments."""
    return "".join(f"[{word}]\n" for word in words)


# Entry script


@pytest.mark.requirement("U13")
def test_entrypoint_is_a_small_posix_script() -> None:
    """`sh`, executable, and short enough to read at once."""
    path = BIN / "entrypoint"
    lines = path.read_text().splitlines()
    assert lines[0] == "#!/bin/sh"
    assert len(lines) < 50
    assert os.access(path, os.X_OK)


@pytest.mark.requirement("U13")
@pytest.mark.parametrize("mode", sorted(ROOTFS.glob("*/usr/local/lib/slipway/modes/*")), ids=lambda mode: mode.name)
def test_mode_is_a_posix_script_with_a_health_check(mode: Path) -> None:
    """`sh`, executable, and its health file says what a healthy container of this mode answers."""
    assert mode.read_text().startswith("#!/bin/sh\n")
    assert os.access(mode, os.X_OK)
    assert (mode.parents[1] / "health" / mode.name).is_file()


SERVE = ("python", "-P", "-m", "app")
ODD = ("two words", "it's", 'a "quote"', "$HOME", "*", "", "back\\slash", "two\nlines", "-x")


@pytest.mark.parametrize(
    ("arguments", "run"),
    [
        ((), SERVE),  # the service is the default mode
        (("serve",), SERVE),
        (("serve", "two words"), (*SERVE, "two words")),
        *((("python", argument, "last"),) * 2 for argument in ODD),
    ],
)
def test_a_mode_or_a_command_is_given_its_arguments(
    commands: Path, arguments: tuple[str, ...], run: tuple[str, ...]
) -> None:
    """Nothing is split, expanded or dropped."""
    assert entrypoint(commands, *arguments).stdout == shown(*run)


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_exit_code_is_the_commands(commands: Path, code: int) -> None:
    assert entrypoint(commands, "sh", "-c", f"exit {code}").returncode == code


@pytest.mark.parametrize("word", ["no-such-command", "/no/such/file", "--help", "", "two words", "..", "../modes"])
def test_unknown_command_is_127(commands: Path, word: str) -> None:
    """One line that names the word and what would have been right."""
    result = entrypoint(commands, word)
    assert result.returncode == 127
    assert result.stderr == (f"error: '{word}' is neither a mode of this image (serve) nor a command in it.\n")


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this host has an NVIDIA driver")
def test_missing_nvidia_smi_names_what_brings_it(commands: Path) -> None:
    """It is the first command that many try, and no image has it."""
    result = entrypoint(commands, "nvidia-smi")
    assert result.returncode == 127
    assert result.stderr.endswith(" nor a command in it. NVIDIA's driver on the host brings it: add --gpus=all.\n")


@pytest.mark.parametrize("name", ["LANG", "LC_ALL"])
def test_locale_that_is_missing_is_one_clear_message(commands: Path, name: str) -> None:
    """C.UTF-8 takes its place: without it, no program would have UTF-8."""
    result = entrypoint(commands, "sh", "-c", "locale charmap", **{"LC_ALL": "", name: "xx_XX.UTF-8"})
    assert (result.returncode, result.stdout) == (0, "UTF-8\n")
    assert result.stderr.startswith("warning: this image has no locale xx_XX.UTF-8 and uses C.UTF-8: ")
    assert result.stderr.count("locale xx_XX") == 1


def test_uv_copies_from_its_cache(commands: Path) -> None:
    """The cache is on a volume: uv would warn of each link that it cannot make. A user's choice stays."""
    assert entrypoint(commands, "printenv", "UV_LINK_MODE", UV_LINK_MODE="").stdout == "copy\n"
    assert entrypoint(commands, "printenv", "UV_LINK_MODE", UV_LINK_MODE="clone").stdout == "clone\n"


@pytest.mark.skipif(not Path("/usr/share/zoneinfo/Europe").is_dir(), reason="this host has no time zones")
def test_time_zone_that_is_missing_is_one_clear_message(commands: Path) -> None:
    """Without it the time would be UTC, and nothing would say so; a rule of its own is in no file."""
    for zone in ("Mars/Olympus", "Europe/Berln"):
        result = entrypoint(commands, "python", TZ=zone)
        wanted = f"warning: no time zone {zone}: set TZ to a name such as America/New_York; "
        assert result.stderr.splitlines()[0] == wanted + "Debian has old names in the package tzdata-legacy"
    for zone in ("", "UTC", "Europe/Berlin", ":Europe/Berlin", "CET-1CEST", "<+03>-3", "/usr/share/zoneinfo/UTC"):
        assert "time zone" not in entrypoint(commands, "python", TZ=zone).stderr


def test_command_that_is_not_executable_is_126(commands: Path) -> None:
    """As the shell and docker have it; the message names the file."""
    path = add_command(commands, "data.txt", "text\n", mode=0o644)
    result = entrypoint(commands, str(path))
    assert result.returncode == 126
    assert str(path) in result.stderr


def test_command_takes_the_scripts_place(tmp_path: Path) -> None:
    """No shell stays between the init and the command, so signals reach it."""
    with subprocess.Popen(
        ["sh", copy_script("entrypoint", tmp_path), "sh", "-c", "echo $$"], stdout=subprocess.PIPE, text=True
    ) as process:
        output, _ = process.communicate(timeout=20)
    assert int(output) == process.pid


def test_service_finds_its_package_by_pythonpath(commands: Path) -> None:
    """Before the user's folders, which stay; a plain command has these alone: a folder `app` there is the user's."""
    add_command(commands, "python", '#!/bin/sh\necho "$PYTHONPATH"\n')
    assert entrypoint(commands, "serve", PYTHONPATH="/data/own").stdout == "/opt/app:/data/own\n"
    assert entrypoint(commands, "serve", PYTHONPATH="").stdout == "/opt/app\n"
    assert entrypoint(commands, "python", PYTHONPATH="/data/own").stdout == "/data/own\n"


def test_engine_is_given_the_port_and_both_families(commands: Path) -> None:
    """vLLM itself would listen on IPv4 alone."""
    add_command(commands, "vllm", SHOW)
    mode = ROOTFS / "compute/usr/local/lib/slipway/modes/serve-llm"
    environment = {**os.environ, "PATH": f"{commands}:{os.environ['PATH']}", "PORT": "9000"}
    output = subprocess.check_output(["sh", mode, "some/model"], env=environment, text=True)
    family = ["--host=::"] if Path("/proc/net/if_inet6").exists() else []
    assert output.endswith(shown("vllm", "serve", "--port=9000", *family, "some/model"))


def test_files_are_writable_for_the_group(commands: Path) -> None:
    """Another UID with GID 0 goes on with what this one wrote on a volume."""
    assert entrypoint(commands, "sh", "-c", "umask").stdout == "0002\n"


# Health check


@contextmanager
def listening(serve: Callable[[socket.socket], object], address: str = "127.0.0.1") -> Iterator[int]:
    """Serve one connection on the port that this yields, and close it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:

        def accept() -> None:
            with server.accept()[0] as connection:
                serve(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(20)


def service(answer: bytes | None) -> Callable[[socket.socket], None]:
    """Something that answers a request for /health; None: it never answers."""

    def serve(connection: socket.socket) -> None:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += connection.recv(1000)
        if answer is None:
            connection.recv(1)  # until the other end gives up
        elif request.startswith(b"GET /health HTTP/1."):
            connection.sendall(answer)

    return serve


def healthcheck(
    tmp_path: Path, *init: str, port: int | str | None = None, library: Path = BIN.parent / "lib/slipway"
) -> subprocess.CompletedProcess[str]:
    """Run the health check beside an init with the command line `init`."""
    cmdline = tmp_path / "cmdline"
    cmdline.write_bytes(b"".join(word.encode() + b"\0" for word in init))
    return subprocess.run(
        [copy_script("healthcheck", tmp_path, library), cmdline],
        env={**os.environ, "PORT": "" if port is None else str(port)},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )


SERVICE_RUNS = [
    ("tini", "--", "entrypoint", "serve"),
    ("tini", "--", "entrypoint"),
    ("/usr/bin/tini", "--", "/usr/local/bin/entrypoint", "serve"),
    ("/sbin/docker-init", "--", "tini", "--", "entrypoint", "serve"),
]
COMMAND_RUNS = [
    ("tini", "--", "entrypoint", "sleep", "60"),
    ("tini", "--", "entrypoint", "sh", "-c", "serve"),
    ("tini", "--", "entrypoint", "serve it"),
    ("bash",),
    (),
]


@pytest.mark.requirement("T7")
@pytest.mark.parametrize("init", SERVICE_RUNS)
def test_service_that_answers_is_healthy(tmp_path: Path, init: tuple[str, ...]) -> None:
    """Whatever leads to the service, its answer 200 makes it healthy."""
    with listening(service(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")) as port:
        result = healthcheck(tmp_path, *init, port=port)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"healthy: /health on port {port} answered 200\n"


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 on this host")
def test_service_on_ipv6_alone_is_healthy(tmp_path: Path) -> None:
    """A team's own service may listen on one family."""
    with listening(service(b"HTTP/1.1 200 OK\r\n\r\n"), "::1") as port:
        result = healthcheck(tmp_path, *SERVICE_RUNS[0], port=port)
    assert (result.returncode, result.stdout) == (0, f"healthy: /health on port {port} answered 200\n")


@pytest.mark.requirement("T7")
@pytest.mark.parametrize("init", [("runc", "init"), ("/usr/bin/crun", "--root", "/run", "create")])
def test_container_that_is_being_started_is_not_healthy(tmp_path: Path, init: tuple[str, ...]) -> None:
    """The engine asks from the first moment, when its own runtime has not become the init yet."""
    result = healthcheck(tmp_path, *init, port=1)
    assert (result.returncode, result.stdout) == (1, "unhealthy: the container is being started\n")


@pytest.mark.parametrize("init", COMMAND_RUNS)
def test_plain_command_is_healthy_while_it_lives(tmp_path: Path, init: tuple[str, ...]) -> None:
    """Nothing is asked: port 1 would not answer."""
    result = healthcheck(tmp_path, *init, port=1)
    assert (result.returncode, result.stdout) == (0, "healthy: a plain command is running\n")


@pytest.mark.requirement("T7")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "/health on port {} answered 503"),
        (b"HTTP/1.1 500 200\r\n\r\n", "/health on port {} answered 500"),
        (b"", "no answer from port {} within 2 seconds"),
        (None, "no answer from port {} within 2 seconds"),
    ],
    ids=["503", "500", "closed", "hangs"],
)
def test_service_that_does_not_work_is_unhealthy(tmp_path: Path, answer: bytes | None, reason: str) -> None:
    """An error, a closed connection and a service that hangs: one line with the reason."""
    with listening(service(answer)) as port:
        result = healthcheck(tmp_path, *SERVICE_RUNS[0], port=port)
    assert result.returncode == 1
    assert result.stdout == f"unhealthy: {reason.format(port)}\n"
    assert result.stderr == ""


def test_service_that_hangs_up_at_once_is_unhealthy(tmp_path: Path) -> None:
    """Whether the request was already written or not: no signal, no message of the shell's."""
    with listening(lambda _: None) as port:
        result = healthcheck(tmp_path, *SERVICE_RUNS[0], port=port)
    assert (result.returncode, result.stderr) == (1, "")
    assert result.stdout == f"unhealthy: no answer from port {port} within 2 seconds\n"


@pytest.mark.parametrize("port", [1, "no-port"])
def test_nothing_listens_is_unhealthy(tmp_path: Path, port: int | str) -> None:
    """As in the moments before the service has started."""
    result = healthcheck(tmp_path, *SERVICE_RUNS[0], port=port)
    assert (result.returncode, result.stderr) == (1, "")
    assert result.stdout == f"unhealthy: nothing listens on port {port}\n"


def test_unreadable_command_line_is_unhealthy(tmp_path: Path) -> None:
    """What cannot be known is not called healthy."""
    result = subprocess.run([BIN / "healthcheck", tmp_path / "absent"], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stdout == f"unhealthy: {tmp_path}/absent cannot be read\n"


@pytest.mark.requirement("T7")
@pytest.mark.parametrize(
    ("greeting", "code", "message"),
    [
        (b"SSH-2.0-OpenSSH\r\n", 0, "healthy: port {} greets with SSH-"),
        (b"HTTP/1.1 400 Bad Request\r\n", 1, "unhealthy: port {} greets with HTTP/1.1 400 Bad Request"),
        (b"", 1, "unhealthy: no greeting from port {} within 2 seconds"),
    ],
    ids=["right", "wrong", "none"],
)
def test_server_is_known_by_its_greeting(tmp_path: Path, greeting: bytes, code: int, message: str) -> None:
    """What speaks first, as ssh does, is healthy when it says the right word."""
    question = tmp_path / "health" / "ssh"
    question.parent.mkdir()
    with listening(lambda connection: connection.sendall(greeting)) as port:
        question.write_text(f"greets {port} SSH-\n")
        result = healthcheck(tmp_path, "tini", "--", "entrypoint", "ssh", library=tmp_path)
    assert (result.returncode, result.stderr) == (code, "")
    assert result.stdout.replace("\r", "") == message.format(port) + "\n"
