"""cosign: which program signs, what it gets of the machine, and whom it verifies."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from slipway import tools
from slipway.publish import cosign, registry
from slipway.publish.cosign import Signer
from slipway.publish.registry import RegistryError
from tests.helpers.programs import write_program

WORKFLOW = "https://g.io/a+b/p.yml@refs/tags/v"


@pytest.mark.requirement("T10")
@pytest.mark.parametrize(("name", "provide"), [("cosign", cosign.provide_cosign), ("crane", registry.provide_crane)])
def test_a_program_of_the_machine_gets_no_key_and_no_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, provide: Callable[[], Path]
) -> None:
    """Neither of the two is taken from PATH, whatever version it prints."""
    program = write_program(tmp_path / name, f"echo {tools.read_tool(name).version}")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tools, "build_programs", lambda _: None)
    assert tools.find_installed(tools.read_tool(name)) == program
    assert inspect.unwrap(provide)() == tools.read_tool(name).program != program


def test_cosign_gets_no_settings_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor a place of its own for signatures, nor roots of trust: only what opens the key, and the token of a CI job."""
    program = write_program(tmp_path / "cosign", "env")
    monkeypatch.setattr(cosign, "provide_cosign", lambda: program)
    kept = ("COSIGN_PASSWORD", "COSIGN_PKCS11_PIN", "COSIGN_PRIVATE_KEY", "SIGSTORE_ID_TOKEN", "AWS_REGION")
    dropped = ("COSIGN_REPOSITORY", "COSIGN_EXPERIMENTAL", "SIGSTORE_ROOT_FILE", "SIGSTORE_REKOR_PUBLIC_KEY")
    for name in (*kept, *dropped):
        monkeypatch.setenv(name, "set")
    given = dict(line.split("=", 1) for line in cosign.run_cosign("sign").splitlines())
    assert all(given[name] == "set" for name in kept)
    assert not given.keys() & set(dropped)
    assert given["COSIGN_MAX_ATTACHMENT_SIZE"] == cosign.LARGEST


def test_a_registry_that_never_ends_its_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as pages of tags without end. crane is ended, too, and what it has printed counts for nothing."""
    pid = tmp_path / "pid"
    program = write_program(tmp_path / "crane", f"echo $$ >{pid}\nwhile :; do echo 1.0.0; sleep 0.01; done")
    monkeypatch.setattr(registry, "provide_crane", lambda: program)
    monkeypatch.setattr(registry.call_crane, "__kwdefaults__", {"seconds": 5})
    with pytest.raises(RegistryError, match=r"^crane ls took more than 5 s; the registry does not end$"):
        registry.Repository("registry.example/team/shop").list_tags()
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()


@pytest.mark.parametrize(
    ("identity", "is_verified"),
    [
        (f"{WORKFLOW}1.2.0", True),
        (f"{WORKFLOW}10.0.1", True),
        (f"{WORKFLOW}1.2.0-evil", False),
        (WORKFLOW, False),
        (f"https://evil.io/{WORKFLOW}1.2.0", False),
        (f"{WORKFLOW}1.2.0".replace("g.io", "gxio"), False),
        (f"{WORKFLOW}1.2.0".replace("+", ""), False),
    ],
)
def test_the_same_workflow_of_another_release_is_the_same_signer(identity: str, *, is_verified: bool) -> None:
    """All else of the identity is compared as it is."""
    argument = Signer(identity=f"{WORKFLOW}1.2.0", issuer="g").make_identity_argument()
    pattern = argument.removeprefix("--certificate-identity-regexp=")
    assert bool(re.search(pattern, identity)) is is_verified


@pytest.mark.parametrize("end", ["refs/heads/main", "refs/tags/vault", "refs/tags/v1.2.0-rc1"])
def test_an_identity_of_no_release_is_compared_whole(end: str) -> None:
    identity = f"https://g.io/a/p.yml@{end}"
    assert Signer(identity=identity).make_identity_argument() == f"--certificate-identity={identity}"
