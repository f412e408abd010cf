"""Each check of tests/images fails on an image that is broken on purpose, and no other check fails on it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from slipway import matrix
from tests.helpers.reasons import LEFT_OUT
from tests.sabotage import breakage, cases
from tests.sabotage.cases import Case
from tests.sabotage.conftest import AT_A_TIME, EARLIER, Verdicts
from tests.sabotage.selection import OTHERS, RUN

# The first test waits for two cases at least; a single command is ended before that.
pytestmark = pytest.mark.timeout(3 * breakage.LIMIT)


def by_name(case: Case) -> str:
    """The id of a case in pytest's lists."""
    return case.name


@pytest.fixture
def verdict(verdicts: Verdicts, case: Case, request: pytest.FixtureRequest) -> str:
    """The problem of a case; the JUnit file has its duration, or the day on which it passed earlier.

    An image that `nox -s tests` leaves out may not be built: its cases are not run.
    """
    if not case.is_in_tests and not breakage.is_built(case.image):
        pytest.skip(LEFT_OUT)
    found = verdicts[case].result()
    if found.earlier:
        request.node.user_properties.append((EARLIER, found.earlier))
    request.node.user_properties += [
        ("seconds", round(found.seconds, 1)),
        (OTHERS, found.others),
        (RUN, found.others_run),
    ]
    return f"{case.name} on {case.image}:\n{found.problem}" if found.problem else ""


@pytest.mark.parametrize("case", cases.unbroken(), ids=by_name)
def test_unbroken_image_fails_no_check(case: Case, verdict: str) -> None:
    """Otherwise a failure on the broken image would prove nothing."""
    if verdict:
        pytest.fail(verdict, pytrace=False)


@pytest.mark.parametrize("case", cases.broken(), ids=by_name)
def test_broken_image_fails_its_checks_only(case: Case, verdict: str) -> None:
    """The checks of the case fail, and no others in the sample, or in all checks with --all-checks."""
    if verdict:
        pytest.fail(verdict, pytrace=False)


def test_every_check_is_shown_to_fail() -> None:
    """A check that fails on no broken image may check nothing; a case names checks of its own contract.

    Only the images that every run builds are included, without checks of other versions alone, and the cases on them.
    """
    images = matrix.load_matrix().images
    contracts = [image.name for image in images]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        checks = dict(zip(contracts, pool.map(breakage.collect, contracts), strict=True))
    every = set().union(*(checks[image.name] for image in images if image.in_tests))
    shown = cases.list_shown()
    not_shown = sorted(check for check in every if not any(cases.is_named(check, name) for name in shown))
    named = [(case.name, case.contract, name) for case in cases.broken() for name in case.expected]
    unknown = [f"{case}: {name}" for case, own, name in named if not any(cases.is_named(c, name) for c in checks[own])]
    anywhere = set().union(*checks.values())
    unknown += [name for name in cases.not_shown() if not any(cases.is_named(check, name) for check in anywhere)]
    assert (not_shown, unknown) == ([], []), "\n".join(["no case shows:", *not_shown, "there is no check:", *unknown])
