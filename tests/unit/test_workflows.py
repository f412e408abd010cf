"""Workflows give their sessions what these need."""

import re

from slipway import repository

FILES = sorted((repository.ROOT / ".github/workflows").glob("*.yml"))
JOBS = {
    f"{file.stem}-{text.partition(':')[0]}": text
    for file in FILES
    for text in re.split(r"(?m)^  (?=[\w-]+:$)", file.read_text().partition("\njobs:\n")[2])[1:]
}


def test_a_job_that_publishes_has_the_history() -> None:
    """actions/checkout fetches one commit by default, which may not be the one that changed an image last."""
    jobs = {name: text for name, text in JOBS.items() if "-s publish " in text}
    assert jobs
    assert [name for name, text in jobs.items() if "fetch-depth: 0" not in text] == []
