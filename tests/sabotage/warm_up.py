"""Imports all checks, once, in the process from which each run of pytest is forked (its preload)."""

import contextlib
import io

import pytest

with contextlib.redirect_stdout(io.StringIO()):
    # A contract is needed to collect; which one makes no difference to what is imported.
    options = ["--quiet", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--image=none", "--contract=cpu-base"]
    pytest.main([*options, "--collect-only", "tests/images"])
