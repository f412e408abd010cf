"""Workflows give their sessions what these need."""

import re

import pytest

from slipway import repository

FILES = sorted((repository.ROOT / ".github/workflows").glob("*.yml"))
JOBS = [
    pytest.param(text, id=f"{file.stem}-{text.partition(':')[0]}")
    for file in FILES
    for text in re.split(r"(?m)^  (?=[\w-]+:$)", file.read_text().partition("\njobs:\n")[2])[1:]
]


def test_some_job_scans() -> None:
    """Otherwise the next check would look at nothing."""
    assert any(" scan " in job.values[0] for job in JOBS)  # type: ignore[operator]


@pytest.mark.parametrize("job", JOBS)
def test_a_job_that_scans_has_the_history(job: str) -> None:
    """actions/checkout fetches one commit by default, and an image would always be "not scanned"."""
    assert " scan " not in job or "fetch-depth: 0" in job
