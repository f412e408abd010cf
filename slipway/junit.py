"""The JUnit files that pytest writes: every check with its outcome, and what the run was."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from slipway.errors import SlipwayError

OUTCOMES = ("passed", "failed", "not run")
WHOLE = "tests.xml"
PARTIAL = "tests.partial.xml"  # of a run that was cut: it counts for nothing
# What decides the result of a check beside the image.
CHECKS = (
    *("tests/images", "tests/helpers", "policy", "images.toml", "requirements/checks.txt"),
    *("slipway/audit", "slipway/build", "slipway/host", "slipway/image", "slipway/scan"),
)


@dataclass(frozen=True)
class Check:
    """One check of one run; `place` is the folder of its file, `reason` says why it failed or was not run.

    `output` is the traceback of a failure and what the check wrote.
    """

    place: str
    name: str  # tests.images.common.test_size::test_budget
    outcome: str
    reason: str
    requirements: tuple[str, ...]
    needs_gpu: bool
    seconds: float
    output: str


@dataclass(frozen=True)
class Report:
    """One file: the ID of the checked image (empty for other tests), the seconds, the checks.

    `size` is the image's in bytes, `start` the seconds of its slowest mode to the first healthy answer; 0 when no check
    measured it. `problems` counts failures and errors, also those outside a check. `properties` are those of the
    whole run.
    """

    image: str
    size: int
    start: float
    seconds: float
    checks: tuple[Check, ...]
    problems: int
    properties: Mapping[str, str]

    @property
    def is_whole(self) -> bool:
        """Whether each check that applies to the image was run to its end."""
        return self.properties.get("whole") == "yes"


def read_report(file: Path) -> Report:
    """Read a JUnit file; SlipwayError when it is missing or damaged."""
    try:
        return parse_report(file.read_bytes(), file.parent.name)
    except (OSError, ET.ParseError, ValueError) as error:
        raise SlipwayError(f"{file} cannot be read ({error}): run its test session again") from None


def parse_report(content: bytes, place: str) -> Report:
    """Return the report of a JUnit file's content; `place` is the folder that the file belongs to.

    xml.etree.ElementTree.ParseError or ValueError when it is damaged.
    """
    root = ET.fromstring(content)  # noqa: S314 - written by our own pytest
    suites = list(root.iter("testsuite"))
    of_suites = {
        each.get("name", ""): each.get("value", "") for each in root.iterfind(".//testsuite/properties/property")
    }
    of_checks = [(each.get("name"), each.get("value", "")) for each in root.iterfind(".//testcase//property")]
    finished = of_suites.get("finished")
    if finished and datetime.fromisoformat(finished).tzinfo is None:
        raise ValueError(f"{finished} has no time zone")
    return Report(
        image=of_suites.get("image", ""),
        size=max((0, *(int(value) for name, value in of_checks if name == "size"))),
        start=max((0.0, *(float(value) for name, value in of_checks if name == "seconds_to_health"))),
        seconds=sum(float(suite.get("time", 0)) for suite in suites),
        checks=tuple(read_check(place, case) for case in root.iter("testcase")),
        problems=sum(int(suite.get(kind, 0)) for suite in suites for kind in ("errors", "failures")),
        properties=of_suites,
    )


def read_check(place: str, case: ET.Element) -> Check:
    """Return a check from its element. An error, such as a fixture's, is a failure."""
    skipped = case.find("skipped")
    broken = next((case.find(kind) for kind in ("failure", "error") if case.find(kind) is not None), None)
    found = skipped if broken is None else broken
    properties = [(entry.get("name"), entry.get("value", "")) for entry in case.iter("property")]
    parts = (broken, *case.iterfind("system-out"), *case.iterfind("system-err"))
    return Check(
        place=place,
        name=f"{case.get('classname')}::{case.get('name')}",
        outcome="failed" if broken is not None else "passed" if skipped is None else "not run",
        reason="" if found is None else found.get("message", ""),
        requirements=tuple(value for name, value in properties if name == "requirement"),
        needs_gpu=("gpu", "yes") in properties,
        seconds=float(case.get("time", 0)),
        output="\n".join(part.text for part in parts if part is not None and part.text),
    )
