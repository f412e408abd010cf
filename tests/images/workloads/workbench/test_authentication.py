"""A workbench needs a token, a password or a key, which others cannot read."""

import re

import pytest

from tests.images.helpers.containers import Run, Start
from tests.images.helpers.scope import applies
from tests.images.helpers.workbench import ONE_VOLUME, SECRET, TOKEN, Workbench, entrypoint_after, open_workbench

pytestmark = applies(workload="workbench")

JUPYTER = ["workbench", "lab"]
CMDLINES = "for process in /proc/[0-9]*; do tr '\\0' ' ' <$process/cmdline; echo; done 2>/dev/null"
# Settings on the volume that would open JupyterLab, or make another token than the printed one count.
SETTINGS = {
    "jupyter_server_config.py": "c.IdentityProvider.token = ''",
    "jupyter_server_config.json": '{"ServerApp": {"token": ""}}',
    "jupyter_lab_config.py": "c.PasswordIdentityProvider.token = ''",
    "jupyter_config.py": "c.IdentityProvider.token = 'of-the-file'",
}
SETTINGS_OF_CODE = {"auth: none": SECRET, "auth: none\npassword: of-the-file": "of-the-file"}
LISTENING = "cat /proc/net/tcp /proc/net/tcp6 | awk '$4 == \"0A\" { print $2 }'"


@pytest.fixture(scope="module", params=JUPYTER)
def jupyter(start_shared: Start, request: pytest.FixtureRequest) -> Workbench:
    """Each mode that starts JupyterLab."""
    return open_workbench(start_shared, request.param)


@pytest.fixture(scope="module")
def workbench(start_shared: Start) -> Workbench:
    """JupyterLab with code-server behind it."""
    return open_workbench(start_shared, "workbench", **ONE_VOLUME)


@pytest.fixture(scope="module")
def code(start_shared: Start) -> Workbench:
    """Code-server alone."""
    return open_workbench(start_shared, "code", **ONE_VOLUME)


# --- JupyterLab ----------------------------------------------------------------------------------


@pytest.mark.requirement("A11")
@pytest.mark.parametrize("headers", [{}, {"Authorization": "token guess"}], ids=["none", "wrong"])
def test_jupyter_refuses(jupyter: Workbench, headers: dict[str, str]) -> None:
    """Neither files nor kernels nor a terminal without the token."""
    for path in ("contents", "kernels", "terminals"):
        assert jupyter.get(f"/api/{path}", headers).status == 403


@pytest.mark.requirement("A11", "V3")
def test_jupyter_accepts_the_token(jupyter: Workbench) -> None:
    """JupyterLab's page and its program are served."""
    assert jupyter.get("/api/contents", TOKEN).status == 200
    page = jupyter.get("/lab", TOKEN)
    program = re.search(r'src="(/static/lab/main\.[^"]+)"', page.text)
    assert page.status == 200
    assert program
    assert jupyter.get(program[1], TOKEN).status == 200


@pytest.mark.requirement("A11")
@pytest.mark.parametrize("mode", JUPYTER)
@pytest.mark.parametrize("words", [[], ["--ServerApp.base_url=own"]])
def test_new_token_is_printed_once(start: Start, mode: str, words: list[str]) -> None:
    """Without a token of the user there is a new one, which the log has once, in an address that answers."""
    prefix = "/own" if words else ""
    running = open_workbench(start, mode, *words, environment={})
    found = re.findall(rf"(?m)^JupyterLab: http://127\.0\.0\.1:8888{prefix}/lab\?token=([0-9a-f]{{48}})$", running.log)
    assert len(found) == 1
    assert running.log.count(found[0]) == 1
    assert running.get(f"{prefix}/api/contents", {"Authorization": f"token {found[0]}"}).status == 200


@pytest.mark.requirement("A11")
@pytest.mark.parametrize("mode", JUPYTER)
@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"JUPYTER_TOKEN": ""}, []),
        ({"JUPYTER_TOKEN_FILE": ""}, []),
        ({"NOTEBOOK_ARGS": "--ServerApp.token=''"}, []),
        ({}, ["--IdentityProvider.token="]),
    ],
    ids=["variable", "file", "notebook-args", "argument"],
)
def test_empty_token_is_one_clear_message(run: Run, mode: str, environment: dict[str, str], words: list[str]) -> None:
    """With it JupyterLab would be open to everybody."""
    run(mode, *words, environment=environment).require_message(
        "error: the token is empty, and JupyterLab is never open without authentication"
    )


@pytest.mark.requirement("A11")
def test_token_of_a_file_is_taken(start: Start) -> None:
    """Clusters pass secrets as files; here it is a file that every image has."""
    running = open_workbench(start, "lab", environment={"JUPYTER_TOKEN_FILE": "/etc/debian_version"})
    _, token = running.inside("cat /etc/debian_version")
    assert running.get("/api/contents").status == 403
    assert running.get("/api/contents", {"Authorization": f"token {token.strip()}"}).status == 200


def test_token_of_a_file_of_windows_is_taken(start: Start) -> None:
    """An editor there ends a line by two characters, which no user types."""
    before = entrypoint_after(f"printf '{SECRET}\\r\\n' >/tmp/token")
    running = open_workbench(start, "lab", entrypoint=before, environment={"JUPYTER_TOKEN_FILE": "/tmp/token"})
    assert running.get("/api/contents", TOKEN).status == 200


@pytest.mark.requirement("A11")
@pytest.mark.parametrize("name", SETTINGS)
def test_no_settings_file_opens_jupyter(start: Start, name: str) -> None:
    """The token is the variable's or the printed one, and the log names the file."""
    before = entrypoint_after(f'mkdir -p /data/.jupyter; echo "$SETTINGS" >/data/.jupyter/{name}')
    running = open_workbench(start, "lab", entrypoint=before, environment={"SETTINGS": SETTINGS[name]})
    token = running.log.partition("?token=")[2].split()[0]
    statuses = [
        running.get("/api/contents", {"Authorization": f"token {word}"}).status for word in (token, "of-the-file")
    ]
    assert [running.get("/api/contents").status, *statuses] == [403, 200, 403]
    assert f"warning: the token in /data/.jupyter/{name} is not taken: set JUPYTER_TOKEN" in running.log


@pytest.mark.requirement("A11")
def test_settings_file_of_an_argument_sets_no_token(run: Run) -> None:
    """It takes the place of all others, those of the image among them."""
    before = entrypoint_after('echo "$SETTINGS" >/data/own.py')
    options = {"entrypoint": before, "environment": {"SETTINGS": SETTINGS["jupyter_server_config.py"]}}
    run("lab", "--config", "/data/own.py", **options).require_message("error: /data/own.py sets a token: leave it out")


# --- code-server ---------------------------------------------------------------------------------


@pytest.mark.requirement("A11")
def test_code_refuses(code: Workbench) -> None:
    """Without the password there is a login page, and a wrong password changes nothing."""
    assert code.get("/?folder=/data").headers["location"].startswith("./login")
    wrong = code.post("/login", password="guess")  # noqa: S106
    assert "set-cookie" not in wrong.headers
    assert "Incorrect password" in wrong.text


@pytest.mark.requirement("A11")
def test_code_accepts_the_password(code: Workbench) -> None:
    """It gives a cookie, which opens the editor."""
    cookie = code.post("/login", password=SECRET).headers["set-cookie"].partition(";")[0]
    page = code.get("/?folder=/data", {"Cookie": cookie})
    assert page.status == 200
    assert "vscode-workbench-web-configuration" in page.text


@pytest.mark.requirement("A11")
def test_new_password_is_printed_once(start: Start) -> None:
    """Without a password of the user there is a new one, which the log has once."""
    running = open_workbench(start, "code", environment={})
    found = re.findall(r"(?m)^code-server: http://127\.0\.0\.1:8080, password ([0-9a-f]{48})$", running.log)
    assert len(found) == 1
    assert running.log.count(found[0]) == 1
    assert "set-cookie" in running.post("/login", password=found[0]).headers


@pytest.mark.requirement("A11")
@pytest.mark.parametrize(
    ("environment", "words", "message"),
    [
        ({"PASSWORD": ""}, [], "error: the password is empty, and code-server is never open"),
        ({"HASHED_PASSWORD": ""}, [], "error: the password is empty, and code-server is never open"),
        ({}, ["--auth=none"], "error: leave out --auth=none: code-server is never open"),
        ({"HASHED_PASSWORD": "=19=65536,t=3"}, [], "error: HASHED_PASSWORD is no hash, which begins with $argon2"),
    ],
    ids=["password", "hash", "argument", "spoiled-hash"],
)
def test_code_without_a_password_is_one_clear_message(
    run: Run, environment: dict[str, str], words: list[str], message: str
) -> None:
    """Code-server is never open to everybody."""
    run("code", *words, environment=environment).require_message(message)


@pytest.mark.requirement("A11")
@pytest.mark.parametrize("settings", SETTINGS_OF_CODE, ids=["open", "its own"])
def test_no_settings_file_opens_code(start: Start, settings: str) -> None:
    """A password that the file sets counts where the environment sets none; one that does not count is not printed."""
    password = SETTINGS_OF_CODE[settings]
    environment = {"SETTINGS": settings, "CODE_SERVER_CONFIG": "/data/own.yaml"}
    environment |= {"PASSWORD": SECRET} if password == SECRET else {}
    before = entrypoint_after('echo "$SETTINGS" >/data/own.yaml')
    running = open_workbench(start, "code", entrypoint=before, environment=environment)
    assert running.get("/?folder=/data").headers["location"].startswith("./login")
    assert "set-cookie" in running.post("/login", password=password).headers
    assert "code-server: http" not in running.log


@pytest.mark.requirement("A11")
@pytest.mark.parametrize(
    "hashed", ["$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$x", "5e" * 32], ids=["argon2", "SHA-256"]
)
def test_code_takes_a_hash(start: Start, hashed: str) -> None:
    """Each of the forms that code-server knows; nothing is printed."""
    running = open_workbench(start, "code", environment={"HASHED_PASSWORD": hashed})
    assert "code-server: http" not in running.log


# --- code-server behind JupyterLab ---------------------------------------------------------------


@pytest.mark.requirement("A11")
def test_code_is_reached_through_jupyter(workbench: Workbench) -> None:
    """One token for both editors."""
    page = workbench.get("/code/?folder=/data", TOKEN)
    assert page.status == 200
    assert "vscode-workbench-web-configuration" in page.text


@pytest.mark.requirement("A11")
def test_code_behind_jupyter_refuses(workbench: Workbench) -> None:
    """Without the token there is the login page only; code-server itself listens on no port."""
    assert workbench.get("/code/?folder=/data", TOKEN).status == 200
    refused = workbench.get("/code/?folder=/data")
    assert (refused.status, refused.headers["location"].partition("?")[0]) == (302, "/login")
    _, output = workbench.inside(LISTENING)
    assert {int(line.partition(":")[2], 16) for line in output.split()} == {8888}


@pytest.mark.requirement("A11")
def test_lab_has_no_code_server(start: Start) -> None:
    """The mode `lab` is JupyterLab alone."""
    running = open_workbench(start, "lab")
    assert running.get("/code", TOKEN).status == 404


# --- command lines -------------------------------------------------------------------------


@pytest.mark.requirement("A11")
@pytest.mark.parametrize("mode", ["workbench", "lab", "code"])
def test_no_command_line_has_the_credential(start: Start, mode: str) -> None:
    """Every process can read the command lines of others; a token in an argument is removed from it."""
    environment = {"NOTEBOOK_ARGS": f"--ServerApp.token='{SECRET}'"} if mode != "code" else {"PASSWORD": SECRET}
    running = open_workbench(start, mode, environment=environment)
    if mode != "code":
        assert running.get("/code/" if mode == "workbench" else "/api/contents", TOKEN).status in (200, 302)
    _, output = running.inside(CMDLINES)
    assert {"workbench": "jupyter-lab", "lab": "jupyter-lab", "code": "entry"}[mode] in output
    assert SECRET not in output
