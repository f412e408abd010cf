"""Settings of the unit tests: Hypothesis uses the same examples each time, without a time limit for an example."""

import hypothesis

pytest_plugins = ["tests.helpers.not_run"]

hypothesis.settings.register_profile("same-each-time", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same-each-time")
