"""Workflows give their sessions what these need."""

import re

from slipway import repository

FILES = sorted((repository.ROOT / ".github/workflows").glob("*.yml"))
JOBS = {
    f"{file.stem}-{text.partition(':')[0]}": text
    for file in FILES
    for text in re.split(r"(?m)^  (?=[\w-]+:$)", file.read_text().partition("\njobs:\n")[2])[1:]
}


def test_a_job_that_scans_has_the_history() -> None:
    """actions/checkout fetches one commit by default, and an image would always be "not scanned"."""
    scans = {name: text for name, text in JOBS.items() if " scan " in text}
    assert scans
    assert [name for name, text in scans.items() if "fetch-depth: 0" not in text] == []
