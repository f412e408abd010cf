"""The data-science set is in every workbench, also on a variant that lacks it."""

from tests.images.runtime.test_data_science import problems as problems
from tests.images.runtime.test_data_science import test_library_computes as test_library_computes
