"""A pytest plugin that selects the checks of a broken image: those that it breaks, and all others or a sample."""

import hashlib
from collections.abc import Callable, Iterable

import pytest

from tests.sabotage.cases import Case, any_change, broken, is_named, not_shown

# The size of the sample: of the checks that start no container of their own, and of those that do.
CHEAP, STARTING = 12, 3
STARTS = {"start", "start_shared"}
COSTLY = {"saved", "updates"}  # fixtures: the image is saved and read, Debian is asked for updates
CHECKS = "tests/images/"
OTHERS, RUN = "other checks", "other checks that ran"
COUNTS = pytest.StashKey[dict[str, int]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the runner."""
    group = parser.getgroup("slipway")
    group.addoption("--case", default="", help="the broken image; without it, all checks run")
    group.addoption("--all-checks", action="store_true", help="run all other checks, too, instead of a sample")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect checks that need a GPU and, on a broken image, those outside the sample."""
    possible = [item for item in items if not is_any(item, not_shown())]
    case = next((case for case in broken() if case.name == config.getoption("--case")), None)
    selected = choose(possible, case, whole=config.getoption("--all-checks")) if case else possible
    meant = [item for item in possible if case and is_any(item, case.breaks)]
    config.stash[COUNTS] = {OTHERS: len(possible) - len(meant), RUN: len(selected) - len(meant)}
    config.hook.pytest_deselected(items=[item for item in items if item not in selected])
    items[:] = selected


def choose(items: list[pytest.Item], case: Case, *, whole: bool) -> list[pytest.Item]:
    """Return the checks to run, in their order."""
    if whole:
        return items
    meant = [item for item in items if is_any(item, case.breaks)]
    # What is costly is cheap once a check that is meant asks for it.
    costly = COSTLY.difference(*(fixtures(item) for item in meant))
    may_fail = (*case.expected, *any_change())
    others = [item for item in items if not is_any(item, may_fail) and is_quick(item, costly)]
    starting = [item for item in others if STARTS & fixtures(item)]
    sampled = sample([item for item in others if item not in starting], CHEAP, case.name)
    sampled += sample(starting, STARTING, case.name)
    return [item for item in items if item in meant or item in sampled]


def sample(items: list[pytest.Item], size: int, seed: str) -> list[pytest.Item]:
    """Return a number of checks, spread over the modules: the same for the same seed, also beside a new check."""

    def rank(item: pytest.Item) -> bytes:
        return hashlib.sha256(f"{seed} {item.nodeid}".encode()).digest()

    modules: dict[str, list[pytest.Item]] = {}
    for item in sorted(items, key=rank):
        modules.setdefault(item.path.name, []).append(item)
    return sorted(items, key=lambda item: (modules[item.path.name].index(item), rank(item)))[:size]


def is_quick(item: pytest.Item, costly: set[str]) -> bool:
    """Tell whether a check uses no costly fixture and has no mark for slow checks or a longer time limit."""
    return not costly & fixtures(item) and not {"slow", "timeout"} & {mark.name for mark in item.iter_markers()}


def is_any(item: pytest.Item, names: Iterable[str]) -> bool:
    """Tell whether one of these names refers to a check."""
    return any(is_named(item.nodeid.removeprefix(CHECKS), name) for name in names)


def fixtures(item: pytest.Item) -> set[str]:
    """Return the names of a check's fixtures, including those that they use."""
    return set(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session", autouse=True)
def counts(pytestconfig: pytest.Config, record_testsuite_property: Callable[[str, object], None]) -> None:
    """Write the numbers of the other checks into the JUnit file."""
    for name, count in pytestconfig.stash[COUNTS].items():
        record_testsuite_property(name, count)
