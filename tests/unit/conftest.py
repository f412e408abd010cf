"""Settings of the unit tests: a property is tried with the same examples each time, and no example has a time limit."""

import hypothesis

pytest_plugins = ["tests.helpers.not_run"]

hypothesis.settings.register_profile("same-each-time", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same-each-time")
