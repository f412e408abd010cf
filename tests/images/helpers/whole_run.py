"""What a run of checks was, as properties of its JUnit file; a run that was cut is kept apart.

A run is whole when each check that applies to the image was run to its end. Its file `tests.partial.xml` becomes
`tests.xml` then; any other keeps its name, and counts for nothing.
"""

import hashlib
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from pathlib import Path

import docker
import pytest
from docker.models.images import Image as EngineImage

from slipway import junit, repository
from slipway.matrix import Image
from slipway.report import earlier_checks
from tests.helpers import not_run
from tests.images.helpers.scope import is_in_scope, read_contract

FOLDER = Path(__file__).parents[1]
# Options by which a check is not collected, or not run although it is reported.
CUTS = ("ignore", "ignore_glob", "collectonly", "setuponly", "setupplan")
APPLYING = pytest.StashKey[list[str]]()
FINISHED = pytest.StashKey[set[str]]()
RECORD = pytest.StashKey[Callable[[str, object], None]]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin with nothing; forget an earlier run that was cut."""
    config.stash[APPLYING] = []
    config.stash[FINISHED] = set()
    if config.option.xmlpath and not config.option.collectonly:
        Path(config.option.xmlpath).unlink(missing_ok=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the list of all checks that apply, before an option of pytest's deselects some of them."""
    contract = read_contract(config)
    config.stash[APPLYING] = sorted(item.nodeid for item in items if is_in_scope(contract, item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Keep the checks that came to their end."""
    result = yield
    item.config.stash[FINISHED].add(item.nodeid)
    return result


@pytest.fixture(scope="session", autouse=True)
def record_run(
    client: docker.DockerClient,
    image: EngineImage,
    contract: Image,
    pytestconfig: pytest.Config,
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    """Write to tests.xml which image was checked, against what, with which tools."""
    commit = repository.describe_head(*junit.CHECKS)
    tools = f"pytest {pytest.__version__}, docker engine {client.version()['Version']}"
    values = {"image": image.id, "contract": contract.name, "commit": commit, "tools": tools}
    values["derived"] = "yes" if pytestconfig.getoption("--derived") else "no"
    values["inputs"] = earlier_checks.digest_inputs(contract)
    for name, value in values.items():
        record_testsuite_property(name, value)
    pytestconfig.stash[RECORD] = record_testsuite_property


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write to tests.xml how the run ended; nothing when it ended before its first check."""
    config = session.config
    record = config.stash.get(RECORD, None)
    if record is None:
        return
    applying = config.stash[APPLYING]
    values = {
        "whole": "yes" if is_whole(config) else "no",
        "checks": hashlib.sha256("\n".join(applying).encode()).hexdigest(),
        "applying": len(applying),
        "selected": len(session.items),
        "exit status": not_run.find_status(session),
        "allow not run": "yes" if config.getoption("--allow-not-run") else "no",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    for name, value in values.items():
        record(name, value)


def is_whole(config: pytest.Config) -> bool:
    """Tell whether each check that applies was run to its end."""
    folders = [(repository.ROOT / argument).resolve() for argument in config.args]
    is_cut = folders != [FOLDER] or any(config.getoption(name, None) for name in CUTS)
    applying = config.stash[APPLYING]
    return not is_cut and config.stash[FINISHED].issuperset(applying)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give the file of a whole run its name."""
    file = Path(config.option.xmlpath or "")
    if RECORD in config.stash and is_whole(config) and file.name == junit.PARTIAL and file.exists():
        file.replace(file.with_name(junit.WHOLE))
