"""The mode `code`: where it listens, below which path it works, and that the health check asks there."""

import pytest

from tests.images.helpers.containers import Run, Start, inside, wait_for_answer, wait_for_health
from tests.images.helpers.scope import applies
from tests.images.helpers.workbench import CREDENTIALS, SECRET, entrypoint_after, open_workbench

pytestmark = applies(workload="workbench")

PREFIX = "/notebook/project/name"
PASSWORD = CREDENTIALS["code"]


def test_code_listens_on_both_families(start: Start) -> None:
    """A cluster may have IPv6 alone."""
    running = open_workbench(start, "code")
    for address in ("127.0.0.1", "[::1]"):
        assert '"status"' in inside(running.container, "curl", "--silent", f"http://{address}:8080/healthz")


@pytest.mark.parametrize(
    ("words", "address"),
    [
        (["--port", "9000"], "http://127.0.0.1:9000"),
        (["--port=9000", "--cert"], "https://127.0.0.1:9000"),
        (["--bind-addr=[::1]:9000"], "http://[0000:0000:0000:0000:0000:0000:0000:0001]:9000"),
    ],
    ids=["port", "https", "IPv6 alone"],
)
def test_code_health_asks_where_it_listens(start: Start, words: list[str], address: str) -> None:
    """The user decides; the proxy of the environment is not asked."""
    proxies = {"http_proxy": "http://proxy.example:3128", "https_proxy": "http://proxy.example:3128"}
    running = open_workbench(start, "code", *words, port=9000, environment=PASSWORD | proxies)
    wait_for_answer(running.container, f"healthy: {address}/healthz answered 200")


@pytest.mark.parametrize(("option", "scheme"), [([], "http"), (["--cert"], "https")], ids=["http", "https"])
def test_code_health_asks_a_socket(start: Start, option: list[str], scheme: str) -> None:
    """Where a proxy in the same Pod is the only one to reach it."""
    container = start("code", "--socket=/tmp/code.sock", *option, environment=PASSWORD, network_mode="none")
    wait_for_health(container, "healthy")
    wait_for_answer(container, f"healthy: {scheme}://localhost/healthz answered 200")


def test_code_listens_where_its_settings_file_says(start: Start) -> None:
    """The file that the user names; the log names one in code-server's usual place, where other images write one."""
    file = "/data/.config/code-server/config.yaml"
    before = entrypoint_after(f"mkdir -p {file[:-12]} && echo 'bind-addr: 0.0.0.0:9000' >{file}")
    running = open_workbench(start, "code", entrypoint=before, environment=PASSWORD)
    assert f"note: {file} is not read: set CODE_SERVER_CONFIG={file}" in running.log
    chosen = PASSWORD | {"CODE_SERVER_CONFIG": file}
    assert open_workbench(start, "code", port=9000, entrypoint=before, environment=chosen).get("/healthz").status == 200


@pytest.mark.requirement("A11")
@pytest.mark.parametrize("end", ["", "/"])
def test_code_works_below_a_prefix(start: Start, end: str) -> None:
    """Kubeflow leaves its path in the address; other proxies take it away, so both are served."""
    running = open_workbench(start, "code", environment=PASSWORD | {"NB_PREFIX": f"{PREFIX}{end}"})
    assert running.get(PREFIX).headers["location"] == f"{PREFIX}/"
    assert running.get(f"{PREFIX}/").headers["location"] == "./login"
    for path in (f"{PREFIX}/", "/"):
        cookie = running.post(f"{path}login", password=SECRET).headers["set-cookie"].partition(";")[0]
        assert "vscode-workbench-web-configuration" in running.get(f"{path}?folder=/data", {"Cookie": cookie}).text


@pytest.mark.parametrize(
    ("words", "environment", "message"),
    [
        (["--port=http"], {}, "error: --port=http: this is no port"),
        (["--bind-addr=0.0.0.0:70000"], {}, "error: --bind-addr=0.0.0.0:70000: this is no port"),
        (["--port", "http"], {}, "error: --port=http: this is no port"),
        (["--bind-addr", "[::]:0"], {}, "error: --bind-addr=[::]:0: this is no port"),
        ([], {"CODE_SERVER_CONFIG": "/data"}, "error: CODE_SERVER_CONFIG: '/data' is a folder"),
    ],
    ids=["word", "number", "word of two words", "number of two words", "folder"],
)
def test_code_wrong_setting_is_one_clear_message(
    run: Run, words: list[str], environment: dict[str, str], message: str
) -> None:
    """Before a password is made and shown."""
    run("code", *words, environment=environment).require_message(message)
